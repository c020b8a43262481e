//! The file holds each step once, whatever happens to it in between.

use super::*;
use limpq_core::{
    search::BitWidth,
    train::{self, Role, Score},
};

fn step(done: usize) -> Step {
    let pass = |bits: &str, loss| train::Pass { bits: bits.into(), loss, accuracy: 0.5 };
    let passes = vec![pass("w4a4", 0.1), pass("mixed", 2.5)];
    Step { done, epoch: done / 10, learning_rate: 0.01, images: 64, passes }
}

/// A stage from after `done` to `end`.
fn go(metrics: &Metrics, stage: &str, done: usize, end: usize) {
    metrics.start(stage, 20, done);
    (done + 1..=end).for_each(|done| metrics.step(&step(done)));
    metrics.finish();
}

fn places(folder: &Path) -> Vec<(String, usize)> {
    records(folder).unwrap().map(|record| (record.stage, record.step)).collect()
}

fn counted(stages: &[(&str, usize)]) -> Vec<(String, usize)> {
    stages.iter().flat_map(|&(stage, end)| (1..=end).map(move |step| (stage.to_owned(), step))).collect()
}

#[test]
fn lines_say_what_happened() {
    let home = tempfile::tempdir().unwrap();
    let metrics = Metrics::new(home.path());
    metrics.start("indicators", 20, 0);
    metrics.step(&step(1));
    let value = |role, value| StepSize { layer: "conv1".into(), role, bits: BitWidth::new(4).unwrap(), value };
    metrics.step_sizes(1, &[value(Role::Weight, 0.25), value(Role::Act, f64::NAN)]);
    metrics.step_sizes(1, &[]);
    let score = Score { accuracy: 0.5, top5: 0.75, loss: f64::INFINITY, images: 8, batch_norm_images: 0 };
    metrics.validated(&Validation { done: 1, epoch: 0, score, best: true });
    metrics.finish();
    let text = fs::read_to_string(home.path().join(NAME)).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split(",\"time\":").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            r#"{"stage":"indicators","step":1,"epoch":0,"learning_rate":0.01,"images":64,"passes":[{"bits":"w4a4","loss":0.1,"accuracy":0.5},{"bits":"mixed","loss":2.5,"accuracy":0.5}]"#,
            r#"{"stage":"indicators","step":1,"step_sizes":[{"layer":"conv1","tensor":"weight","bits":4,"value":0.25},{"layer":"conv1","tensor":"act","bits":4,"value":null}]"#,
            r#"{"stage":"indicators","step":1,"epoch":0,"validation":{"accuracy":0.5,"top5":0.75,"loss":null,"images":8,"best":true}"#,
        ]
    );
    let read: Vec<Record> = records(home.path()).unwrap().collect();
    assert_eq!((read.len(), read[0].passes[1].loss, read[1].step_sizes[1].value), (3, 2.5, None));
    assert!(read.iter().all(|record| record.time > 1.7e9), "seconds since 1970");
}

#[test]
fn a_stage_that_goes_on_has_each_step_once() {
    let home = tempfile::tempdir().unwrap();
    let metrics = Metrics::new(home.path());
    go(&metrics, "pretrain", 0, 5);
    go(&metrics, "indicators", 0, 7);
    // Killed in the middle of a line.
    let mut file = File::options().append(true).open(home.path().join(NAME)).unwrap();
    file.write_all(br#"{"stage":"indicators","step":8,"#).unwrap();
    assert_eq!(places(home.path()), counted(&[("pretrain", 5), ("indicators", 7)]));
    go(&Metrics::new(home.path()), "indicators", 4, 9);
    assert_eq!(places(home.path()), counted(&[("pretrain", 5), ("indicators", 9)]));
    // From its start again; other stages keep their lines.
    go(&Metrics::new(home.path()), "pretrain", 0, 3);
    assert_eq!(places(home.path()), counted(&[("indicators", 9), ("pretrain", 3)]));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn lines_are_in_the_file_before_a_checkpoint_and_when_a_run_ends_early() {
    let home = tempfile::tempdir().unwrap();
    let metrics = Metrics::new(home.path());
    metrics.start("pretrain", 20, 0);
    metrics.step(&step(1));
    metrics.saving();
    assert_eq!(places(home.path()), counted(&[("pretrain", 1)]));
    metrics.step(&step(2));
    drop(metrics);
    assert_eq!(places(home.path()), counted(&[("pretrain", 2)]));
}

#[test]
fn a_file_that_cannot_be_written_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(NAME)).unwrap();
    go(&Metrics::new(home.path()), "pretrain", 0, 3);
    assert!(home.path().join(NAME).is_dir());
    // What cannot be written now stays pending, and nothing of it is in the file.
    let mut open = Open::new(&home.path().join("other"), "pretrain").unwrap();
    open.add((&step(1)).into());
    let writable = std::mem::replace(&mut open.file, File::open(home.path().join("other")).unwrap());
    assert!(open.flush().is_err());
    open.file = writable;
    open.add((&step(2)).into());
    open.flush().unwrap();
    let text = fs::read_to_string(home.path().join("other")).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
}

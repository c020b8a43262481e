//! The file has one line per step, whatever happens to the run in between.

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

/// Runs a stage from after step `done` to step `end`.
fn go(metrics: &Metrics, stage: &str, done: usize, end: usize) {
    metrics.start(stage, 20, done);
    (done + 1..=end).for_each(|done| metrics.step(&step(done)));
    metrics.finish();
}

fn observer(folder: &Path) -> Metrics {
    Metrics::new(folder)
}

/// The records of a file that holds nothing else.
fn records(folder: &Path) -> Vec<Record> {
    lines(&folder.join(NAME)).unwrap().map(|line| *line.unwrap().expect("a record")).collect()
}

fn places(folder: &Path) -> Vec<(String, usize)> {
    records(folder).into_iter().map(|record| (record.stage, record.step)).collect()
}

fn counted(stages: &[(&str, usize)]) -> Vec<(String, usize)> {
    stages.iter().flat_map(|&(stage, end)| (1..=end).map(move |step| (stage.to_owned(), step))).collect()
}

#[test]
fn lines_say_what_happened() {
    let home = tempfile::tempdir().unwrap();
    let metrics = observer(home.path());
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
    let read = records(home.path());
    assert_eq!((read.len(), read[0].passes[1].loss, read[1].step_sizes[1].value), (3, 2.5, None));
    assert!(read.iter().all(|record| record.time > 1.7e9), "seconds since 1970");
}

#[test]
fn a_stage_that_goes_on_has_each_step_once() {
    let home = tempfile::tempdir().unwrap();
    let metrics = observer(home.path());
    go(&metrics, "pretrain", 0, 5);
    go(&metrics, "indicators", 0, 7);
    // Killed in the middle of a line.
    let mut file = File::options().append(true).open(home.path().join(NAME)).unwrap();
    file.write_all(br#"{"stage":"indicators","step":8,"#).unwrap();
    assert_eq!(places(home.path()), counted(&[("pretrain", 5), ("indicators", 7)]));
    go(&observer(home.path()), "indicators", 4, 9);
    assert_eq!(places(home.path()), counted(&[("pretrain", 5), ("indicators", 9)]));
    // Again from the beginning; other stages keep their lines.
    go(&observer(home.path()), "pretrain", 0, 3);
    assert_eq!(places(home.path()), counted(&[("indicators", 9), ("pretrain", 3)]));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn lines_are_in_the_file_before_a_checkpoint_and_when_a_run_ends_early() {
    let home = tempfile::tempdir().unwrap();
    let metrics = observer(home.path());
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
    let blocked = observer(home.path());
    go(&blocked, "pretrain", 0, 3);
    assert!(blocked.warned.get() && home.path().join(NAME).is_dir());
    // What cannot be written stays pending, and the file gets no part of it.
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

#[test]
fn lines_that_hold_no_record_are_told_apart_from_the_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(NAME);
    let record = r#"{"stage":"pretrain","step":1,"time":0.5}"#;
    let long = "x".repeat(LONGEST as usize + 1);
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let negative = r#"{"stage":"pretrain","step":-1,"time":0}"#;
    let text = format!("{record}\n\n{long}\n{nested}\n{negative}\n\u{feff}\n{record}\n{record}");
    fs::write(&path, text).unwrap();
    let read: Vec<bool> = lines(&path).unwrap().map(|line| line.unwrap().is_some()).collect();
    assert_eq!(read, [true, false, false, false, false, false, true], "the last line has no end");
}

#[cfg(unix)]
#[test]
fn links_and_other_files_are_neither_followed_nor_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let (path, other) = (home.path().join(NAME), home.path().join("other"));
    fs::write(&other, "of somebody else").unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    let linked = observer(home.path());
    go(&linked, "pretrain", 0, 3);
    assert!(linked.warned.get());
    assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(lines(&path).err().unwrap().to_string(), "it is not a regular file");
}

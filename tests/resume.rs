//! Nothing is lost: runs that are killed or interrupted go on to the same numbers, to the last bit.

use crate::{
    fixtures::{self, tree},
    runs::TINY,
};
use limpq::observers::tensorboard;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::{JoinHandle, sleep, spawn},
    time::Duration,
};

/// Every kind of stage, as people see them.
const STAGES: [&str; 7] = [
    "pretrain",
    "indicators",
    "repeat 1 of indicators",
    "refine",
    "fine-tune found",
    "fine-tune refined",
    "fine-tune uniform",
];

/// Those that train.
fn trained() -> impl Iterator<Item = &'static str> {
    STAGES.into_iter().filter(|stage| *stage != "refine")
}

/// A config in a folder, and places for its runs.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let adam = "optimizer = \"adamw\"\nlearning_rate = 0.003\nstep_size_learning_rate = \"2x\"\n";
        let adam = format!("{adam}distillation = 0.5\nkeep = \"best\"\n");
        let text = TINY.replace("[finetune]\n", &format!("[finetune]\n{adam}"));
        let text = text.replace("{ name = \"learned_step\" }", "{ name = \"learned_step\", seeds = 2 }");
        let text = text + "\n[split]\nvalidation = 0.2\n\n[refine]\nevaluations = 12\nimages = 128\n";
        fs::write(folder.path().join("tiny.toml"), text).unwrap();
        Self { folder }
    }

    pub fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpq"));
        command.arg("run").arg(self.folder.path().join("tiny.toml")).arg("--out").arg(self.run(name));
        command.arg("--tensorboard");
        let device = format!("device={}", fixtures::device_name());
        for set in [device.as_str(), "checkpoints.every_steps=3", "pretrain.epochs=3", "finetune.epochs=3"] {
            command.args(["--set", set]);
        }
        command
    }

    /// Starts a run and waits until it says that it is in a stage; `None` if it ends without. With what it says after that.
    fn start_until(&self, name: &str, stage: &str) -> Option<(Child, JoinHandle<Vec<String>>)> {
        let mut child = self.command(name).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut lines = lines.lines().map(Result::unwrap);
        let there = lines.any(|line| line.starts_with(&format!("{stage}: ")) && line.contains(" steps"));
        // The rest must be read too: a full pipe stops the program, a closed one ends it.
        let rest = spawn(move || lines.collect());
        if !there {
            assert!(child.wait().unwrap().success());
            return None;
        }
        Some((child, rest))
    }

    pub fn finish(&self, name: &str) -> Output {
        let output = self.command(name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Everything in `metrics.jsonl` but times.
    pub fn metrics(&self, name: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.run(name).join("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(line["time"].take().is_f64());
            line
        };
        text.lines().map(line).collect()
    }

    /// How long a stage trains, the middle of all.
    fn usual_milliseconds(&self, name: &str) -> u64 {
        let text = fs::read_to_string(self.run(name).join("metrics.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let length = |stage| {
            let mut times =
                lines.iter().filter(|line| line["stage"] == stage).map(|line| line["time"].as_f64().unwrap());
            let first = times.next().unwrap();
            times.next_back().unwrap() - first
        };
        let mut lengths: Vec<f64> = trained().map(length).collect();
        lengths.sort_by(f64::total_cmp);
        (1000.0 * lengths[lengths.len() / 2]) as u64
    }

    /// The numbers that TensorBoard reads of a stage: step, tag and value.
    fn events(&self, name: &str, stage: &str) -> Vec<(i64, String, f32)> {
        let folder = self.run(name).join("tensorboard").join(stage.replace(' ', "-"));
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut numbers = vec![];
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let mut sound = 0;
            for (event, size) in tensorboard::events(&bytes) {
                sound += size;
                let values = event.summary.into_iter().flat_map(|summary| summary.value);
                numbers.extend(values.map(|value| (event.step, value.tag, value.simple_value)));
            }
            assert_eq!(sound, bytes.len(), "{} has bytes that are no event", file.display());
        }
        numbers
    }

    /// That the network kept is the one after the epoch of highest validation accuracy, the first of several.
    fn assert_best(&self, name: &str, stage: &str, network: &str) {
        let metrics = self.metrics(name);
        let epochs = metrics.iter().filter(|line| line["stage"] == stage && line["validation"].is_object());
        let accuracy = |line: &serde_json::Value| line["validation"]["accuracy"].as_f64().unwrap();
        let accuracies: Vec<f64> = epochs.clone().map(accuracy).collect();
        let best = accuracies.iter().copied().fold(0.0, f64::max);
        let best = accuracies.iter().position(|accuracy| *accuracy == best).unwrap();
        assert_eq!(accuracies.len(), 3, "{stage}");
        let called: Vec<bool> = epochs.map(|line| line["validation"]["best"].as_bool().unwrap()).collect();
        assert_eq!(called.iter().rposition(|best| *best), Some(best), "{stage}: {accuracies:?}");
        let read = |which: &str| fs::read(self.run(name).join(format!("{network}.{which}safetensors"))).unwrap();
        assert_eq!(read("best.") == read("last."), best == 2, "{stage}: {accuracies:?}");
        // Pre-training keeps the last, fine-tuning the best.
        assert!(read("") == read(if stage == "pretrain" { "last." } else { "best." }), "{stage}");
    }

    fn assert_same(&self, one: &str, other: &str) {
        for stage in trained() {
            assert_eq!(self.events(one, stage), self.events(other, stage), "{stage}");
        }
        let (a, b) = (self.metrics(one), self.metrics(other));
        for (place, (a, b)) in a.iter().zip(&b).enumerate() {
            assert_eq!(a, b, "line {} of the metrics", place + 1);
        }
        assert_eq!(a.len(), b.len());
        let (one, other) = (tree(&self.run(one)), tree(&self.run(other)));
        assert!(one.keys().eq(other.keys()), "{:?}\n{:?}", one.keys(), other.keys());
        for (name, content) in &one {
            assert!(other[name] == *content, "{name} differs");
        }
    }
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return vec![] };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some());
    files.sort();
    files
}

#[test]
fn killed_at_any_moment_a_run_goes_on_to_the_same_bits() {
    let home = Home::new();
    home.finish("whole");
    let metrics = home.metrics("whole");
    for stage in trained() {
        let steps = metrics.iter().filter(|line| line["stage"] == stage && line["passes"].is_array());
        let steps: Vec<u64> = steps.map(|line| line["step"].as_u64().unwrap()).collect();
        assert!(steps.len() >= 18 && steps.iter().copied().eq(1..=steps.len() as u64), "{stage}: {steps:?}");
        let events = home.events("whole", stage);
        let rates = events.iter().filter(|(_, tag, _)| tag == "learning_rate").map(|(step, ..)| *step as u64);
        assert!(rates.eq(steps), "{stage}");
        let tag = if stage == "indicators" { "weight_step_size/layer1.0.conv1/4_bits" } else { "learning_rate" };
        assert!(events.iter().any(|(_, other, value)| other == tag && *value > 0.0), "{tag} in {stage}");
    }
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let longest = home.usual_milliseconds("whole") / 2;
    let name = |folder: usize| format!("killed {folder}");
    let (mut folder, mut kills, mut went_on) = (0, 0, 0);
    for (turn, stage) in STAGES.iter().flat_map(|stage| (0..2).map(move |turn| (turn, *stage))) {
        let mut child = loop {
            if let Some((child, _)) = home.start_until(&name(folder), stage) {
                break child;
            }
            // The last kill came after this stage, so the run has gone on to its end. Another takes its place.
            home.assert_same("whole", &name(folder));
            folder += 1;
            assert!(folder < 2 * STAGES.len(), "{stage} is never seen");
        };
        let saved = || checkpoints(&home.run(&name(folder))).iter().any(|path| of_stage(path, stage));
        // Each stage once before it has saved anything, if the machine is fast enough, and once after; what is no training
        // saves nothing on its way.
        while turn > 0 && stage != "refine" && !saved() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(random.random_range(0..=longest)));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        went_on += usize::from(saved());
    }
    assert!(went_on >= 4, "only {went_on} of {kills} kills left a checkpoint to go on from");
    let killed = name(folder);
    home.finish(&killed);
    home.assert_same("whole", &killed);
    assert_eq!(checkpoints(&home.run(&killed)), [] as [PathBuf; 0], "finished stages leave none behind");
    for (stage, network) in [("pretrain", "pretrained"), ("fine-tune refined", "refined")] {
        home.assert_best(&killed, stage, network);
    }
}

fn of_stage(checkpoint: &Path, stage: &str) -> bool {
    checkpoint.file_name().unwrap().to_string_lossy().starts_with(&format!("{}-", stage.replace(' ', "-")))
}

#[test]
fn an_interrupted_run_saves_and_says_how_to_go_on() {
    let home = Home::new();
    home.finish("whole");
    let (mut child, said) = home.start_until("stopped", "indicators").expect("indicators are trained");
    let status = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let saved = checkpoints(&home.run("stopped"));
    assert!(!saved.is_empty() && saved.len() <= 2, "{saved:?}");
    let said = said.join().unwrap().join("\n");
    let end = "of indicators, which is saved. The same command continues from there";
    assert!(said.contains("error: stopped after step ") && said.trim_end().ends_with(end), "{said}");
    // A damaged checkpoint is passed over.
    let mut bytes = fs::read(saved.last().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(saved.last().unwrap(), bytes).unwrap();
    if saved.len() == 1 {
        fs::remove_file(&saved[0]).unwrap();
    }
    let output = home.finish("stopped");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("pretrain:"), "what was finished is not trained again: {said}");
    let passed_over = said.contains("is not used: it is not what this run wrote there");
    assert_eq!(passed_over, saved.len() == 2, "{said}");
    home.assert_same("whole", "stopped");
}

#[test]
fn two_runs_in_one_folder_are_refused() {
    let home = Home::new();
    let (mut first, _) = home.start_until("busy", "pretrain").expect("the network is pre-trained");
    let second = home.command("busy").output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another run is at work in "), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    home.finish("busy");
}

#[test]
fn a_run_is_worth_more_than_its_metrics() {
    let home = Home::new();
    fs::create_dir_all(home.run("blocked").join("metrics.jsonl")).unwrap();
    let said = String::from_utf8(home.finish("blocked").stderr).unwrap();
    assert_eq!(said.matches("warning: cannot write ").count(), 1, "{said}");
    assert!(said.contains("blocked/metrics.jsonl: ") && said.contains("; the run continues, but"), "{said}");
}

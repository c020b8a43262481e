//! Nothing is lost: runs that are killed, interrupted or out of disk space go on to the same numbers, to the last bit.

use crate::{fixtures, runs::TINY};
use limpq::watch::tensorboard;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

/// A stage for each long part of a run, as people see them.
const STAGES: [&str; 4] = ["pretrain", "indicators", "fine-tune found", "fine-tune uniform"];

const RESULTS: [&str; 6] = [
    "pretrained.safetensors",
    "indicators.json",
    "joint.safetensors",
    "finetuned.safetensors",
    "finetuned.json",
    "uniform.safetensors",
];

/// A config in a folder, and a second place for the run.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let adam = "optimizer = \"adamw\"\nlearning_rate = 0.003\ndistillation = 0.5\nkeep = \"last\"\n";
        let text = TINY.replace("[finetune]\n", &format!("[finetune]\n{adam}"));
        fs::write(folder.path().join("tiny.toml"), text).unwrap();
        Self { folder }
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpq"));
        command.arg("run").arg(self.folder.path().join("tiny.toml")).arg("--out").arg(self.run(name));
        command.arg("--tensorboard");
        let device = format!("device={}", fixtures::device_name());
        for set in [device.as_str(), "checkpoints.every_steps=3", "pretrain.epochs=3", "finetune.epochs=3"] {
            command.args(["--set", set]);
        }
        command
    }

    /// Starts a run and waits until it says that it is in a stage; `None` if it ends without.
    fn start_until(&self, name: &str, stage: &str) -> Option<Child> {
        let mut child = self.command(name).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut lines = lines.lines().map(Result::unwrap);
        let there = lines.any(|line| line.starts_with(stage) && line.contains(" steps"));
        // The rest must be read too: a full pipe stops the program, a closed one ends it.
        std::thread::spawn(move || lines.count());
        if !there {
            assert!(child.wait().unwrap().success());
            return None;
        }
        Some(child)
    }

    fn finish(&self, name: &str) -> Output {
        let output = self.command(name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn results(&self, name: &str) -> Vec<Vec<u8>> {
        let read = |file: &&str| fs::read(self.run(name).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        RESULTS.iter().map(read).collect()
    }

    /// Everything in `metrics.jsonl` but times.
    fn metrics(&self, name: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.run(name).join("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(line["time"].take().is_f64());
            line
        };
        text.lines().map(line).collect()
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

    fn assert_same(&self, one: &str, other: &str) {
        for stage in STAGES {
            assert_eq!(self.events(one, stage), self.events(other, stage), "{stage}");
        }
        let (a, b) = (self.metrics(one), self.metrics(other));
        for (place, (a, b)) in a.iter().zip(&b).enumerate() {
            assert_eq!(a, b, "line {} of the metrics", place + 1);
        }
        assert_eq!(a.len(), b.len());
        for ((one, other), name) in self.results(one).iter().zip(self.results(other)).zip(RESULTS) {
            assert!(*one == other, "{name} differs");
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
    for stage in STAGES {
        let steps = metrics.iter().filter(|line| line["stage"] == stage && line["passes"].is_array());
        let steps: Vec<u64> = steps.map(|line| line["step"].as_u64().unwrap()).collect();
        assert!(steps.len() > 20 && steps.iter().copied().eq(1..=steps.len() as u64), "{stage}: {steps:?}");
        let events = home.events("whole", stage);
        let rates = events.iter().filter(|(_, tag, _)| tag == "learning_rate").map(|(step, ..)| *step as u64);
        assert!(rates.eq(steps), "{stage}");
        let tag = if stage == "indicators" { "weight_step_size/layer1.0.conv1/4_bits" } else { "learning_rate" };
        assert!(events.iter().any(|(_, other, value)| other == tag && *value > 0.0), "{tag} in {stage}");
    }
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let (mut kills, mut went_on) = (0, 0);
    for (turn, stage) in STAGES.iter().flat_map(|stage| (0..3).map(move |turn| (turn, stage))) {
        let Some(mut child) = home.start_until("killed", stage) else { continue };
        // Each stage once before it has saved anything, if the machine is fast enough, and twice after.
        while turn > 0 && checkpoints(&home.run("killed")).is_empty() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(random.random_range(0..150)));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        went_on += usize::from(!checkpoints(&home.run("killed")).is_empty());
    }
    assert!(kills >= 10, "a run ended before it could be killed: only {kills} kills");
    assert!(went_on >= 4, "only {went_on} of {kills} kills left a checkpoint to go on from");
    home.finish("killed");
    home.assert_same("whole", "killed");
    assert_eq!(checkpoints(&home.run("killed")), [] as [PathBuf; 0], "finished stages leave none behind");
}

#[test]
fn an_interrupted_run_saves_and_says_how_to_go_on() {
    let home = Home::new();
    home.finish("whole");
    let mut child = home.start_until("stopped", "indicators").expect("indicators are trained");
    let status = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let saved = checkpoints(&home.run("stopped"));
    assert!(!saved.is_empty() && saved.len() <= 2, "{saved:?}");
    // A damaged checkpoint is passed over.
    let mut bytes = fs::read(saved.last().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(saved.last().unwrap(), bytes).unwrap();
    let output = home.finish("stopped");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("pretrain:"), "what was finished is not trained again: {said}");
    home.assert_same("whole", "stopped");
}

#[test]
fn two_runs_in_one_folder_are_refused() {
    let home = Home::new();
    let mut first = home.start_until("busy", "pretrain").expect("the network is pre-trained");
    let second = home.command("busy").output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another run is at work in "), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    home.finish("busy");
}

#[test]
fn a_full_disk_is_an_error_that_leaves_earlier_results_alone() {
    let home = Home::new();
    home.finish("full");
    let before = fs::read(home.run("full").join("pretrained.safetensors")).unwrap();
    let metrics = home.metrics("full");
    // Files beyond 4 KiB cannot be written, as on a disk that has no more room.
    let plain = home.command("full");
    let words = std::iter::once(plain.get_program()).chain(plain.get_args());
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "bash"]).args(words).args(["--set", "seed=6"]);
    let output = limited.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("error: cannot write "), "{said}");
    assert!(said.contains("Nothing there was changed"), "{said}");
    assert_eq!(said.matches("/metrics.jsonl: ").count(), 1, "{said}");
    assert_eq!(home.metrics("full"), metrics, "no line can be lost for want of room");
    assert_eq!(fs::read(home.run("full").join("pretrained.safetensors")).unwrap(), before);
    let temporary = fs::read_dir(home.run("full")).unwrap().map(|entry| entry.unwrap().file_name());
    let temporary: Vec<_> = temporary.filter(|name| name.to_string_lossy().starts_with(".limpq-")).collect();
    assert!(temporary.is_empty(), "{temporary:?}");
    home.finish("full");
}

#[test]
fn a_run_is_worth_more_than_its_metrics() {
    let home = Home::new();
    fs::create_dir_all(home.run("blocked").join("metrics.jsonl")).unwrap();
    let said = String::from_utf8(home.finish("blocked").stderr).unwrap();
    assert_eq!(said.matches("warning: cannot write ").count(), 1, "{said}");
    assert!(said.contains("blocked/metrics.jsonl: ") && said.contains("; the run goes on, but"), "{said}");
}

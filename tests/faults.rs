//! Faults at every system call that changes a run's folder, not at random moments: the run is killed there, or the disk
//! is full there, and the same command then continues to the result of an undisturbed run, with nothing left behind.
//!
//! A small library in C (`faults.c`) is preloaded; it counts the calls and fails at one of them. By default some calls
//! are tried; with `LIMPQ_FAULTS=all` every one is, which takes about half an hour.

#![cfg(target_os = "linux")]

use crate::{
    fixtures::{self, tree},
    runs::TINY,
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const SIGKILL: i32 = 9;
/// Of Linux: an input/output error, and no space left on the device.
const ERRORS: [(i32, &str); 2] = [(5, "os error 5"), (28, "os error 28")];

/// What is done to a run.
#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Error(i32),
}

struct Home {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = TINY.replace("bits = [4, 3, 2]", "bits = [4, 2]");
        fs::write(folder.path().join("tiny.toml"), text).unwrap();
        let library = folder.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults.c");
        let mut compiler = Command::new("cc");
        let compiled =
            compiler.args(["-Wall", "-Wextra", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        let output = compiled.output().expect("a C compiler is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder, library }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, sets: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpq"));
        command.arg("run").arg(self.path("tiny.toml")).arg("--out").arg(self.path(name));
        let device = format!("device={}", fixtures::device_name());
        let few = ["split.validation=0.05", "split.fraction=0.1", "refine.evaluations=2", "refine.images=8"];
        for set in [device.as_str()].iter().chain(&few).chain(sets) {
            command.args(["--set", *set]);
        }
        command
    }

    fn run(&self, name: &str, sets: &[&str]) -> Output {
        let output = self.command(name, sets).arg("--replace").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The same with the library in between; the calls that it counted.
    fn watched(&self, name: &str, sets: &[&str], fault: Option<(usize, Fault)>) -> (Output, Vec<String>) {
        let log = self.path("calls");
        let _ = fs::remove_file(&log);
        let mut command = self.command(name, sets);
        command.arg("--replace").env("LD_PRELOAD", &self.library).env("FAULT_LOG", &log);
        command.env("FAULT_FOLDER", self.path(name));
        if let Some((place, fault)) = fault {
            command.env("FAULT_AT", place.to_string());
            if let Fault::Error(number) = fault {
                command.env("FAULT_ERROR", number.to_string());
            }
        }
        let output = command.output().unwrap();
        let calls = fs::read_to_string(&log).unwrap_or_default();
        (output, calls.lines().map(str::to_owned).collect())
    }

    /// Everything that a run writes, except times.
    fn left(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.path(name);
        let mut left = tree(&folder);
        let plots = fs::read_dir(folder.join("plots")).into_iter().flatten();
        left.extend(plots.map(|entry| {
            let path = entry.unwrap().path();
            (format!("plots/{}", path.file_name().unwrap().to_string_lossy()), fs::read(path).unwrap())
        }));
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            line["time"].take();
            line.to_string()
        };
        let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        left.insert("metrics.jsonl".to_owned(), metrics.lines().map(line).collect::<Vec<_>>().join("\n").into());
        for folder in ["next", "next/checkpoints"] {
            assert!(!self.path(name).join(folder).exists(), "{folder} is left behind");
        }
        left
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.path(to));
        let output = Command::new("cp").arg("-r").arg(self.path(from)).arg(self.path(to)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Does harm at some calls of a run, or at all: `start` makes its folder what it was before.
fn try_all(home: &Home, sets: &[&str], start: &dyn Fn(&str), some: usize, fault: impl Fn(usize) -> Fault) {
    start("whole");
    let (output, calls) = home.watched("whole", sets, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = home.left("whole");
    let kinds: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    for kind in ["open", "write", "fsync", "rename", "unlink", "mkdir"] {
        assert!(kinds.contains(&kind), "no {kind} is seen among {} calls", calls.len());
    }
    let all = std::env::var("LIMPQ_FAULTS").is_ok_and(|which| which == "all");
    let stride = if all { 1 } else { calls.len().div_ceil(some).max(1) | 1 };
    for place in (1..=calls.len()).step_by(stride) {
        start("harmed");
        let (fault, before) = (fault(place), &calls[place - 1]);
        let (output, seen) = home.watched("harmed", sets, Some((place, fault)));
        // Metrics are flushed by the clock, so the order of calls may vary.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let at = seen.get(place - 1).unwrap_or(before).replace("/harmed", "/whole");
        let told = format!("call {place} of {}, {at}:\n{said}", calls.len());
        // A run does not fail for its metrics and plots; what cannot be cleaned up is not a loss.
        let watched = ["metrics.jsonl", "plots"].iter().any(|name| at.contains(name));
        match fault {
            Fault::Kill if seen.len() >= place => assert_eq!(output.status.signal(), Some(SIGKILL), "{told}"),
            Fault::Kill => assert!(output.status.success(), "{told}"),
            Fault::Error(number) => {
                let words = ERRORS.iter().find(|(error, _)| *error == number).unwrap().1;
                let folder = home.path("harmed").display().to_string();
                let lines: Vec<&str> =
                    said.lines().filter(|line| line.contains(words) && line.contains(&folder)).collect();
                match output.status.code() {
                    Some(0) => assert!(watched || at.starts_with("rmdir"), "{told}"),
                    code => assert!(code == Some(1) && lines.iter().any(|line| line.starts_with("error: ")), "{told}"),
                }
                assert!(!lines.is_empty() || at.starts_with("rmdir") || at.contains("/.limpq-"), "{told}");
            }
        }
        home.run("harmed", sets);
        let mut harmed = home.left("harmed");
        if matches!(fault, Fault::Error(_)) && (watched || output.status.success()) {
            // Plots and metrics that failed then are not made later.
            let watched = |name: &String| name.starts_with("plots/") || name == "metrics.jsonl";
            let spared: Vec<(String, Vec<u8>)> =
                whole.iter().filter(|(name, _)| watched(name)).map(|(n, c)| (n.clone(), c.clone())).collect();
            harmed.extend(spared);
        }
        assert!(whole.keys().eq(harmed.keys()), "{:?}\n{:?}\n{told}", whole.keys(), harmed.keys());
        for (name, content) in &whole {
            assert!(harmed[name] == *content, "{name} differs after {told}");
        }
        let temporary = fs::read_dir(home.path("harmed")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(temporary.into_iter().all(|name| !name.to_string_lossy().starts_with(".limpq-")), "{told}");
    }
}

/// From nothing to a finished run.
fn anew(home: &Home) -> impl Fn(&str) + '_ {
    move |name: &str| drop(fs::remove_dir_all(home.path(name)))
}

/// From a finished run to one with another budget, whose results wait until all are there.
fn replaced(home: &Home) -> impl Fn(&str) + '_ {
    home.run("earlier", &[]);
    move |name: &str| home.copy("earlier", name)
}

const OTHER: [&str; 1] = ["search.budgets.bitops=w2a3"];

#[test]
fn a_run_that_is_killed_at_any_call_goes_on_to_the_same_files() {
    let home = Home::new();
    try_all(&home, &[], &anew(&home), 8, |_| Fault::Kill);
    try_all(&home, &OTHER, &replaced(&home), 12, |_| Fault::Kill);
}

#[test]
fn a_run_whose_disk_fails_at_any_call_says_so_and_goes_on_to_the_same_files() {
    let home = Home::new();
    let fault = |place: usize| Fault::Error(ERRORS[place % 2].0);
    try_all(&home, &[], &anew(&home), 5, fault);
    try_all(&home, &OTHER, &replaced(&home), 5, fault);
}

//! Faults of the system that a run meets: threads that cannot be started, files that cannot be read, clocks that jump. Each is
//! an error or no matter at all, never a panic, and nothing is lost without a word.

#![cfg(target_os = "linux")]

use crate::{
    fixtures::{self, limpq},
    runs::TINY,
};
use assert_cmd::Command;
use std::{
    path::{Path, PathBuf},
    process,
};

/// A folder with a library that brings the faults.
fn faults() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system.c");
    let mut compiler = process::Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(made.expect("a C compiler, as the README asks for").success());
    (home, library)
}

/// `limpq run` of a run that trains for one epoch, in a folder of its own; its bits are the same with two threads.
fn run(home: &Path, folder: &str) -> Command {
    let config = fixtures::write(home, "tiny.toml", TINY.as_bytes());
    let mut command = limpq();
    command.arg("run").arg(config).arg("--out").arg(home.join(folder)).env("RAYON_NUM_THREADS", "2");
    for set in ["device=flex", "sensitivity.name=random", "finetune.epochs=0", "split.workers=2"] {
        command.args(["--set", set]);
    }
    command
}

/// The exit status and what was said on stderr.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

/// As under `ulimit -u` or a container's pids limit (rust-lang/rustup#4403, astral-sh/uv#3150).
#[test]
fn threads_that_cannot_be_started_are_an_error_or_no_matter() {
    let (home, library) = faults();
    assert_eq!(outcome(&mut run(home.path(), "all")).0, Some(0));
    for most in 0..5 {
        let folder = format!("{most}");
        let mut command = run(home.path(), &folder);
        let (code, said) = outcome(command.env("LD_PRELOAD", &library).env("FAULT_THREADS", &folder));
        match most {
            // One listens for Ctrl-C, two compute, and whoever asks for images decodes them if nobody else does.
            0 => assert!(said.contains("error: cannot listen for Ctrl-C"), "{said}"),
            1 | 2 => assert!(said.contains("error: cannot start the threads to compute with: "), "{said}"),
            _ => {}
        }
        assert_eq!(code, Some(i32::from(most < 3)), "{said}");
        if most >= 3 {
            let network = |folder: &str| std::fs::read(home.path().join(folder).join("finetuned.safetensors")).unwrap();
            assert!(network(&folder) == network("all"), "the same numbers");
        }
    }
}

#[test]
fn metrics_that_cannot_be_read_end_badly_by_name_and_results_stay() {
    let (home, library) = faults();
    let mut command = run(home.path(), "run");
    let (code, said) = outcome(command.env("LD_PRELOAD", &library).env("FAULT_READ", "metrics.jsonl"));
    let error = said.split("\nerror: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    assert!(
        code == Some(1) && error.contains("there are no plots of pretrain") && error.contains("metrics.jsonl"),
        "{said}"
    );
    assert!(said.contains("warning: there are no plots of pretrain"), "{said}");
    assert!(home.path().join("run/summary.json").exists());
    let plot = || {
        let mut command = limpq();
        command.arg("plot").arg(home.path().join("run"));
        command
    };
    let (code, said) = outcome(plot().env("LD_PRELOAD", &library).env("FAULT_READ", "metrics.jsonl"));
    assert!(code == Some(1) && said.contains("error: cannot read ") && said.contains("metrics.jsonl"), "{said}");
    assert_eq!(outcome(&mut plot()).0, Some(0));
    assert!(home.path().join("run/plots/pretrain-loss.svg").exists());
}

#[test]
fn a_clock_that_jumps_is_no_matter_for_results() {
    let (home, library) = faults();
    let (code, said) = outcome(run(home.path(), "run").env("LD_PRELOAD", &library).env("FAULT_CLOCK", "1"));
    assert_eq!(code, Some(0), "{said}");
    let mut command = run(home.path(), "watched");
    let (code, said) = outcome(command.arg("--tensorboard").env("LD_PRELOAD", &library).env("FAULT_CLOCK", "1"));
    // An event has a time since 1970.
    assert!(code == Some(0) && said.contains("tensorboard: the system's clock is before 1970; the run"), "{said}");
    assert!(home.path().join("watched/summary.json").exists());
}

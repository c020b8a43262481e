//! What remains to look at after a run: plots drawn from its metrics, and provenance.

use crate::{fixtures, runs::TINY};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn run(home: &Path, arguments: &[&str]) -> Output {
    let config = fixtures::write(home, "tiny.toml", TINY.as_bytes());
    let device = format!("device={}", fixtures::device_name());
    let mut command = fixtures::limpq();
    command.arg("run").arg(config).arg("--out").arg(home.join("run")).args(["--set", &device]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn plots(run: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(run.join("plots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn plots_are_drawn_at_the_end_of_each_stage_and_again_by_a_command() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    run(home.path(), &["--no-plots"]);
    assert!(!folder.join("plots").exists());
    let versions: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("versions.json")).unwrap()).unwrap();
    let command: Vec<&str> = versions["command"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
    assert!(command[1] == "run" && command.contains(&"--no-plots"), "{command:?}");
    assert!(versions["started"].as_str().is_some_and(|started| started.ends_with('Z')), "{versions}");
    assert!(versions["build"]["rustc"].as_str().is_some_and(|rustc| rustc.starts_with("rustc ")), "{versions}");
    assert!(
        versions["build"]["features"].as_array().unwrap().contains(&"train".into()) && versions["burn"] == "0.22.1"
    );
    run(home.path(), &["--replace", "--set", "seed=6", "--set", "split.validation=0.1"]);
    let drawn = plots(&folder);
    let names: Vec<String> =
        drawn.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let of = |stage: &str, what: &str| ["png", "svg"].map(|form| format!("{stage}-{what}.{form}"));
    let expected = [
        of("fine-tune-found", "loss"),
        of("fine-tune-found", "step-sizes"),
        of("fine-tune-uniform", "loss"),
        of("fine-tune-uniform", "step-sizes"),
        of("indicators", "loss"),
        of("indicators", "step-sizes"),
        of("pretrain", "loss"),
    ];
    assert_eq!(names, expected.concat(), "a network at full precision has no step sizes");
    let svg = |name: &str| fs::read_to_string(folder.join("plots").join(name)).unwrap();
    let loss = svg("indicators-loss.svg");
    for words in ["w4a4", "w3a3", "w2a2", "mixed", "accuracy on validation images"] {
        assert!(loss.contains(words), "{words}");
    }
    let sizes = svg("indicators-step-sizes.svg");
    for words in ["layer1.0.conv1, weights", "layer3.0.downsample.0, activations", "4 bits", "3 bits", "2 bits"] {
        assert!(sizes.contains(words), "{words}");
    }
    let first: Vec<Vec<u8>> = drawn.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::remove_dir_all(folder.join("plots")).unwrap();
    let output = fixtures::limpq().arg("plot").arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), drawn.len());
    let again: Vec<Vec<u8>> = plots(&folder).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(first == again, "the same pictures");
    let output = fixtures::limpq().arg("plot").arg(home.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("error: cannot read ")
            && said.contains("metrics.jsonl; is ")
            && said.contains(" the folder of a run?"),
        "{said}"
    );
}

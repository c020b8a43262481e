//! The provenance in files of indicators and policies is used where the command line says nothing, refused where it
//! contradicts, and a missing one is named.

use crate::{
    fixtures::{self, limpq},
    runs::{go, tiny},
};
use assert_cmd::assert::Assert;
use limpq_core::{
    search::{Indicators, NetworkRecord},
    train::State,
};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Indicators that a run measured on a narrow network for digits, with a metric that puts both tensors on one scale.
fn of_a_run() -> Indicators {
    let mut indicators = fixtures::indicators(&[4, 2]);
    indicators.provenance.alpha = Some(1.0);
    indicators.provenance.network = Some(NetworkRecord {
        options: Some("width = 8\nblocks = 1".parse().unwrap()),
        input: "1x8x8".parse().unwrap(),
        classes: 10,
        fixed: vec!["conv1".into(), "fc".into()],
    });
    indicators
}

const SPELT_OUT: [&str; 12] = [
    "--model",
    "resnet20",
    "--input",
    "1x8x8",
    "--classes",
    "10",
    "--set",
    "model.width=8",
    "--set",
    "model.blocks=1",
    "--alpha",
    "1",
];

fn written(indicators: &Indicators) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), indicators);
    (folder, path)
}

fn ask(command: &str, path: &Path, arguments: &[&str]) -> Assert {
    limpq().arg(command).arg("--indicators").arg(path).args(arguments).assert()
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

/// The commands that search, each with a budget.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("search", &["--budget", "bitops=w3a3"]),
    ("pareto", &["--budget", "bitops=w2a2..w4a4", "--points", "3"]),
    ("sweep-alpha", &["--budget", "bitops=w3a3", "--points", "2"]),
    ("stability", &["--budget", "bitops=w3a3", "--samples", "2"]),
];

/// A run's indicators with `--model resnet20` took 224x224 images, 1000 classes and the default width: 19.195 GBitOPs in the
/// place of 0.0060.
#[test]
fn a_search_is_on_the_network_that_the_file_names() {
    let (_folder, path) = written(&of_a_run());
    for (command, arguments) in COMMANDS {
        let timed = |mut value: Value| {
            let without_time = |of: &mut Value| of["proof"]["seconds"] = 0.into();
            value.get_mut("points").and_then(Value::as_array_mut).into_iter().flatten().for_each(without_time);
            (value["seconds"], value["proof"]["seconds"]) = (0.into(), 0.into());
            value
        };
        let with = |more: &[&str]| timed(json(ask(command, &path, &[arguments, &["--json"], more].concat())));
        let spelt_out = with(&SPELT_OUT);
        assert_eq!(with(&[]), spelt_out, "{command}");
        assert_eq!(with(&["--model", "resnet20"]), spelt_out, "{command}");
        assert!(spelt_out.get("warnings").is_none(), "{command}: {spelt_out}");
    }
    let found = json(ask("search", &path, &["--budget", "bitops=w3a3", "--json"]));
    assert_eq!((&found["alpha"], &found["network"]["input"]), (&1.0.into(), &"1x8x8".into()));
    assert_eq!(found["network"]["options"], serde_json::json!({ "width": 8, "blocks": 1 }));
    // Alpha may be changed freely.
    let other = json(ask("search", &path, &["--budget", "bitops=w3a3", "--json", "--alpha", "3"]));
    assert_eq!(other["alpha"], 3.0);
}

#[test]
fn what_contradicts_the_file_is_refused_with_both_values() {
    let (folder, path) = written(&of_a_run());
    let before = fixtures::listing(folder.path());
    for (command, arguments) in COMMANDS {
        for (wrong, words) in [
            (["--set", "model.width=16"], "resnet20 with model.width = 8; asked for is resnet20 with model.width = 16"),
            (["--input", "3x32x32"], "resnet20 with input 1x8x8; asked for is resnet20 with input 3x32x32"),
            (["--classes", "11"], "resnet20 with classes 10; asked for is resnet20 with classes 11"),
            (["--model", "resnet18"], "the indicators were made for resnet20, not for resnet18"),
        ] {
            let assert = ask(command, &path, &[arguments, &wrong].concat()).code(1).stdout("");
            assert.stderr(contains(words).and(contains("panicked").not()));
        }
    }
    let mut wider = of_a_run();
    wider.provenance.network.as_mut().unwrap().options = Some("width = 12\nblocks = 1".parse().unwrap());
    let wider = fixtures::write(folder.path(), "wider.json", &serde_json::to_vec(&wider).unwrap());
    let with = ["--budget", "bitops=w3a3", "--with", wider.to_str().unwrap()];
    ask("stability", &path, &with)
        .code(1)
        .stderr(contains("model.width = 12; asked for").and(contains("model.width = 8")));
    std::fs::remove_file(wider).unwrap();
    assert_eq!(fixtures::listing(folder.path()), before);
}

#[test]
fn what_nothing_says_is_assumed_aloud() {
    let (_folder, path) = written(&fixtures::indicators(&[4, 2]));
    let given = ["--input", "3x32x32", "--set", "model.blocks=1"];
    let assumed = "assumed: 1000 classes, model.width = 16, alpha 2";
    for (command, arguments) in COMMANDS {
        let arguments = [arguments, &given[..]].concat();
        ask(command, &path, &arguments).success().stdout(contains("\nwarning: ").and(contains(assumed)));
        let assert = ask(command, &path, &[&arguments[..], &["--json"]].concat()).stderr(contains(assumed));
        let warnings = &json(assert)["warnings"];
        assert!(warnings[0].as_str().unwrap().contains(assumed), "{command}: {warnings}");
    }
    let all = [&given[..], &["--classes", "10", "--set", "model.width=16", "--alpha", "2"]].concat();
    ask("search", &path, &[&all[..], &["--budget", "size=8x"]].concat()).success().stdout(contains("warning").not());

    let mut nameless = fixtures::indicators(&[4, 2]);
    nameless.model = None;
    let (_folder, path) = written(&nameless);
    let words = contains("does not say which model it belongs to; give --model");
    ask("search", &path, &["--budget", "size=8x"]).code(1).stdout("").stderr(words);
}

#[test]
fn policies_carry_their_network() {
    let (folder, path) = written(&of_a_run());
    let [a, b, lists, wide] = ["a.json", "b.json", "a.yaml", "wide.json"].map(|name| folder.path().join(name));
    let out = |file: &Path| ["--out".to_owned(), file.display().to_string()];
    let search = |path: &Path, limit: &str, files: &[&Path]| {
        let mut command = limpq();
        command.arg("search").arg("--indicators").arg(path).args(["--budget", limit]);
        for file in files {
            command.args(out(file));
        }
        command.assert().success();
    };
    search(&path, "bitops=w3a3", &[&a, &lists]);
    search(&path, "bitops=w2a4", &[&b]);
    let compare = |one: &Path, other: &Path, arguments: &[&str]| {
        limpq().arg("compare").args([one, other]).args(arguments).assert()
    };
    // Costs, objectives and lists without names need a model; one of the files names it.
    let spelt_out = json(compare(&a, &b, &[&SPELT_OUT[..10], &["--cost", "bitops", "--json"]].concat()));
    assert_eq!(json(compare(&a, &b, &["--cost", "bitops", "--json"]))["costs"], spelt_out["costs"]);
    let report = json(compare(&lists, &lists, &["--indicators", path.to_str().unwrap(), "--json"]));
    assert_eq!(report["alpha"], 1.0);
    let found: Value = serde_json::from_slice(&std::fs::read(&a).unwrap()).unwrap();
    let [one, other] = [&report["objectives"][0], &found["objective"]].map(|value| value.as_f64().unwrap());
    assert!((one - other).abs() < 1e-12);
    compare(&lists, &b, &[]).success().stdout(contains("of 8 layers differ"));

    let both = || contains("model.width = 8").and(contains("model.width = 16"));
    compare(&a, &b, &["--set", "model.width=16"]).code(1).stdout("").stderr(both());
    let mut wider = of_a_run();
    wider.provenance.network.as_mut().unwrap().options = Some("width = 16\nblocks = 1".parse().unwrap());
    search(
        &fixtures::write(folder.path(), "wider.json", &serde_json::to_vec(&wider).unwrap()),
        "bitops=w3a3",
        &[&wide],
    );
    compare(&a, &wide, &[]).code(1).stdout("").stderr(both().and(contains("are for different networks")));
}

/// A run whose pre-trained network has a pruned layer: only zeros as weights, of which nothing is lost at any bits. Quantizers
/// start somewhere with them all the same, and that layer got the largest indicator.
#[test]
fn a_run_writes_down_what_its_indicators_belong_to() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    go(&tiny(&["indicators.epochs=0", "finetune.epochs=0"]), &first);
    let bytes = std::fs::read(first.join("pretrained.safetensors")).unwrap();
    let mut state = State::from_bytes(&bytes, "pretrained").unwrap();
    let pruned = "layer1.0.conv1";
    let mut fill = |name: &str, value: f32| state.0.get_mut(name).unwrap().values.fill(value);
    fill(&format!("{pruned}.weight"), 0.0);
    // What its rectifier makes of -1 everywhere.
    fill("layer1.0.bn1.weight", 0.0);
    fill("layer1.0.bn1.bias", -1.0);
    let dead = "layer1.0.conv2";
    let weights = fixtures::write(home.path(), "pruned.safetensors", &state.to_bytes());
    let path = format!("weights.path={:?}", weights.to_str().unwrap());
    let (summary, _) = go(&tiny(&[&path, "pretrain.epochs=0", "finetune.epochs=0"]), &second);

    let file = second.join("indicators.json");
    let indicators = Indicators::read(&file).unwrap();
    let record = &indicators.provenance;
    let network = record.network.as_ref().unwrap();
    assert_eq!((network.input.to_string(), network.classes), ("1x8x8".to_owned(), 10));
    assert_eq!(network.options, Some("width = 4\nblocks = 1".parse().unwrap()));
    assert_eq!(
        (&network.fixed[..], record.alpha, record.step_sizes),
        (&["conv1".to_owned(), "fc".to_owned()][..], Some(2.0), true)
    );
    assert_eq!(record.sensitivity_options.as_ref().unwrap()["gradients"].as_str(), Some("sum"));
    assert_eq!((&record.zero_weights, &record.zero_inputs), (&vec![pruned.to_owned()], &vec![dead.to_owned()]));
    let zero = |values: &std::collections::BTreeMap<_, f64>| values.values().all(|&value| value == 0.0);
    assert!(zero(&indicators.layers[pruned].weight) && zero(&indicators.layers[dead].act));
    assert!(!zero(&indicators.layers[pruned].act) && !zero(&indicators.layers[dead].weight));
    let initial = record.initial.as_ref().unwrap();
    assert!(
        initial.keys().eq(indicators.layers.keys()) && initial["layer2.0.conv1"] != indicators.layers["layer2.0.conv1"]
    );
    assert!(
        summary.warnings.iter().any(|warning| warning.contains("only zeros as weights") && warning.contains(pruned))
    );

    // The same search from the command line, told nothing but the budgets.
    let found = json(ask("search", &file, &["--budget", "bitops=w3a3", "--budget", "size=9x", "--json"]));
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(second.join(name)).unwrap()).unwrap() };
    for key in ["model", "network", "policy", "objective", "alpha", "warnings"] {
        assert_eq!(found[key], read("policy.json")[key], "{key}");
    }
    assert_eq!(read("summary.json")["warnings"], found["warnings"]);
}

//! Measured costs from the command line: template, check, search.

use crate::fixtures::{self, NETWORK, limpq};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The model and the shape of the small network, as `latency-template` and `latency-check` take them.
fn network() -> (&'static str, Vec<&'static str>) {
    let model = NETWORK.iter().position(|&word| word == "--model").expect("a model") + 1;
    let rest = NETWORK.iter().enumerate().filter(|&(place, _)| place != model && place + 1 != model);
    (NETWORK[model], rest.map(|(_, &word)| word).collect())
}

fn template(out: &Path, more: &[&str]) {
    let (model, rest) = network();
    limpq().arg("latency-template").arg(model).args(rest).args(more).arg("--out").arg(out).assert().success();
}

fn check(file: &Path, more: &[&str]) -> assert_cmd::assert::Assert {
    limpq().arg("latency-check").arg(file).args(NETWORK).args(more).assert()
}

/// Two microseconds for each bit of weights and one for each of activations.
fn filled(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let fill = |(place, line): (usize, &str)| {
        if place == 0 {
            return format!("{line}\n");
        }
        let mut fields = line.rsplit(',').skip(1);
        let [act, weight] = [(); 2].map(|()| fields.next().unwrap().parse::<u64>().unwrap());
        format!("{line}{}\n", 2 * weight + act)
    };
    text.lines().enumerate().map(fill).collect()
}

fn filled_template(folder: &Path) -> PathBuf {
    let path = folder.join("latency.csv");
    template(&path, &["--bits", "4,2"]);
    let text = filled(&path);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_filled_template_is_complete_and_limits_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled_template(folder.path());
    check(&path, &["--bits", "4,2"]).success();
    let indicators = fixtures::write_json(folder.path(), &fixtures::indicators(&[4, 2]));
    let output = limpq()
        .arg("search")
        .args(NETWORK)
        .arg("--indicators")
        .arg(indicators)
        .args(["--budget", "latency_table=w3a3", "--json", "--set"])
        .arg(format!("cost.latency_table.path={}", path.display()))
        .assert();
    // w3a3 was not measured.
    output.failure().stderr(contains("latency_table").and(contains("w3a3")));
    let indicators = folder.path().join("indicators.json");
    let assert = limpq()
        .arg("search")
        .args(NETWORK)
        .arg("--indicators")
        .arg(&indicators)
        .args(["--budget", "latency_table=w3a3", "--json", "--set", "cost.latency_table.interpolate=linear", "--set"])
        .arg(format!("cost.latency_table.path={}", path.display()))
        .assert()
        .success();
    let answer: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let layers = fixtures::graph().searchable().len() as f64;
    let budget = &answer["budgets"][0];
    // In microseconds: every layer takes 2*3 + 3, stem and classifier 2*8 + 8.
    assert_eq!(budget["limit"].as_f64().unwrap(), 9.0 * layers + 2.0 * 24.0);
    assert_eq!(budget["unit"], "us");
    let used: f64 = answer["policy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bits| 2.0 * bits["weight_bits"].as_f64().unwrap() + bits["act_bits"].as_f64().unwrap())
        .sum();
    assert!((budget["used"].as_f64().unwrap() - (used + 48.0)).abs() < 1e-12);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled_template(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The second line of entries, the first searchable layer at w4a4, has lost its number.
    let (kept, _) = lines[2].rsplit_once(',').unwrap();
    let gap = text.replacen(lines[2], &format!("{kept},"), 1);
    fs::write(&path, gap).unwrap();
    let layer = &fixtures::graph().searchable()[0].name;
    let failed = check(&path, &["--bits", "4,2"]).failure();
    failed.stdout(contains(format!("{layer} w4a4"))).stderr(contains("1 missing, 0 left over"));
    let json = check(&path, &["--bits", "4,2", "--json"]).failure();
    let audit: Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(audit["missing"], serde_json::json!([format!("{layer} w4a4")]));
    check(&path, &["--bits", "8"]).failure().stderr(contains("missing"));
}

#[test]
fn a_file_with_measurements_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled_template(folder.path());
    let before = fs::read(&path).unwrap();
    let (model, rest) = network();
    let again = limpq().arg("latency-template").arg(model).args(rest).arg("--out").arg(&path).assert();
    again.failure().stderr(contains("is there already and may hold measurements"));
    assert_eq!(fs::read(&path).unwrap(), before);
    let other = folder.path().join("latency.txt");
    let (model, rest) = network();
    let refused = limpq().arg("latency-template").arg(model).args(rest).arg("--out").arg(&other).assert();
    refused.failure().stderr(contains("the name must end in .csv or .json"));
    assert!(!other.exists());
}

#[test]
fn energy_and_signatures_have_templates_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("energy.json");
    template(&path, &["--energy", "--by-signature"]);
    let entries: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(entries.iter().all(|entry| entry["picojoules"].is_null() && entry.get("layer").is_none()));
    let failed = check(&path, &["--energy"]).failure();
    failed.stdout(contains("without one")).stderr(contains("cannot be used"));
}

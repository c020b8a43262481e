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
    failed.stdout(contains(format!("{layer} w4a4"))).stderr(contains("1 missing, 0 unused"));
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
    again.failure().stderr(contains("exists already and may hold measurements"));
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
    failed.stdout(contains("without a value")).stderr(contains("cannot be used"));
}

#[test]
fn a_file_passes_with_the_options_that_a_search_takes_it_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled_template(folder.path());
    // Another network's layer, and neither stem nor classifier.
    let text = fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| !line.starts_with("conv1,") && !line.starts_with("fc,"));
    let other = "layer9.0.conv1,conv,64x8x8,64x8x8,3,1,1,4,4,12";
    let text: String = kept.chain([other]).map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    let with = |options: &[&str]| {
        let set = options.iter().flat_map(|option| ["--set", option]);
        check(&path, &["--bits", "4,2"].into_iter().chain(set).collect::<Vec<_>>())
    };
    let (unused, fixed) = ("cost.latency_table.allow_unused=true", "cost.latency_table.fixed_layers=false");
    with(&[]).failure().stderr(contains("2 missing, 1 unused, 0 measured on another shape, 0 falling"));
    with(&[unused]).failure().stderr(contains("2 missing, 0 unused"));
    with(&[unused, fixed]).success().stdout(contains("layer \"layer9.0.conv1\" is not in resnet20"));

    let wrong = |set: &str, words: &str| {
        with(&[set]).failure().stdout("").stderr(contains(words));
    };
    wrong(
        "cost.latency_table.alow_unused=true",
        "--set cost.latency_table\n  caused by: alow_unused: unknown field `alow_unused`",
    );
    wrong("cost.energy.allow_unused=true", "unknown key \"energy\"; there are: latency_table.OPTION=VALUE");
    wrong("cost.latency_table.path=other.csv", "--set cost.latency_table.path=other.csv: the file to check is ");

    // What a search says of the same file.
    let indicators = fixtures::write_json(folder.path(), &fixtures::indicators(&[4, 2]));
    let search = |options: &[&str]| {
        let mut command = limpq();
        command
            .arg("search")
            .args(NETWORK)
            .arg("--indicators")
            .arg(&indicators)
            .args(["--budget", "latency_table=60us"]);
        command.arg("--set").arg(format!("cost.latency_table.path={}", path.display()));
        command.args(options.iter().flat_map(|option| ["--set", option])).assert()
    };
    search(&[unused]).failure();
    search(&[unused, fixed]).success();
}

#[test]
fn numbers_that_fall_while_bits_rise_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled_template(folder.path());
    // 2*4 + 4 = 12 microseconds at w4a4; now less than the 8 at w2a4 and the 10 at w4a2.
    let text = fs::read_to_string(&path).unwrap();
    let fast = |line: &str| match line.starts_with("layer2.0.conv1,") && line.ends_with(",4,4,12") {
        true => line.replace(",4,4,12", ",4,4,7.5") + "\n",
        false => format!("{line}\n"),
    };
    fs::write(&path, text.lines().map(fast).collect::<String>()).unwrap();
    let heading = "falling while bits rise (check whether this is noise):\n";
    let listed = format!(
        "{heading}  layer2.0.conv1: w2a4 8 microseconds, w4a4 only 7.5 microseconds\n  \
         layer2.0.conv1: w4a2 10 microseconds, w4a4 only 7.5 microseconds\n"
    );
    check(&path, &["--bits", "4,2"]).success().stdout(contains(&listed));
    let strict = ["--bits", "4,2", "--set", "cost.latency_table.require_monotone=true"];
    check(&path, &strict)
        .failure()
        .stdout(contains(&listed))
        .stderr(contains("0 measured on another shape, 2 falling"));
}

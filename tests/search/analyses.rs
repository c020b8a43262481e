//! More than one answer, from the command line: fronts, best policies, sweeps, stability, comparison.

use crate::fixtures::{self, NETWORK, limpq};
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A folder with made-up indicators.
fn with_indicators() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), &fixtures::indicators(&[4, 2]));
    (folder, path)
}

/// A command on the small network. Rules leave few enough policies for any solver.
fn ask(command: &str, indicators: &Path, arguments: &[&str]) -> Assert {
    let held = ["--layer", "layer2.*=w4a4", "--layer", "layer3.*=w4a2"];
    limpq().arg(command).args(NETWORK).arg("--indicators").arg(indicators).args(held).args(arguments).assert()
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

/// Arguments that must fail with these words and write nothing.
fn refused(command: &str, arguments: &[&str], words: &[&str]) {
    let (folder, path) = with_indicators();
    let before = fixtures::listing(folder.path());
    let mut assert = ask(command, &path, arguments).failure().stdout("");
    for word in words {
        assert = assert.stderr(contains(*word));
    }
    assert.stderr(contains("panicked").not());
    assert_eq!(fixtures::listing(folder.path()), before);
}

const SWEPT: [&str; 4] = ["--budget", "size=8.5x..7.6x", "--budget", "bitops=w4a4"];

#[test]
fn a_front_is_printed_and_written_in_every_form() {
    let (folder, path) = with_indicators();
    let files = ["front.json", "front.csv"].map(|name| folder.path().join(name));
    let outs = files.iter().flat_map(|file| ["--out", file.to_str().unwrap()]);
    let arguments: Vec<&str> = SWEPT.into_iter().chain(["--all", "--json"]).chain(outs).collect();
    let printed = json(ask("pareto", &path, &arguments));
    let [as_json, as_csv] = files.map(|file| std::fs::read(file).unwrap());
    assert_eq!(serde_json::from_slice::<Value>(&as_json).unwrap(), printed);
    assert_eq!((&printed["every_point"], &printed["axes"][0]["name"]), (&true.into(), &"size".into()));
    let points = printed["points"].as_array().unwrap();
    assert!(points.len() > 1 && points.iter().all(|point| point["proof"]["status"] == "optimal"));
    let csv = String::from_utf8(as_csv).unwrap();
    let headings =
        "size_limit_mib,size_used_mib,bitops_used_gbitops,mean_weight_bits,mean_act_bits,objective,status,gap,";
    assert!(csv.starts_with(headings), "{csv}");
    assert_eq!(csv.lines().count(), points.len() + 1);

    let words = contains("to be every point of the front").and(contains("accounting: exact"));
    ask("pareto", &path, &[&SWEPT[..], &["--all"]].concat()).success().stdout(words);
    let words = contains("at 5 limits, of which 5 are proven").and(contains("size against 32 bits"));
    ask("pareto", &path, &[&SWEPT[..], &["--points", "5"]].concat()).success().stdout(words);
}

#[cfg(feature = "plots")]
#[test]
fn a_front_is_drawn() {
    let (folder, path) = with_indicators();
    let files = ["front.svg", "front.png"].map(|name| folder.path().join(name));
    let outs = files.iter().flat_map(|file| ["--out", file.to_str().unwrap()]);
    ask("pareto", &path, &SWEPT.into_iter().chain(["--all"]).chain(outs).collect::<Vec<_>>()).success();
    let [as_svg, as_png] = files.map(|file| std::fs::read(file).unwrap());
    let svg = String::from_utf8(as_svg).unwrap();
    for words in ["size used, MiB", "objective", "best mixed precision, proven", "within bitops=w4a4"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(as_png.starts_with(b"\x89PNG"));
}

#[cfg(not(feature = "plots"))]
#[test]
fn a_program_without_plots_says_how_to_get_them() {
    let (folder, path) = with_indicators();
    let file = folder.path().join("front.svg");
    let refused = ask("pareto", &path, &[&SWEPT[..], &["--out", file.to_str().unwrap()]].concat()).failure();
    refused.stderr(contains("front.svg").and(contains("add `--features plots`")));
    assert!(!file.exists());
}

#[cfg(feature = "plots")]
#[test]
fn a_front_of_two_budgets_is_a_map() {
    let (folder, path) = with_indicators();
    let file = folder.path().join("map.svg");
    let ranges = ["--budget", "size=20x..7.6x", "--budget", "bitops=w2a2..w4a4", "--points", "4", "--out"];
    let assert = ask("pareto", &path, &[&ranges[..], &[file.to_str().unwrap()]].concat()).success();
    assert.stdout(contains("of 16 pairs of limits have no policy within them (proven)"));
    let svg = std::fs::read_to_string(file).unwrap();
    for words in ["size limit, MiB", "bitops limit, GBitOPs", "no policy"] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn a_front_that_starts_later_says_where() {
    let (_folder, path) = with_indicators();
    let words = contains("no policy keeps size at").and(contains("the front starts there"));
    ask("pareto", &path, &["--budget", "size=20x..7.6x", "--points", "6"]).success().stdout(words);
}

#[test]
fn fronts_that_cannot_be() {
    let range = "a front sweeps one or two. Give a range such as size=4MiB..12MiB";
    refused("pareto", &[], &["0 budgets are ranges", range]);
    refused("pareto", &["--budget", "size=9x"], &["0 budgets are ranges", range]);
    let three = ["--budget", "size=9x..8x", "--budget", "bitops=w2a2..w4a4", "--budget", "average_bits=2..3"];
    refused("pareto", &three, &["3 budgets are ranges", range]);
    refused("pareto", &["--budget", "size=8x..9x"], &["budget size: the range \"8x..9x\" is empty"]);
    refused("pareto", &["--budget", "size=9x.."], &["budget size=9x.. is a range without an end"]);
    refused("pareto", &["--budget", "size=40x..30x"], &["least achievable", "out of reach"]);
    refused(
        "pareto",
        &[&three[..4], &["--all"]].concat(),
        &["for one range only", "give the number of points instead", "hint: --points"],
    );
    refused("pareto", &[&SWEPT[..], &["--all", "--points", "5"]].concat(), &["cannot be used with"]);
    refused("pareto", &[&SWEPT[..], &["--points", "1"]].concat(), &["1 is not in 2..=1000"]);
    refused(
        "pareto",
        &[&SWEPT[..], &["--out", "x.pdf"]].concat(),
        &["--out x.pdf: the name must end in .json", ".png"],
    );
}

#[test]
fn the_best_policies_are_listed() {
    let (_folder, path) = with_indicators();
    let budget = ["--budget", "size=8x", "--top", "5"];
    let found = json(ask("search", &path, &[&budget[..], &["--json"]].concat()));
    let alternatives = found["alternatives"].as_array().unwrap();
    assert_eq!(alternatives.len(), 5);
    assert_eq!((&alternatives[0]["policy"], &alternatives[0]["difference"]), (&found["policy"], &0.0.into()));
    assert!(alternatives.windows(2).all(|pair| pair[0]["objective"].as_f64() <= pair[1]["objective"].as_f64()));
    assert!(alternatives[1]["changed"][0]["layer"].is_string() && alternatives[4]["proven"] == true);
    let words = contains("above the best").and(contains(" -> w"));
    ask("search", &path, &budget).success().stdout(words);
    let plain = json(ask("search", &path, &["--budget", "size=8x", "--json"]));
    assert!(plain.get("alternatives").is_none());
    let few = ["--layer", "layer1.*=w4a4", "--budget", "size=7x", "--top", "5"];
    ask("search", &path, &few).success().stdout(contains("no more than 1 were found within the budgets"));
    for count in ["0", "1001"] {
        refused("search", &["--budget", "size=8x", "--top", count], &["is not in 1..=1000"]);
    }
}

#[test]
fn alpha_is_swept() {
    let (folder, path) = with_indicators();
    let file = folder.path().join("alpha.csv");
    let arguments = ["--budget", "size=8x", "--budget", "bitops=w3a3", "--points", "3", "--json", "--out"];
    let sweep = json(ask("sweep-alpha", &path, &[&arguments[..], &[file.to_str().unwrap()]].concat()));
    let points = sweep["points"].as_array().unwrap();
    let alphas: Vec<f64> = points.iter().map(|point| point["alpha"].as_f64().unwrap()).collect();
    assert_eq!((alphas[0], alphas[2], alphas.len()), (0.5, 8.0, 3));
    // The middle of 0.5 and 8 in logarithms is 2, the reference.
    assert!((alphas[1] - 2.0).abs() < 1e-12);
    assert_eq!(points[1]["layers_changed_from_reference"], 0);
    assert!(points[0]["layers_changed_from_previous"].is_null());
    for point in points {
        let of = |key: &str| point[key].as_f64().unwrap();
        let sum = of("act_indicators") + of("alpha") * of("weight_indicators");
        assert!((sum - of("objective")).abs() < 1e-9);
    }
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 4);
    let words = contains("layers changed from alpha 2").and(contains("cannot be compared"));
    ask("sweep-alpha", &path, &["--budget", "size=8x", "--points", "2"]).success().stdout(words);

    let budget = ["--budget", "size=8x"];
    refused("sweep-alpha", &["--points", "3"], &["no budget is given"]);
    for ends in [["--from", "4", "--to", "1"], ["--from", "-1", "--to", "1"], ["--from", "nan", "--to", "1"]] {
        refused(
            "sweep-alpha",
            &[&budget[..], &ends].concat(),
            &["the first must be 0 or a positive number, the second a larger one"],
        );
    }
}

#[test]
fn stability_is_reported() {
    let (folder, path) = with_indicators();
    let budget = ["--budget", "size=8x", "--budget", "bitops=w3a3"];
    let noisy = [&budget[..], &["--noise", "0.4", "--samples", "20"]].concat();
    let report = json(ask("stability", &path, &[&noisy[..], &["--json"]].concat()));
    assert_eq!((&report["searches"], &report["seed"], &report["unproven"]), (&20.into(), &0.into(), &0.into()));
    assert_eq!(report["layers"].as_array().unwrap().len(), 8);
    assert!(report["regret"]["mean"].as_f64().unwrap() >= 0.0);
    let words =
        contains("20 searches with lognormal noise of 0.4").and(contains("regret")).and(contains("of 8 on average"));
    ask("stability", &path, &noisy).success().stdout(words);
    // Another file, here the same one, changes nothing.
    let with = [&budget[..], &["--with", path.to_str().unwrap()]].concat();
    ask("stability", &path, &with).success().stdout(contains("no layer changes in any search"));

    let mut other = fixtures::indicators(&[4, 2]);
    other.model = Some("resnet18".to_owned());
    let other = fixtures::write(folder.path(), "other.json", &serde_json::to_vec(&other).unwrap());
    let with = [&budget[..], &["--with", other.to_str().unwrap()]].concat();
    ask("stability", &path, &with).code(1).stderr(contains("the indicators were made for resnet18, not for resnet20"));
    refused(
        "stability",
        &[&budget[..], &["--noise", "-1"]].concat(),
        &["--noise must be a number from 0 to 10, got -1"],
    );
    refused("stability", &[&budget[..], &["--samples", "0"]].concat(), &["0 is not in 1..=100000"]);
}

/// The policies of one search in every form, and another one.
fn policies(folder: &Path, indicators: &Path) -> [PathBuf; 4] {
    let files = ["a.json", "a.yaml", "a.csv", "b.csv"].map(|name| folder.join(name));
    let outs: Vec<&str> = files[..3].iter().flat_map(|file| ["--out", file.to_str().unwrap()]).collect();
    ask("search", indicators, &[&["--budget", "size=8x"], &outs[..]].concat()).success();
    let out = ["--budget", "bitops=w3a3", "--out", files[3].to_str().unwrap()];
    ask("search", indicators, &out).success();
    files
}

#[test]
fn policies_are_compared_whatever_their_form() {
    let (folder, path) = with_indicators();
    let [a_json, a_yaml, a_csv, b] = policies(folder.path(), &path);
    let compare = |a: &Path, b: &Path| {
        let mut command = limpq();
        command.arg("compare").arg(a).arg(b);
        command
    };
    for other in [&a_yaml, &a_csv] {
        compare(&a_json, other).args(NETWORK).assert().success().stdout(contains("0 of 8 layers differ"));
    }
    compare(&a_json, &b).assert().success().stdout(contains("of 8 layers differ").and(contains("bitops").not()));
    let all = compare(&a_json, &b).arg("--all").assert().success();
    all.stdout(contains("layer3.0.conv2"));
    let full = [&NETWORK[..], &["--json", "--cost", "size", "--indicators", path.to_str().unwrap()]].concat();
    let report = json(compare(&a_json, &b).args(&full).assert());
    assert_eq!(report["costs"].as_array().unwrap().len(), 1);
    assert_eq!((&report["accounting"], &report["alpha"]), (&"exact".into(), &2.0.into()));
    let found: Value = serde_json::from_slice(&std::fs::read(&a_json).unwrap()).unwrap();
    let [objective, wanted] = [&report["objectives"][0], &found["objective"]].map(|value| value.as_f64().unwrap());
    assert!((objective - wanted).abs() < 1e-9);

    let fails = |a: &Path, b: &Path, arguments: &[&str], words: &str| {
        compare(a, b).args(arguments).assert().failure().stdout("").stderr(contains(words));
    };
    fails(&a_yaml, &b, &[], "has bits of 8 layers without names, as LIMPQ lists them; name the model");
    fails(&a_json, &b, &["--model", "resnet18"], "the policy is for resnet20, not for resnet18");
    fails(&a_yaml, &b, &["--model", "resnet18"], "weight_bits has 8 entries; resnet18 has 19 layers");
    fails(&a_csv, &b, &["--cost", "size"], "does not say which model it belongs to; give --model");
    let unknown = [&NETWORK[..], &["--cost", "sise"]].concat();
    fails(&a_json, &b, &unknown, "no cost is called \"sise\" (did you mean \"size\"?)");
    let shorter = fixtures::write(folder.path(), "short.csv", b"layer,weight_bits,act_bits\nlayer1.0.conv1,4,4\n");
    fails(&a_json, &shorter, &[], "only policies for the same layers can be compared");
    fails(&a_json, &folder.path().join("none.json"), &[], "cannot read the policy");
}

//! Indicators that a search can be proven optimal for though they mean nothing, or that a float hardly holds.

use crate::fixtures::{self, NETWORK, limpq};
use assert_cmd::assert::Assert;
use limpq_core::search::{BitWidth, Indicators};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

/// A command on the small network with changed indicators.
fn ask(command: &str, arguments: &[&str], change: impl FnOnce(&mut Indicators)) -> Assert {
    ask_among(&[4, 3, 2], command, arguments, change)
}

fn ask_among(bits: &[u64], command: &str, arguments: &[&str], change: impl FnOnce(&mut Indicators)) -> Assert {
    let mut indicators = fixtures::indicators(bits);
    change(&mut indicators);
    let folder = tempfile::tempdir().unwrap();
    let path = fixtures::write_json(folder.path(), &indicators);
    limpq().arg(command).args(NETWORK).arg("--indicators").arg(path).args(arguments).assert()
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

fn set(indicators: &mut Indicators, layer: &str, bits: u64, value: f64) {
    indicators.layers.get_mut(layer).unwrap().weight.insert(BitWidth::new(bits).unwrap(), value);
}

/// The indicators that one training without clipping ended with: 1e-5 at 2 bits beside 45 at 4 bits.
#[test]
fn an_audit_warns_in_the_output_and_in_the_artifact() {
    let diverged = |indicators: &mut Indicators| {
        set(indicators, "layer2.0.conv1", 2, 1e-5);
        set(indicators, "layer2.0.conv1", 4, 45.0);
    };
    let words = ["at 1e-5, the lower bound", "rise with the bits"];
    for (command, arguments) in [
        ("search", &["--budget", "bitops=w3a3"][..]),
        ("pareto", &["--budget", "bitops=w2a2..w4a4", "--points", "3"]),
        ("sweep-alpha", &["--budget", "bitops=w3a3", "--points", "2"]),
        ("stability", &["--budget", "bitops=w3a3", "--samples", "2"]),
    ] {
        for words in words {
            ask(command, arguments, diverged).success().stdout(contains("warning: ").and(contains(words)));
            let found = json(ask(command, &[arguments, &["--json"]].concat(), diverged));
            let told = found["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains(words));
            assert!(told, "{command}: {}", found["warnings"]);
        }
        ask(command, arguments, |_| ()).success().stdout(contains("the lower bound").not());
    }
}

/// Scaled by 1e-288 and less a worse policy was called optimal, with gap 0; here from 1e-295 on.
#[test]
fn the_size_of_all_indicators_together_changes_no_policy() {
    let policy = |scale: f64| {
        let scaled = |indicators: &mut Indicators| {
            for layer in indicators.layers.values_mut() {
                layer.weight.values_mut().chain(layer.act.values_mut()).for_each(|value| *value *= scale);
            }
        };
        let budgets = ["--budget", "bitops=w4a4", "--budget", "size=8x", "--budget", "average_act_bits=4", "--json"];
        let found = json(ask_among(&[6, 5, 4, 3, 2], "search", &budgets, scaled));
        assert_eq!(found["proof"]["status"], "optimal");
        found["policy"].clone()
    };
    let plain = policy(1.0);
    for scale in [1e-270, 1e-288, 1e-295, 1e-300, 1e-305, 1e250, 1e300] {
        assert_eq!(policy(scale), plain, "{scale}");
    }
}

/// A pair of bits that no good policy has does not set the scale that the others are compared at.
#[test]
fn one_huge_indicator_does_not_blur_the_others() {
    let budget = ["--budget", "bitops=w3a3", "--json"];
    let without = json(ask("search", &[&budget[..], &["--layer", "layer1.0.conv1=w4,3"]].concat(), |_| ()));
    for huge in [1e30, 1e100, 1e300] {
        let found = json(ask("search", &budget, |indicators| set(indicators, "layer1.0.conv1", 2, huge)));
        assert_eq!((&found["policy"], &found["objective"]), (&without["policy"], &without["objective"]), "{huge}");
    }
}

#[test]
fn sums_beyond_a_float_are_refused_before_they_are_solved() {
    for (command, arguments) in [
        ("search", &["--budget", "bitops=w3a3"][..]),
        ("pareto", &["--budget", "bitops=w2a2..w4a4"]),
        ("sweep-alpha", &["--budget", "bitops=w3a3"]),
        ("stability", &["--budget", "bitops=w3a3"]),
    ] {
        let arguments = [arguments, &["--json"]].concat();
        let words = || contains("too large to be added up with alpha").and(contains("panicked").not());
        let large = [&arguments[..], &["--alpha", "1.7e308"]].concat();
        let huge = |indicators: &mut Indicators| {
            for layer in indicators.layers.values_mut() {
                layer.act.insert(BitWidth::new(2).unwrap(), 1e308);
            }
        };
        let tenfold = |indicators: &mut Indicators| {
            indicators.layers.values_mut().flat_map(|layer| layer.weight.values_mut()).for_each(|value| *value *= 10.0);
        };
        ask(command, &large, tenfold).code(1).stdout("").stderr(words());
        ask(command, &arguments, huge).code(1).stdout("").stderr(words());
    }
    let ends = ["--budget", "bitops=w3a3", "--from", "1", "--to", "1.7e308", "--json"];
    let large = |indicators: &mut Indicators| set(indicators, "layer1.0.conv1", 4, 2.0);
    ask("sweep-alpha", &ends, large).code(1).stdout("").stderr(contains("too large"));
}

#[test]
fn with_alpha_0_weights_do_not_count() {
    let budget = ["--budget", "average_act_bits=3", "--alpha", "0", "--json"];
    let found = json(ask("search", &budget, |_| ()));
    let doubled = json(ask("search", &budget, |indicators| {
        indicators.layers.values_mut().flat_map(|layer| layer.weight.values_mut()).for_each(|value| *value *= 2.0);
    }));
    assert_eq!((&found["objective"], &found["alpha"]), (&doubled["objective"], &0.0.into()));
    let ends = ["--budget", "bitops=w3a3", "--from", "0", "--to", "4", "--points", "5", "--json"];
    let sweep = json(ask("sweep-alpha", &ends, |_| ()));
    let alphas: Vec<f64> = sweep["points"].as_array().unwrap().iter().map(|p| p["alpha"].as_f64().unwrap()).collect();
    assert_eq!(alphas, [0.0, 1.0, 2.0, 3.0, 4.0]);
    ask("stability", &["--budget", "bitops=w3a3", "--alpha", "0", "--samples", "2"], |_| ()).success();
}

/// 3 bits look better than 4 for one layer. LIMPQ's rule forbids 3 there by the file, whether or not 4 may be chosen.
#[test]
fn the_rule_on_rising_indicators_has_a_name_of_its_own() {
    let bits = |arguments: &[&str]| -> Value {
        let rising = |indicators: &mut Indicators| set(indicators, "layer1.0.conv1", 3, 1e-4);
        let held = ["--layer", "layer1.0.conv1=w3,2", "--budget", "size=8x", "--json"];
        let found = json(ask("search", &[&held[..], arguments].concat(), rising));
        let layer = found["policy"].as_array().unwrap().iter().find(|layer| layer["layer"] == "layer1.0.conv1");
        serde_json::json!([layer.unwrap()["weight_bits"], found["rising_indicators"]])
    };
    assert_eq!(bits(&[]), serde_json::json!([3, "allow"]));
    assert_eq!(bits(&["--rising-indicators", "forbid"]), serde_json::json!([2, "forbid"]));
    assert_eq!(bits(&["--accounting", "limpq"]), serde_json::json!([2, "forbid"]));
    assert_eq!(bits(&["--accounting", "limpq", "--rising-indicators", "allow"]), serde_json::json!([3, "allow"]));
    let all = |indicators: &mut Indicators| {
        set(indicators, "layer1.0.conv1", 3, 1e-4);
        set(indicators, "layer1.0.conv1", 2, 1e-5);
    };
    let none = ["--layer", "layer1.0.conv1=w3,2", "--budget", "size=8x", "--rising-indicators", "forbid"];
    let words =
        contains("layer \"layer1.0.conv1\" has no bit-width left").and(contains("rising_indicators = \"forbid\""));
    ask("search", &none, all).code(1).stdout("").stderr(words);
}

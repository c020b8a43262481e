//! The complete error text for every kind of bad input to a search.

use crate::fixtures::{self, NETWORK, limpq};
use limpq_core::search::BitWidth;
use std::path::Path;

/// `limpq search` on the small network with made-up indicators, in a folder with these files. It must fail with this text and
/// write nothing.
fn refused(files: &[(&str, &str)], arguments: &[&str], wanted: &str) {
    let folder = tempfile::tempdir().unwrap();
    fixtures::write_json(folder.path(), &fixtures::indicators(&[4, 2]));
    for (name, content) in files {
        fixtures::write(folder.path(), name, content.as_bytes());
    }
    ask(folder.path(), "indicators.json", arguments, wanted);
}

fn ask(folder: &Path, indicators: &str, arguments: &[&str], wanted: &str) {
    let before = fixtures::listing(folder);
    let mut command = limpq();
    command.current_dir(folder).arg("search").args(NETWORK).args(["--indicators", indicators, "--out", "policy.json"]);
    command.args(arguments).assert().code(1).stdout("").stderr(format!("error: {wanted}\n"));
    assert_eq!(fixtures::listing(folder), before);
}

/// A table with 10 microseconds for everything but what `left_out` names.
fn table(left_out: &str) -> String {
    let mut table = "layer,w_bits,a_bits,microseconds\n".to_owned();
    for layer in fixtures::graph().layers().iter().filter(|layer| layer.name != left_out) {
        let bits: &[[u64; 2]] = if layer.fixed { &[[8, 8]] } else { &[[4, 4], [4, 2], [2, 4], [2, 2]] };
        bits.iter().for_each(|[weight, act]| table += &format!("{},{weight},{act},10\n", layer.name));
    }
    table
}

const WITH_TABLE: [&str; 4] = ["--budget", "latency_table=80us", "--set", "cost.latency_table.path=table.csv"];

#[test]
fn a_table_without_a_layer() {
    refused(
        &[("table.csv", &table("layer2.0.conv1"))],
        &WITH_TABLE,
        "cost latency_table does not know 4 of the layers and bits that this search needs: layer2.0.conv1 w4a4, layer2.0.conv1 \
         w4a2, layer2.0.conv1 w2a4, layer2.0.conv1 w2a2",
    );
    refused(
        &[("table.csv", &table("fc"))],
        &WITH_TABLE,
        "cost latency_table does not know 1 of the layers and bits that this search needs: fc at its fixed 8 bits",
    );
}

#[test]
fn a_glob_that_matches_nothing() {
    let budget = ["--budget", "bitops=w3a3"];
    refused(
        &[],
        &[&budget[..], &["--layer", "layer4.*=w4"]].concat(),
        "\"layer4.*=w4\" matches no searchable layer of resnet20; nearest: layer3.0.conv2",
    );
    refused(
        &[],
        &[&budget[..], &["--share", "layer4.*"]].concat(),
        "\"layer4.*\" matches no searchable layer of resnet20; nearest: layer3.0.conv2",
    );
}

#[test]
fn contradictory_pins() {
    let pins = ["--budget", "bitops=w3a3", "--layer", "layer1.*=w2", "--layer", "*.conv1=w4a4"];
    refused(
        &[],
        &pins,
        "the rules leave layer \"layer1.0.conv1\" no weight bits: layer1.*=w2 and *.conv1=w4a4. Drop or widen one of them",
    );
    let shared = ["--layer", "layer2.0.conv2=a2", "--layer", "*.downsample.0=a4", "--share", "@residual"];
    refused(
        &[],
        &[&pins[..2], &shared].concat(),
        "layers layer2.0.conv2, layer2.0.downsample.0 share their activation bits, but the rules on them have no bit-width in \
         common",
    );
}

#[test]
fn a_negative_budget() {
    refused(&[], &["--budget", "size=-3MiB"], "budget size: the limit must be a positive number, got \"-3MiB\"");
    refused(&[], &["--budget", "bitops=-5"], "budget bitops: the limit must be a positive number, got \"-5\"");
}

#[test]
fn an_unknown_unit() {
    refused(
        &[],
        &["--budget", "size=8parsec"],
        "budget size: cannot read limit \"8parsec\"; allowed here: 8KiB, 8MiB, 8GiB, 8kB, 8MB, 8GB, 8bits, 8B, 12.2x (compression against 32 bits), w3a4 (that of a uniform \
         policy), or a range such as w2a2..w3a4",
    );
    refused(
        &[],
        &["--budget", "bitops=5MiB"],
        "budget bitops: cannot read limit \"5MiB\"; allowed here: 8K, 8M, 8G, 8GBitOPs, 8T, 12.2x (compression against 32 bits), w3a4 (that of a uniform \
         policy), or a range such as w2a2..w3a4",
    );
}

#[test]
fn a_budget_that_is_not_a_number() {
    refused(&[], &["--budget", "bitops=nan"], "budget bitops: the limit must be a positive number, got \"nan\"");
    refused(&[], &["--budget", "size=NaNMiB"], "budget size: the limit must be a positive number, got \"NaNMiB\"");
}

#[test]
fn an_indicator_that_is_not_a_number() {
    for (value, shown) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (-0.5, "-0.5")] {
        let mut indicators = fixtures::indicators(&[4, 2]);
        indicators.layers.get_mut("layer1.0.conv2").unwrap().act.insert(BitWidth::new(4).unwrap(), value);
        let folder = tempfile::tempdir().unwrap();
        fixtures::write(folder.path(), "indicators.pkl", &fixtures::pickle(&indicators));
        let wanted = format!(
            "layer \"layer1.0.conv2\" has the act indicator {shown} at 4 bits; an indicator must be a finite number and not \
             negative. The training that made it diverged: lower its learning rate and run it again"
        );
        ask(folder.path(), "indicators.pkl", &["--budget", "bitops=w3a3"], &wanted);
    }
    // JSON has no NaN: serde_json writes null.
    let mut indicators = fixtures::indicators(&[4, 2]);
    indicators.layers.get_mut("layer1.0.conv2").unwrap().act.insert(BitWidth::new(4).unwrap(), f64::NAN);
    let text = serde_json::to_string(&indicators).unwrap();
    let column = text.find("null").unwrap() + 4;
    let wanted = format!(
        "indicators.json is not an indicator file: as JSON: invalid type: null, expected f64 at line 1 column {column}. Give \
         this program's indicators.json or LIMPQ's importance_indicators_*.pkl"
    );
    refused(&[("indicators.json", &text)], &["--budget", "bitops=w3a3"], &wanted);
}

#[test]
fn a_table_entry_that_is_not_a_number() {
    for (value, wrong) in [
        ("nan", "microseconds must be a number of 0..=1000000000000, got nan"),
        ("inf", "microseconds must be a number of 0..=1000000000000, got inf"),
        ("-3", "microseconds must be a number of 0..=1000000000000, got -3"),
        ("fast", "cannot read microseconds \"fast\"; expected a number such as 12.5"),
    ] {
        let table = table("").replacen("layer1.0.conv2,4,2,10", &format!("layer1.0.conv2,4,2,{value}"), 1);
        let wanted = format!("cost \"latency_table\": table.csv:8: layer1.0.conv2 at w4a2: {wrong}");
        refused(&[("table.csv", &table)], &WITH_TABLE, &wanted);
    }
}

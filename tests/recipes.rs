//! The ImageNet recipes in experiments/configs: each runs through all stages, here on a handful of small photographs and
//! from random weights.

use crate::{fixtures, runs::go};
use limpq_core::{
    graph::Model,
    run::{Config, Summary},
    train::State,
};
use std::path::Path;

/// Runs a recipe as it stands, but small: small photographs, one step for each stage.
fn go_small(name: &str) -> Summary {
    use limpq as _;
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("experiments/configs").join(name)).unwrap();
    let (weights, photographs) = (home.path().join("weights.safetensors"), root.join("tests/golden/images"));
    let mut sets = vec![
        format!("device={}", fixtures::device_name()),
        format!("dataset.folder={:?}", photographs.to_str().unwrap()),
        format!("weights.path={:?}", weights.to_str().unwrap()),
    ];
    let small = ["dataset.size=32", "dataset.resize=36", "evaluate.batch_norm_images=8"];
    let short = ["indicators.epochs=1", "indicators.batch_size=12", "finetune.epochs=1", "finetune.batch_size=12"];
    let once = ["finetune.cooldown_epochs=0"];
    sets.extend(small.iter().chain(&short).chain(&once).map(|set| (*set).to_owned()));
    let config = Config::parse(name, &text, &sets).unwrap();
    let data = config.data().unwrap();
    let graph = config.model.build::<dyn Model>().unwrap().graph(data.shape, data.classes).unwrap();
    std::fs::write(&weights, State::random(&graph, 0).to_bytes()).unwrap();
    let (summary, stages) = go(&config, &home.path().join("run"));
    assert_eq!(stages, ["indicators", "fine-tune found", "fine-tune uniform"], "{name} pre-trains nothing");
    assert!(summary.networks.iter().all(|network| network.score.batch_norm_images == 8), "{name}");
    summary
}

fn budgets(summary: &Summary) -> Vec<&str> {
    summary.budgets.iter().map(|budget| budget.name.as_str()).collect()
}

#[test]
fn resnet18_keeps_the_bitops_of_w3a3() {
    assert_eq!(budgets(&go_small("imagenet_resnet18_w3a3.toml")), ["bitops"]);
}

#[test]
fn resnet50_keeps_bitops_and_compression() {
    assert_eq!(budgets(&go_small("imagenet_resnet50_w3a4_12.2x.toml")), ["bitops", "size"]);
}

#[test]
fn mobilenet_keeps_the_bitops_of_w4a4() {
    assert_eq!(budgets(&go_small("imagenet_mobilenet_v1_w4a4_bitops.toml")), ["bitops"]);
}

#[test]
fn mobilenet_has_mixed_weights_alone() {
    let summary = go_small("imagenet_mobilenet_v1_w4a8_size.toml");
    assert_eq!(budgets(&summary), ["size"]);
    assert!(summary.policy.policy.iter().all(|layer| layer.act_bits.get() == 8), "{:?}", summary.policy);
    assert_eq!(summary.networks[2].name, "uniform w4a8");
}

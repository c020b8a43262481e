//! A tiny vision transformer goes through all stages, with its attention quantized.

use crate::fixtures;
use limpq_core::{
    graph::{Second, described},
    run::{Config, Place, Summary, run_in},
    train::{CancelToken, Progress, State},
};
use std::path::Path;

/// Says nothing.
struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
}

/// The config of the repository with fewer epochs and other settings.
fn config(sets: &[&str]) -> Config {
    let text = include_str!("../experiments/configs/vit_digits.toml");
    let device = format!("device={}", fixtures::device_name());
    let short = ["pretrain.epochs=6", "indicators.epochs=1", "finetune.epochs=2", "bits=[8, 4, 2]"];
    let sets = std::iter::once(device.as_str()).chain(short).chain(sets.iter().copied());
    Config::parse("vit_digits.toml", text, &sets.map(str::to_owned).collect::<Vec<_>>()).unwrap()
}

fn go(config: &Config, folder: &Path) -> Summary {
    run_in(config, Place { folder, others: &[], replace: false }, &Silent, &CancelToken::default()).unwrap()
}

/// Ten classes: chance is 10 %.
#[test]
fn joint_training_and_fine_tuning_end_above_85_percent_for_three_seeds() {
    for seed in ["seed=0", "seed=1", "seed=2"] {
        let home = tempfile::tempdir().unwrap();
        let summary = go(&config(&[seed]), home.path());
        for network in &summary.networks {
            println!("{seed}: {} {:?}", network.name, network.score);
            assert!(network.score.accuracy > 0.85, "{seed}: {} has {:?}", network.name, network.score);
        }
        assert_eq!(summary.networks.len(), 3, "full precision, the found policy and the uniform one");
    }
}

/// With `fixed` that leaves the products out, both operands of each get bits, and a learned step size for each bit-width.
#[test]
fn the_products_of_attention_can_be_searched() {
    let sets = ["model.fixed=[\"@first\", \"@last\"]", "pretrain.epochs=2", "finetune.epochs=1"];
    let config = config(&sets);
    let home = tempfile::tempdir().unwrap();
    let summary = go(&config, home.path());
    let graph = described("deit_tiny", &config.model.options, "1x8x8".parse().unwrap(), 10).unwrap();
    let products: Vec<_> = graph.searchable().into_iter().filter(|layer| layer.second != Second::Weights).collect();
    assert_eq!(products.len(), 4);
    let text = std::fs::read_to_string(home.path().join("indicators.json")).unwrap();
    assert!(products.iter().all(|product| text.contains(&format!("{:?}", product.name))), "{text}");
    assert_eq!(summary.policy.policy.len(), 8 + 4, "{:?}", summary.policy);
    let state = State::from_bytes(&std::fs::read(home.path().join("finetuned.safetensors")).unwrap(), "").unwrap();
    for name in ["blocks.0.attn.qk", "blocks.1.attn.av"] {
        for role in ["weight", "act"] {
            let prefix = format!("{name}.{role}_quantizer.");
            assert!(state.0.keys().any(|key| key.starts_with(&prefix)), "{prefix}");
        }
    }
    assert!(state.0.contains_key("cls_token") && state.0.contains_key("pos_embed"));
}

//! A quantizer's own term in the loss, in whole runs: dampened oscillations.

use crate::runs::{go, tiny};
use limpq_core::train::State;
use std::{fs::read, path::Path};

/// The numbers of the fine-tuned network after a run with these settings.
fn finetuned(sets: &[&str], folder: &Path) -> State {
    go(&tiny(&[&["sensitivity.name=random", "finetune.epochs=2"], sets].concat()), folder);
    State::from_bytes(&read(folder.join("finetuned.safetensors")).unwrap(), "fine-tuned").unwrap()
}

/// Mean squared distance of the weights that are not clipped from the centres of their bins, in step sizes, over all layers.
fn off_centre(state: &State) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (name, step) in &state.0 {
        let Some((layer, bits)) = name.split_once(".weight_quantizer.b") else { continue };
        let bits: i32 = bits.trim_end_matches(".0").parse().unwrap();
        let (low, high) = (-2f32.powi(bits - 1), 2f32.powi(bits - 1) - 1.0);
        for weight in &state.0[&format!("{layer}.weight")].values {
            let scaled = weight / step.values[0];
            if (low..=high).contains(&scaled) {
                sum += f64::from(scaled - scaled.round_ties_even()).powi(2);
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count} weights");
    sum / f64::from(count)
}

#[test]
fn dampening_moves_latent_weights_to_the_centres_of_their_bins() {
    let home = tempfile::tempdir().unwrap();
    let run = |sets: &[&str], name: &str| finetuned(sets, &home.path().join(name));
    let plain = run(&[], "lsq");
    let none = run(&["quantizer.name=lsq_dampened", "quantizer.dampening=0"], "none");
    assert_eq!(none, plain, "without it the quantizer is LSQ");
    let dampened = ["quantizer.name=lsq_dampened", "quantizer.dampening=3"];
    let found = run(&dampened, "dampened");
    let (before, after) = (off_centre(&plain), off_centre(&found));
    // Evenly spread they are 1/12 apart.
    assert!((0.05..0.1).contains(&before) && after < 0.5 * before, "{before} without, {after} with");
    let checkpointed = run(&[&dampened[..], &["finetune.gradient_checkpointing=true"]].concat(), "checkpointed");
    assert_eq!(checkpointed, found, "checkpoints change no number");
}

//! A quantizer's own loss term in whole runs: dampened oscillations.

use crate::runs::{go, tiny};
use limpq_core::train::State;
use std::{fs::read, path::Path};

/// The tensors of the fine-tuned network after a run with these settings.
fn finetuned(sets: &[&str], folder: &Path) -> State {
    go(&tiny(&[&["sensitivity.name=random", "finetune.epochs=2"], sets].concat()), folder);
    State::from_bytes(&read(folder.join("finetuned.safetensors")).unwrap(), "fine-tuned").unwrap()
}

/// Mean squared distance of unclipped weights from the centres of their bins, in step sizes, over all layers.
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
    // For evenly spread weights it is 1/12.
    assert!((0.05..0.1).contains(&before) && after < 0.5 * before, "{before} without, {after} with");
    let checkpointed = run(&[&dampened[..], &["finetune.gradient_checkpointing=true"]].concat(), "checkpointed");
    assert_eq!(checkpointed, found, "checkpoints change no number");
}

/// Step sizes and weights by how far fine-tuning moves them.
#[test]
fn step_sizes_have_a_learning_rate_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    // One step: the weights that a step starts from are the same, and so are the gradients.
    let sets = ["finetune.epochs=1", "finetune.batch_size=1442", "finetune.optimizer=adam"];
    let run = |own: &[&str], name: &str| finetuned(&[&sets[..], own].concat(), &home.path().join(name));
    let start = run(&["finetune.learning_rate=1e-30", "finetune.final_learning_rate=0"], "start");
    let plain = run(&[], "plain");
    let factor = run(&["finetune.step_size_learning_rate=\"0.5x\""], "factor");
    let absolute = run(&["finetune.step_size_learning_rate=0.005"], "absolute");
    assert_eq!(factor, absolute, "half of 0.01, either way");
    let (mut steps, mut others) = (0, 0);
    for (name, array) in &plain.0 {
        if !name.contains("_quantizer.") {
            assert_eq!(array, &factor.0[name], "{name}");
            others += 1;
            continue;
        }
        let (start, whole, half) = (start.0[name].values[0], array.values[0], factor.0[name].values[0]);
        let (whole, half) = (f64::from(whole - start), f64::from(half - start));
        // No optimizer step makes a step size less than half as large.
        if f64::from(start) > 0.025 {
            assert!((half / whole - 0.5).abs() < 1e-3, "{name}: {half} and {whole}");
            steps += 1;
        }
    }
    assert!(steps > 4 && others > 20, "{steps} step sizes, {others} other tensors");
}

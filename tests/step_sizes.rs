//! Step sizes over a joint training: whatever happens to them, they are learned and positive.

use crate::runs::tiny;
use limpq_core::{
    run::run,
    train::{Progress, StepSize},
};
use std::{cell::RefCell, collections::BTreeMap};

/// Every sighting of the step sizes in the joint training.
#[derive(Default)]
struct Sightings(RefCell<Vec<Vec<StepSize>>>);

impl Progress for Sightings {
    fn start(&self, stage: &str, _: usize, _: usize) {
        if stage == "indicators" {
            self.0.borrow_mut().clear();
        }
    }
    fn step_sizes(&self, _: usize, sizes: &[StepSize]) {
        self.0.borrow_mut().push(sizes.to_vec());
    }
    fn finish(&self) {}
}

/// The step sizes of each layer, tensor and bit-width over time, in a joint training with these options.
fn step_sizes_over_time(sets: &[&str]) -> BTreeMap<String, Vec<f64>> {
    let home = tempfile::tempdir().unwrap();
    let sightings = Sightings::default();
    let sets = [&["finetune.epochs=0", "pretrain.epochs=0"][..], sets].concat();
    run(&tiny(&sets), home.path(), &sightings).unwrap();
    let mut series = BTreeMap::<String, Vec<f64>>::new();
    for StepSize { layer, role, bits, value } in sightings.0.into_inner().into_iter().flatten() {
        series.entry(format!("{layer} {} {bits}", role.name())).or_default().push(value);
    }
    assert_eq!(series.len(), 8 * 2 * 3, "eight layers, weights and activations, three bit-widths");
    series
}

#[test]
fn step_sizes_of_the_joint_training_neither_freeze_nor_turn_negative() {
    let starts = [["lsq", "lsq"], ["lsq_plus", "lsq_plus"]].map(|[weight, act]| {
        let starts = [format!("quantizer.weight_start=\"{weight}\""), format!("quantizer.act_start=\"{act}\"")];
        // Long steps, but not so long that the network dies: where nothing reaches a layer, its step sizes have no gradient.
        let series = step_sizes_over_time(&[&starts[0], &starts[1], "indicators.learning_rate=0.05"]);
        for (name, values) in &series {
            assert!(values.iter().all(|&value| value >= 1e-5 && value.is_finite()), "{name}: {values:?}");
            // The cosine ends near zero, where a step may be less than the last bit.
            let early = &values[..values.len() / 2];
            // Where its gradient changes sign one step may be, too; what freezes stays.
            let still = |three: &[f64]| three[0] == three[1] && three[1] == three[2];
            assert!(!early.windows(3).any(still), "{name} stood still: {values:?}");
        }
        series.into_iter().map(|(name, values)| (name, values[0])).collect::<BTreeMap<_, _>>()
    });
    assert!(starts[0].iter().all(|(name, start)| starts[1][name] != *start), "each start is its own");
}

#[test]
fn step_sizes_at_their_bound_can_leave_it() {
    const BOUND: f64 = 0.3f32 as f64;
    let series = step_sizes_over_time(&["quantizer.min_step=0.3", "indicators.learning_rate=1.0"]);
    for role in ["weight", "act"] {
        let own = series.iter().filter(|(name, _)| name.contains(&format!(" {role} ")));
        let all: Vec<&Vec<f64>> = own.map(|(_, values)| values).collect();
        assert!(all.iter().all(|values| values.iter().all(|&value| value >= BOUND)), "{role}");
        let left = all.iter().filter(|values| values.windows(2).any(|pair| pair[0] == BOUND && pair[1] > BOUND));
        assert!(left.count() > 0, "{role}: none was at the bound and left it");
    }
}

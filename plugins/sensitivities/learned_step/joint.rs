//! LIMPQ's joint training (Tang et al., ECCV 2022, section 3.3): one pass per candidate bit-width and one with random
//! bit-widths per layer, then one optimizer step. Here are its options, and the passes of a step.

use limpq_core::{
    search::Precision,
    train::{Bits, Gradients, Update},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// How the bits of a random pass are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RandomPass {
    /// One bit-width per layer, shared by weights and activations, as in LIMPQ's code.
    #[default]
    Tied,
    /// Independent bit-widths for a layer's weights and activations, as in the search.
    Separate,
}

/// Initialisation of activation step sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivationInit {
    /// Each bit-width in its own first training pass: preceding layers are quantized, batch-norms use the batch's
    /// statistics. LIMPQ's code.
    #[default]
    Quantized,
    /// All in one pass in full precision, with the running statistics.
    FullPrecision,
}

/// Options of the joint training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Joint {
    /// How the gradients of the passes of a step are combined: "sum" (LIMPQ's code) or "mean".
    pub gradients: Gradients,
    /// How the bits of a random pass are drawn: "tied", one bit-width for a layer's weights and activations (LIMPQ's code),
    /// or "separate".
    pub random_pass: RandomPass,
    /// Number of passes per step whose bits are drawn at random, besides one pass per candidate.
    pub random_passes: usize,
    /// Whether only step sizes are trained; weights, biases and batch-norm scales stay those of the pre-trained
    /// network.
    pub frozen_weights: bool,
    /// Initialisation of activation step sizes: "quantized", those of each bit-width in its own first training pass
    /// (LIMPQ's code), or "full_precision", all in one pass of the full-precision network.
    pub activation_init: ActivationInit,
    /// Number of batches for this initialisation, which is the mean over the batches. LIMPQ's code takes one per GPU.
    pub activation_init_batches: NonZeroUsize,
    /// Number of trainings with different seeds, derived from the run's. The indicators are their mean;
    /// `indicators.json` also has their standard deviation.
    pub seeds: NonZeroUsize,
}

impl Default for Joint {
    fn default() -> Self {
        Self {
            gradients: Gradients::default(),
            random_pass: RandomPass::default(),
            random_passes: 1,
            frozen_weights: false,
            activation_init: ActivationInit::default(),
            activation_init_batches: NonZeroUsize::MIN,
            seeds: NonZeroUsize::MIN,
        }
    }
}

impl Joint {
    /// How a step uses the gradients of its passes.
    pub fn update(&self) -> Update {
        Update { gradients: self.gradients, frozen_weights: self.frozen_weights }
    }

    /// The uniform passes of a step, from the highest bit-width down. Fixed layers stay in full precision.
    pub fn uniform_passes(precisions: &[Precision], fixed: &[bool]) -> Vec<Bits> {
        let pass = |&bits: &Precision| fixed.iter().map(|&fixed| (!fixed).then_some(bits)).collect();
        precisions.iter().map(pass).collect()
    }

    /// The passes of one step: the uniform ones, then the random ones.
    pub fn passes(&self, precisions: &[Precision], fixed: &[bool], random: &mut ChaCha8Rng) -> Vec<Bits> {
        let mut passes = Self::uniform_passes(precisions, fixed);
        let mut draw = || precisions[random.random_range(0..precisions.len())];
        for _ in 0..self.random_passes {
            // Fixed layers draw too, so that fixing other layers does not change the bits of the rest.
            let drawn = fixed.iter().map(|&fixed| {
                let own = draw();
                let act = if self.random_pass == RandomPass::Separate { draw().act } else { own.act };
                (!fixed).then_some(Precision { act, ..own })
            });
            passes.push(drawn.collect());
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::search::{Candidates, uniform_precisions};
    use rand::SeedableRng;

    fn passes(joint: &Joint) -> Vec<Bits> {
        let candidates = Candidates::of(&[2, 4, 3]).unwrap();
        let precisions: Vec<_> = uniform_precisions(candidates.iter()).collect();
        let fixed: Vec<bool> = (0..20).map(|layer| layer == 0).collect();
        joint.passes(&precisions, &fixed, &mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn a_step_has_a_pass_for_each_candidate_and_a_random_one() {
        let passes = passes(&Joint::default());
        let uniform: Vec<_> = passes[..3].iter().map(|bits| bits[1].unwrap().to_string()).collect();
        assert_eq!((passes.len(), uniform), (4, ["w4a4", "w3a3", "w2a2"].map(str::to_owned).to_vec()));
        assert!(passes.iter().all(|bits| bits[0].is_none()), "fixed layers stay in full precision");
        assert!(passes[..3].iter().all(|bits| bits[1..].windows(2).all(|pair| pair[0] == pair[1])));
        assert!(passes[3][1..].iter().any(|bits| *bits != passes[3][1]), "the last pass mixes bit-widths");
        assert!(passes[3][1..].iter().flatten().all(|bits| bits.weight == bits.act), "tied");
    }

    #[test]
    fn random_passes_are_as_many_as_asked_and_separate_where_asked() {
        let none = Joint { random_passes: 0, ..Joint::default() };
        assert_eq!(passes(&none), passes(&Joint::default())[..3]);
        let joint = Joint { random_passes: 2, random_pass: RandomPass::Separate, ..Joint::default() };
        let passes = passes(&joint);
        assert_eq!(passes.len(), 5);
        assert_ne!(passes[3], passes[4]);
        // 19 layers draw the same pair of three with a chance of 3^-19.
        assert!(passes[3][1..].iter().flatten().any(|bits| bits.weight != bits.act));
        assert!(passes.iter().all(|bits| bits[0].is_none()));
    }
}

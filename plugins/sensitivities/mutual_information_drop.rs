//! The change of the information about the classes in later layers when a single tensor is quantized: this program's
//! own variant, made before the equations of InfoQ (Akbulut et al., AAAI 2026) could be read. The sensitivity `infoq`
//! follows InfoQ; this one had that name before.
//!
//! ```text
//! score = sum over later layers j of |SI_8(X_j; C) - SI_b(X_j; C)|
//! ```
//!
//! A layer's weights or its input activations go from 8 bits to b while everything else stays in full precision. X_j is
//! the input of a later layer (all of them, and the logits at the end), flattened, C the classes, SI sliced mutual
//! information as in `sliced_information.rs`. The bias of the estimate mostly cancels in the difference; differences
//! smaller than the bias are noise: take more images.
//!
//! It differs from InfoQ in three ways: it sums over later layers, so that early layers, which have more of them, count
//! more; it is not divided by the information at 8 bits; and it has no factor 1/b.
//!
//! Weights and activations are on one scale: `search.alpha` is 1 by default. Works with every quantizer.

use super::sliced_information::SlicedInformation;
use burn::tensor::Tensor;
use limpq_core::{
    search::BitWidth,
    train::{Measurement, Network, Role, Sensitivity, SensitivityContext, TrainError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// How the information is estimated.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MutualInformationDrop {
    /// Number of training images.
    pub images: NonZeroUsize,
    /// Number of random directions per layer.
    pub projections: NonZeroUsize,
    /// Number of bins per projection.
    pub bins: NonZeroUsize,
}

impl Default for MutualInformationDrop {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("it is above 0");
        Self { images: count(512), projections: count(32), bins: count(16) }
    }
}

limpq_core::plugin!(
    Sensitivity,
    "mutual_information_drop",
    "change of sliced mutual information in later layers when one tensor alone is quantized",
    MutualInformationDrop
);

/// The reference bit-width of a tensor.
const BASE: u64 = 8;

impl Sensitivity for MutualInformationDrop {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let base = BitWidth::new(BASE).expect("8 is a bit-width");
        let others = context.candidates.iter().filter(|&bits| bits != base);
        let network = context.calibrated(std::iter::once(base).chain(others))?;
        // One batch: bins are over all images. The label is that of the time when this was `infoq`, for the same
        // results.
        let (images, labels) = context.batches("infoq", 1, self.images.get())?.remove(0);
        let random = context.train.random("infoq directions");
        let mut information =
            SlicedInformation::new(labels, context.graph.classes, self.projections, self.bins, random);
        let mut behind = |tensor| -> Vec<f64> {
            let seen = behind(&network, images.clone(), tensor);
            seen.into_iter().map(|(layer, values)| information.of(layer, values)).collect()
        };
        let mut before: Option<((usize, Role), Vec<f64>)> = None;
        let measured = context.each("mutual information drop", &mut |layer, role, bits| {
            let at_base = match before.take() {
                Some((place, flows)) if place == (layer, role) => flows,
                _ => behind((layer, role, base)),
            };
            let change = match bits == base {
                true => 0.0,
                false => at_base.iter().zip(behind((layer, role, bits))).map(|(a, b)| (a - b).abs()).sum(),
            };
            before = Some(((layer, role), at_base));
            Ok(change)
        })?;
        Ok(measured.into())
    }

    fn alpha(&self) -> f64 {
        1.0
    }
}

/// The input of each later layer with one tensor quantized, by the layer's index, and the logits at the end.
fn behind(network: &Network, images: Tensor<4>, (at, role, bits): (usize, Role, BitWidth)) -> Vec<(usize, Tensor<2>)> {
    let mut seen = vec![];
    let logits = network.forward_with(images, &mut |layer, input, kernel| {
        if layer > at {
            seen.push((layer, input.clone().flatten::<2>(1, 3)));
        }
        match (layer == at, role) {
            (true, Role::Weight) => (input, network.quantized(layer, role, kernel, bits)),
            (true, Role::Act) => (network.quantized(layer, role, input, bits), kernel),
            (false, _) => (input, kernel),
        }
    });
    seen.push((network.plan().layers.len(), logits));
    seen
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Lamp, near};
    use super::*;

    /// Four images whose neighbours have different classes. If all four differ, they determine the class (ln 2). With
    /// steps of 1 both pairs of neighbours are merged and the information is 0. The classifier and the logits read it:
    /// 2 ln 2.
    #[test]
    fn merging_classes_costs_their_information_in_every_later_layer() {
        let lamp = Lamp::new(&[(0.9, 0), (0.6, 1), (-0.6, 0), (-0.9, 1)]);
        let found = lamp.measure(&MutualInformationDrop::default(), &[1, 8, 4]);
        near(found.act[&1], 2.0 * 2f64.ln());
        // A weight scales all values alike; their order does not change.
        near(found.weight[&1], 0.0);
        // Steps of 1/8 keep the four apart; 8 bits are the reference.
        assert_eq!((found.act[&4], found.act[&8], found.weight[&8]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn infinite_activations_are_an_error() {
        let error = Lamp::new(&[(0.9, 0), (0.6, 1)]).weighing(1e38).refused(&MutualInformationDrop::default(), &[4]);
        assert!(error.starts_with("the sensitivity of the weights of layer body at 4 bits is NaN"), "{error}");
    }
}

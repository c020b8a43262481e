//! InfoQ (Akbulut et al., AAAI 2026, arXiv 2508.04753): a layer is sensitive if quantizing it changes the information
//! that flows through the rest of the network.
//!
//! One layer at a time is lowered from 8 bits to b in the pre-trained network, without training, while all other layers
//! stay at 8 bits. With J the observed later layers and SI sliced mutual information, its score is given by equations 3
//! and 4 of the paper, as quoted by a third party (we could not read the paper itself):
//!
//! ```text
//!            1   mean over j in J of |SI_8(X_j; C) - SI_b(X_j; C)|
//! score_b =  - * --------------------------------------------------
//!            b             mean over j in J of SI_8(X_j; C)
//! ```
//!
//! The integer program minimises the sum of the scores.
//!
//! Our choices, where the quotation is silent or where this search differs: weights and activations are scored
//! separately, as this search chooses them separately, so that a layer's other tensor also stays at 8 bits; stem and
//! classifier are at their fixed 8 bits; J is the set of all later layers, whose quantized inputs are observed, and the
//! logits; the information is that about the classes C, estimated as in `sliced_information.rs`. The estimate has a
//! bias of about (bins - 1)(classes - 1)/(2 images) nats. It mostly cancels in the difference, but not in the divisor:
//! with few images all scores are too small, by about the same factor. A network whose activations have no information
//! about the classes has no score, which is an error.
//!
//! Weights and activations are on one scale: `search.alpha` is 1 by default. Works with every quantizer. In earlier
//! builds another score had this name; it is now `mutual_information_drop`.

use super::sliced_information::SlicedInformation;
use burn::tensor::Tensor;
use limpq_core::{
    graph::FIXED_BITS,
    search::{BitWidth, Precision, uniform_precisions},
    train::{Measurement, Network, Plan, Role, Sensitivity, SensitivityContext, TrainError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// How the information is estimated.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Infoq {
    /// Number of training images.
    pub images: NonZeroUsize,
    /// Number of random directions per layer.
    pub projections: NonZeroUsize,
    /// Number of bins per projection.
    pub bins: NonZeroUsize,
}

impl Default for Infoq {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("it is above 0");
        Self { images: count(512), projections: count(32), bins: count(16) }
    }
}

limpq_core::plugin!(
    Sensitivity,
    "infoq",
    "relative change of sliced mutual information in later layers, all others at 8 bits (InfoQ, AAAI 2026)",
    Infoq
);

/// The bits of all other tensors, including stem and classifier.
const BASE: u64 = FIXED_BITS as u64;

impl Sensitivity for Infoq {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let base = BitWidth::new(BASE).expect("8 is a bit-width");
        let network = network(context, base)?;
        // One batch: bins are over all images.
        let (images, labels) = context.batches("infoq", 1, self.images.get())?.remove(0);
        let random = context.train.random("infoq directions");
        let mut information =
            SlicedInformation::new(labels, context.graph.classes, self.projections, self.bins, random);
        let mut flows = |at: Option<(usize, Role, BitWidth)>| -> Vec<(usize, f64)> {
            let seen = observed(&network, images.clone(), base, at);
            seen.into_iter().map(|(layer, values)| (layer, information.of(layer, values))).collect()
        };
        let all = flows(None);
        if let Some((place, _)) = all.iter().find(|(_, information)| !information.is_finite()) {
            let layer = context.graph.layers().into_iter().nth(*place);
            let what = layer
                .map_or("the logits".to_owned(), |layer| format!("the activations that layer {} reads", layer.name));
            let (network, why) =
                ("the network with every layer at 8 bits", format!("the first values that are not are {what}"));
            return Err(TrainError::NotFinite { network: network.to_owned(), why });
        }
        let measured = context.each("infoq", &mut |layer, role, bits| {
            let behind = |flows: &[(usize, f64)]| -> Vec<f64> {
                flows.iter().filter(|(place, _)| *place > layer).map(|(_, information)| *information).collect()
            };
            let now = if bits == base { behind(&all) } else { behind(&flows(Some((layer, role, bits)))) };
            Ok(score(&behind(&all), &now, bits))
        })?;
        Ok(measured.into())
    }

    fn alpha(&self) -> f64 {
        1.0
    }
}

/// The calibrated network with every searched layer at 8 bits and at the candidates, and the others at their fixed
/// bits.
fn network(context: &SensitivityContext, base: BitWidth) -> Result<Network, TrainError> {
    let others = context.candidates.iter().filter(|&bits| bits != base);
    let searched: Vec<Precision> = uniform_precisions(std::iter::once(base).chain(others)).collect();
    let layers = context.graph.layers().into_iter();
    let slots = layers.map(|layer| if layer.fixed { vec![searched[0]] } else { searched.clone() });
    let plan = Plan::new(context.graph.clone(), slots.collect(), context.quantizer.clone());
    let full = Network::new(&plan, context.pretrained, context.train.device)?;
    Ok(full.calibrate_on(&context.train.calibration_batches(context.recipe)?))
}

/// The input of each layer, by its index, and the logits at the end; all tensors but one at 8 bits.
fn observed(
    network: &Network,
    images: Tensor<4>,
    base: BitWidth,
    at: Option<(usize, Role, BitWidth)>,
) -> Vec<(usize, Tensor<2>)> {
    let mut seen = vec![];
    let logits = network.forward_with(images, &mut |layer, input, kernel| {
        let bits = |role| match at {
            Some((place, of, bits)) if (place, of) == (layer, role) => bits,
            _ => base,
        };
        let input = network.quantized(layer, Role::Act, input, bits(Role::Act));
        seen.push((layer, input.clone().flatten::<2>(1, 3)));
        (input, network.quantized(layer, Role::Weight, kernel, bits(Role::Weight)))
    });
    seen.push((network.plan().layers.len(), logits));
    seen
}

/// The mean change divided by the mean information at 8 bits and by the bits. Both means are over the same layers, so
/// their number cancels.
fn score(at_base: &[f64], now: &[f64], bits: BitWidth) -> f64 {
    let change: f64 = at_base.iter().zip(now).map(|(base, now)| (base - now).abs()).sum();
    change / at_base.iter().sum::<f64>() / bits.get() as f64
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Lamp, near};
    use super::*;

    #[test]
    fn means_are_divided_worked_by_hand() {
        let at = |bits| BitWidth::new(bits).unwrap();
        // Changes 0.2 and 0.1, mean 0.15; information 1.0 and 0.5, mean 0.75; 0.15/0.75/4.
        near(score(&[1.0, 0.5], &[0.8, 0.6], at(4)), 0.05);
        // Twice as many equal layers change nothing: early layers are not favoured.
        near(score(&[1.0, 0.5, 1.0, 0.5], &[0.8, 0.6, 0.8, 0.6], at(4)), 0.05);
        assert!(score(&[0.0, 0.0], &[0.0, 0.0], at(4)).is_nan(), "there is nothing to lose");
    }

    /// Four images whose neighbours have different classes. If all four differ, they determine the class. If
    /// quantization merges both pairs of neighbours, all information is lost after the layer.
    #[test]
    fn merging_classes_costs_all_of_their_information() {
        let lamp = Lamp::new(&[(0.9, 0), (0.6, 1), (-0.6, 0), (-0.9, 1)]);
        let found = lamp.measure(&Infoq::default(), &[1, 8, 4]);
        near(found.act[&1], 1.0);
        // A weight scales all values alike; their order does not change.
        near(found.weight[&1], 0.0);
        // Steps of 1/8 keep the four apart; 8 bits are the reference.
        assert_eq!((found.act[&4], found.act[&8], found.weight[&8]), (0.0, 0.0, 0.0));
        // Steps of 1/2 make 0.6 and 0.4 one, at 2 bits.
        let lamp = Lamp::new(&[(0.6, 0), (0.4, 1), (-0.4, 0), (-0.6, 1)]);
        near(lamp.measure(&Infoq::default(), &[2]).act[&2], 1.0 / 2.0);
    }

    /// At 8 bits 0.6 is 77/128, which makes 39.7/128 and 40.3/128 of the first two images: one value, as the classifier reads
    /// it in steps of 1/128, that says nothing about their classes. The other two stand apart: 1/2 ln 2 in all. At 1 bit the
    /// weight is 1, the four stay apart, and the information is ln 2. In full precision it would be ln 2 both times.
    #[test]
    fn all_other_tensors_are_at_8_bits() {
        let lamp = Lamp::new(&[(66.0 / 128.0, 0), (67.0 / 128.0, 1), (0.9, 0), (-0.9, 1)]);
        let found = lamp.measure(&Infoq::default(), &[1]);
        // The classifier's input and the logits: (ln 2 - 1/2 ln 2) / (1/2 ln 2) = 1.
        near(found.weight[&1], 1.0);
    }

    #[test]
    fn infinite_activations_are_an_error() {
        let error = Lamp::new(&[(0.9, 0), (0.6, 1)]).weighing(1e38).refused(&Infoq::default(), &[4]);
        let start = "the network with every layer at 8 bits is not finite: the first values that are not are the activations that \
                     layer fc reads";
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn a_network_that_says_nothing_about_the_classes_is_an_error() {
        let error = Lamp::new(&[(0.9, 0), (0.9, 1)]).refused(&Infoq::default(), &[4]);
        assert!(error.starts_with("the sensitivity of the weights of layer body at 4 bits is NaN"), "{error}");
    }
}

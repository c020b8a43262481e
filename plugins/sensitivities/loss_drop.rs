//! The rise of the loss when a single tensor is quantized: a layer's weights or its input activations at one bit-width,
//! everything else in full precision. It measures what other scores approximate; interactions between layers are still
//! neglected. Used at least since HAQ (Wang et al., CVPR 2019) and ZeroQ (Cai et al., CVPR 2020), which compares output
//! distributions as `measure = "kl"` does.
//!
//! With L the mean cross entropy over some training images and p the distribution of the classes:
//!
//! ```text
//! loss:  max(0, L(tensor at b bits) - L(full precision))
//! kl:    mean over images of sum over classes of p_full * ln(p_full / p_b)
//! ```
//!
//! If rounding happens to help on these images, the loss falls. Such a value is kept: setting it to 0 would make exact
//! ties of harmless bit-widths and hide which of them is better. The search takes no negative values, so if a tensor
//! has some, all of its bit-widths are raised by the same constant, which makes the lowest of them 0. A policy has
//! exactly one bit-width per tensor, so the constant is the same in every policy, and the best policy is that of the
//! measured values; differences between the bit-widths of a tensor, which are all that matters to the search, are as
//! measured. (KL is below 0 only by rounding.)
//!
//! Differences of the size of the noise mean little: take more images, or KL, which grows with every change of the
//! logits. Both put weights and activations on one scale: `search.alpha` is 1 by default.
//!
//! Costs L*B*2 evaluations of `images` images for L layers and B bit-widths, without gradients, and works with every
//! quantizer; tensors are quantized with the quantizer's initial parameters.

use burn::tensor::Tensor;
use limpq_core::{
    search::BitWidth,
    train::{
        Measurement, Network, Role, Sensitivity, SensitivityContext, TrainError, cross_entropy, distillation, smoothed,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// Batch size.
const BATCH: usize = 256;

/// The quantity that is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Cross entropy against the true classes.
    #[default]
    Loss,
    /// Kullback-Leibler divergence from the full-precision predictions.
    Kl,
}

/// What is measured, and on how many images.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossDrop {
    /// "loss", the increase of the cross entropy, or "kl", the Kullback-Leibler divergence of the predictions from
    /// those in full precision.
    pub measure: Measure,
    /// Number of training images that it is measured on.
    pub images: NonZeroUsize,
}

impl Default for LossDrop {
    fn default() -> Self {
        Self { measure: Measure::Loss, images: NonZeroUsize::new(512).expect("it is above 0") }
    }
}

limpq_core::plugin!(
    Sensitivity,
    "loss_drop",
    "rise of the loss when one tensor alone is quantized, or divergence of the predictions",
    LossDrop
);

impl Sensitivity for LossDrop {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let network = context.calibrated(context.candidates.iter())?;
        let batch = self.images.get().min(BATCH);
        let batches = context.batches("loss_drop", self.images.get().div_ceil(batch), batch)?;
        let full: Vec<Tensor<2>> = batches.iter().map(|(images, _)| alone(&network, images.clone(), None)).collect();
        let compared = |tensor: (usize, Role, BitWidth)| {
            let rises = batches.iter().zip(&full).map(|((images, labels), full)| {
                let logits = alone(&network, images.clone(), Some(tensor));
                self.rise(logits, full.clone(), labels, context.graph.classes)
            });
            rises.sum::<f64>() / batches.len() as f64
        };
        let mut measured = context.each("loss drop", &mut |layer, role, bits| Ok(compared((layer, role, bits))))?;
        measured.values_mut().flat_map(|layer| [&mut layer.weight, &mut layer.act]).for_each(raise);
        Ok(measured.into())
    }

    fn alpha(&self) -> f64 {
        1.0
    }
}

/// Raises all values of a tensor so that its lowest is not negative.
fn raise(tensor: &mut BTreeMap<BitWidth, f64>) {
    let lowest = tensor.values().copied().fold(0.0, f64::min);
    tensor.values_mut().for_each(|value| *value -= lowest);
}

impl LossDrop {
    fn rise(&self, logits: Tensor<2>, full: Tensor<2>, labels: &[usize], classes: usize) -> f64 {
        let number = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
        match self.measure {
            Measure::Kl => number(distillation(logits, full, 1.0)),
            Measure::Loss => {
                let targets = smoothed(labels, classes, 0.0, &logits.device());
                number(cross_entropy(logits, targets.clone())) - number(cross_entropy(full, targets))
            }
        }
    }
}

/// Logits with one tensor quantized and everything else in full precision.
pub(super) fn alone(network: &Network, images: Tensor<4>, tensor: Option<(usize, Role, BitWidth)>) -> Tensor<2> {
    network.forward_with(images, &mut |layer, input, kernel| match tensor {
        Some((at, Role::Weight, bits)) if at == layer => (input, network.quantized(layer, Role::Weight, kernel, bits)),
        Some((at, Role::Act, bits)) if at == layer => (network.quantized(layer, Role::Act, input, bits), kernel),
        _ => (input, kernel),
    })
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Lamp, near};
    use super::*;

    /// The logits are (wx, -wx) with w = 0.6.
    fn loss(product: f64, class: usize) -> f64 {
        let margin = if class == 0 { 2.0 * product } else { -2.0 * product };
        (1.0 + (-margin).exp()).ln()
    }

    #[test]
    fn rises_of_the_loss_worked_by_hand() {
        let lamp = Lamp::new(&[(0.9, 0), (0.4, 0)]);
        let found = lamp.measure(&LossDrop::default(), &[2, 4]);
        let mean =
            |w: f64, quantize: &dyn Fn(f64) -> f64| (loss(w * quantize(0.9), 0) + loss(w * quantize(0.4), 0)) / 2.0;
        let full = mean(0.6, &|x| x);
        // Steps of 1/8: the weight becomes 0.625, which is better. Raised by as much, 4 bits are at 0 and 2 bits above as far as
        // was measured.
        let rise = |loss: f64| loss - full;
        let (at_2, at_4) = (rise(mean(0.5, &|x| x)), rise(mean(0.625, &|x| x)));
        assert!(at_4 < 0.0);
        assert_eq!(found.weight[&4], 0.0);
        near(found.weight[&2], at_2 - at_4);
        // Activations become 1 and 0.5, which is better, too; with steps of 1/8 0.875 and 0.375, which is worse.
        let at_2 = rise(mean(0.6, &|x| (2.0 * x).round() / 2.0));
        let at_4 = rise(mean(0.6, &|x| if x > 0.5 { 0.875 } else { 0.375 }));
        assert!(at_2 < 0.0);
        assert_eq!(found.act[&2], 0.0);
        near(found.act[&4], at_4 - at_2);
    }

    #[test]
    fn rises_stay_as_they_are_where_none_is_a_fall() {
        let lamp = Lamp::new(&[(0.9, 0), (0.4, 0)]);
        let found = lamp.measure(&LossDrop::default(), &[2]);
        // Steps of 1/2: the weight becomes 0.5, which is worse.
        let mean = |w: f64| (loss(w * 0.9, 0) + loss(w * 0.4, 0)) / 2.0;
        near(found.weight[&2], mean(0.5) - mean(0.6));
        assert_eq!(found.act[&2], 0.0);
    }

    #[test]
    fn a_tensor_that_overflows_is_an_error_and_not_harmless() {
        let lamp = Lamp::new(&[(0.9, 0), (0.4, 0)]).weighing(1e38);
        for measure in [Measure::Loss, Measure::Kl] {
            let error = lamp.refused(&LossDrop { measure, ..LossDrop::default() }, &[4, 1]);
            assert!(error.starts_with("the sensitivity of the weights of layer body at 4 bits is NaN"), "{error}");
        }
    }

    #[test]
    fn divergences_worked_by_hand() {
        let lamp = Lamp::new(&[(0.9, 1)]);
        let kl = LossDrop { measure: Measure::Kl, ..LossDrop::default() };
        let found = lamp.measure(&kl, &[2]);
        let p = |product: f64| 1.0 / (1.0 + (-2.0 * product).exp());
        let divergence = |a: f64, b: f64| a * (a / b).ln() + (1.0 - a) * ((1.0 - a) / (1.0 - b)).ln();
        near(found.weight[&2], divergence(p(0.54), p(0.45)));
        near(found.act[&2], divergence(p(0.54), p(0.6)));
    }
}

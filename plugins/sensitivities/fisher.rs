//! A gradient-based score: the expected rise of the loss by quantization, from squared gradients. FIT (Zandonati et
//! al., 2022, arXiv 2210.08502) writes it to second order with the empirical Fisher information in place of the
//! Hessian, for weights and activations alike; NVIDIA ModelOpt's `auto_quantize` scores layers by the same product.
//!
//! For each tensor y of the pre-trained full-precision network, a layer's weights or its input activations, with y_q
//! the quantized tensor for the quantizer's initial parameters, and L the cross entropy of a batch:
//!
//! ```text
//! score = mean over batches of sum over elements of (dL/dy * (y_q - y))^2
//! ```
//!
//! FIT takes the product of the mean squared gradient and the mean squared error of a tensor; this is the sum of the
//! products element by element, as in ModelOpt, which however takes a layer's output. L is the mean over the batch,
//! which puts weights and activations on one scale: an image's contribution to dL/dy falls with the batch size for
//! activations as the variance of the mean does for weights. So `search.alpha` is 1 by default. Another `batch_size`
//! changes all scores by about the same factor, and so hardly the policy.
//!
//! When to use it: as a cheap score, one backward pass per batch, with every quantizer. If a network fits its training
//! images perfectly, its gradients are close to 0 and rank layers badly.

use burn::tensor::Tensor;
use limpq_core::{
    search::BitWidth,
    train::{Measurement, Role, Sensitivity, SensitivityContext, TrainError, cross_entropy, kernels::total, smoothed},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// Number of images behind the scores.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fisher {
    /// Number of batches of training images; fewer if the training set is smaller.
    pub batches: NonZeroUsize,
    /// Images per batch.
    pub batch_size: NonZeroUsize,
}

impl Default for Fisher {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("it is above 0");
        Self { batches: count(16), batch_size: count(64) }
    }
}

limpq_core::plugin!(
    Sensitivity,
    "fisher",
    "squared gradient times quantization error (FIT, 2022; ModelOpt's gradient score)",
    Fisher
);

/// A tensor: index of its layer, and its role.
type Place = (usize, Role);

impl Sensitivity for Fisher {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let network = context.untrained()?;
        let measuring = context.calibrated(context.candidates.iter())?;
        let batches = context.batches("fisher", self.batches.get(), self.batch_size.get())?;
        let mut sums: BTreeMap<(Place, BitWidth), f64> = BTreeMap::new();
        context.train.progress.start("fisher", batches.len(), 0);
        for (batch, (images, labels)) in batches.iter().enumerate() {
            context.train.stop_if_asked("measuring fisher")?;
            // Adds zeros that have gradients: theirs are those of the sum.
            let mut probes: Vec<(Place, Tensor<4>, Tensor<4>)> = vec![];
            let mut probed = |place: Place, values: Tensor<4>| {
                let probe = values.clone().detach().zeros_like().require_grad();
                probes.push((place, values.clone().inner(), probe.clone()));
                values + probe
            };
            let logits = network.forward_with(Tensor::from_inner(images.clone()), &mut |layer, input, kernel| {
                (probed((layer, Role::Act), input), probed((layer, Role::Weight), kernel))
            });
            let targets = smoothed(labels, context.graph.classes, 0.0, &logits.device());
            let gradients = cross_entropy(logits, targets).backward();
            for ((layer, role), values, probe) in probes {
                if network.plan().layers[layer].fixed {
                    continue;
                }
                let gradient = probe.grad(&gradients).expect("every layer leads to the logits");
                for bits in context.candidates.iter() {
                    let quantized = measuring.quantized(layer, role, values.clone(), bits);
                    let score = score(gradient.clone(), values.clone(), quantized);
                    *sums.entry(((layer, role), bits)).or_default() += score / batches.len() as f64;
                }
            }
            context.train.progress.note(&format!("batch {} of {}", batch + 1, batches.len()));
        }
        context.train.progress.finish();
        Ok(context.by_layer(&mut |layer, role, bits| Ok(sums[&((layer, role), bits)]))?.into())
    }

    fn alpha(&self) -> f64 {
        1.0
    }
}

/// Sum of (gradient * error)^2.
fn score(gradient: Tensor<4>, values: Tensor<4>, quantized: Tensor<4>) -> f64 {
    let sum: f32 = total((gradient * (quantized - values)).square()).into_scalar();
    sum.into()
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Lamp, near};
    use super::*;

    #[test]
    fn products_are_squared_element_by_element() {
        let device = crate::quantizers::worked::device();
        let tensor = |values: [f32; 3]| Tensor::<1>::from_floats(values, &device).reshape([1, 1, 1, 3]);
        // (2*1)^2 + (-1*0.5)^2 + (3*0)^2
        assert_eq!(score(tensor([2.0, -1.0, 3.0]), tensor([0.0; 3]), tensor([1.0, 0.5, 0.0])), 4.25);
    }

    /// The one weight w = 0.6 reads x = 0.9; the logits are (wx, -wx), so L = ln(1 + exp(-2wx)) for class 0.
    #[test]
    fn one_weight_worked_by_hand() {
        let lamp = Lamp::new(&[(0.9, 0)]);
        let found = lamp.measure(&Fisher::default(), &[2, 4]);
        let slope = -2.0 / (1.0 + (2.0f64 * 0.6 * 0.9).exp());
        // Steps of 1/2: 0.6 becomes 0.5 and 0.9 becomes 1. Steps of 1/8: 0.625 and 0.875.
        near(found.weight[&2], (slope * 0.9 * (0.5 - 0.6)).powi(2));
        near(found.weight[&4], (slope * 0.9 * (0.625 - 0.6)).powi(2));
        near(found.act[&2], (slope * 0.6 * (1.0 - 0.9)).powi(2));
        near(found.act[&4], (slope * 0.6 * (0.875 - 0.9)).powi(2));
    }

    #[test]
    fn a_batch_has_one_weight_and_many_activations() {
        let lamp = Lamp::new(&[(0.9, 0), (0.9, 0)]);
        let found = lamp.measure(&Fisher::default(), &[2]);
        let slope = -2.0 / (1.0 + (2.0f64 * 0.6 * 0.9).exp());
        // Two equal images: the mean gradient of the weight is that of one image, each activation has half of it.
        near(found.weight[&2], (slope * 0.9 * 0.1).powi(2));
        near(found.act[&2], 2.0 * (slope / 2.0 * 0.6 * 0.1).powi(2));
    }

    #[test]
    fn batches_are_averaged() {
        let lamp = Lamp::new(&[(0.9, 0), (0.4, 0)]);
        let one = NonZeroUsize::MIN;
        let found = lamp.measure(&Fisher { batches: one.saturating_add(1), batch_size: one }, &[2]);
        let of = |x: f64| (-2.0 / (1.0 + (2.0 * 0.6 * x).exp()) * x * 0.1).powi(2);
        near(found.weight[&2], (of(0.9) + of(0.4)) / 2.0);
    }

    #[test]
    fn a_tensor_that_overflows_is_an_error() {
        let lamp = Lamp::new(&[(0.9, 0)]).weighing(1e38);
        let error = lamp.refused(&Fisher::default(), &[4]);
        assert!(error.starts_with("the sensitivity of the weights of layer body at 4 bits is NaN"), "{error}");
    }
}

//! LSQ with dampened oscillations (Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", ICML 2022, section
//! 4.2): a term in the loss that draws latent weights to the centres of their bins.
//!
//! A weight whose best value lies between two levels jumps from one to the other and back for the whole training: on either side
//! the straight-through gradient pushes it to the boundary between them. The running statistics of batch-norms then belong to
//! weights that the network no longer has, most of all in depthwise convolutions, where few weights make an output. With the
//! latent weights w, their quantized values q(w) as constants, the step size s and levels from n to p:
//!
//! ```text
//! L      = L_task + lambda(t) sum over quantized layers of ||q(w) - clip(w, s n, s p)||^2
//! dL/dw += 2 lambda(t) (w - q(w)) where s n <= w <= s p, else 0
//! lambda(t) = lambda (1 - cos(pi t))/2,   t the fraction of the training's steps that are done
//! ```
//!
//! The step size gets no gradient of the term. The paper raises lambda by a cosine, too, so that weights can still change their
//! level early on; its lambda is tuned for each network, and is that of a sum, as here: the more a weight counts in the loss, the
//! larger it has to be. The quantizer itself is LSQ ([`super::lsq`]), whose options are those of `lsq` here. Activations are
//! LSQ's. In a joint training each pass has the term for its own bits.
//!
//! When to use it: in place of `lsq` at 4 bits or fewer, above all for networks of depthwise convolutions, with a few epochs at
//! least; a run whose batch-norms are re-estimated after training has less to gain.

use super::{lsq::Lsq, numbers};
use burn::tensor::Tensor;
use limpq_core::train::{Grid, NoIndicator, Quantizer, Role, TensorInfo, kernels::total};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Dampened LSQ's options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LsqDampened {
    /// Weight of the dampening term in the loss at the end of training (lambda); 0 is plain `lsq`.
    #[serde(deserialize_with = "numbers::not_negative")]
    pub dampening: f64,
    /// The options of `lsq`.
    pub lsq: Lsq,
}

impl Default for LsqDampened {
    fn default() -> Self {
        Self { dampening: 1e-3, lsq: Lsq::default() }
    }
}

limpq_core::plugin!(
    Quantizer,
    "lsq_dampened",
    "lsq, and a loss that draws weights to the centres of their bins (Nagel et al., ICML 2022)",
    LsqDampened
);

impl Quantizer for LsqDampened {
    fn per_channel(&self, role: Role) -> bool {
        self.lsq.per_channel(role)
    }

    fn init(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        self.lsq.init(role, values, grid)
    }

    fn quantize(&self, role: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        self.lsq.quantize(role, values, parameters, grid)
    }

    fn loss(&self, weights: &TensorInfo, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Option<Tensor<1>> {
        let weight = self.dampening * (1.0 - (PI * weights.progress).cos()) / 2.0;
        if weight == 0.0 {
            return None;
        }
        let constants: Vec<Tensor<1>> = parameters.iter().map(|parameter| parameter.clone().inner()).collect();
        let latent = values.clone().inner();
        let quantized = self.lsq.quantize(Role::Weight, latent.clone(), &constants, grid);
        // The ends of the grid as the quantizer has them, whatever it does to its step size.
        let [low, high] = [-f32::MAX, f32::MAX].map(|far| {
            let far = latent.clone().narrow(1, 0, 1).full_like(far);
            self.lsq.quantize(Role::Weight, far, &constants, grid)
        });
        // Beyond the ends q(w) is what w is clipped to: no distance, and no gradient.
        let [low, high] = [low, high].map(|end| end.expand(latent.dims()));
        let outside = latent.clone().lower(low).bool_or(latent.greater(high));
        let distance = (values - quantized).mask_fill(outside, 0.0);
        Some(total(distance.square()).mul_scalar(weight))
    }

    fn after_step(&self, before: &[Tensor<1>], after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        self.lsq.after_step(before, after)
    }

    fn indicator(&self, role: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator> {
        self.lsq.indicator(role, parameters, grid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{device, grid, host, near, rows};
    use super::*;

    /// A loss, its gradients of values, and those of step sizes if it has any.
    type Term = (Vec<f32>, Vec<f32>, Option<Vec<f32>>);

    /// The term and its gradients of values and step sizes.
    fn term(quantizer: &LsqDampened, progress: f64, values: &[f32], steps: &[f32]) -> Option<Term> {
        let device = device().autodiff();
        let values = rows(values, steps.len(), &device).require_grad();
        let steps = Tensor::<1>::from_floats(steps, &device).require_grad();
        let weights = TensorInfo { layer: "conv", role: Role::Weight, fixed: false, progress };
        let term = quantizer.loss(&weights, values.clone(), std::slice::from_ref(&steps), grid(2, true))?;
        let gradients = term.backward();
        Some((host(term), host(values.grad(&gradients).unwrap()), steps.grad(&gradients).map(host)))
    }

    #[test]
    fn the_term_and_its_gradient_worked_by_hand() {
        // s = 0.5 and levels -1, -0.5, 0, 0.5: distances of 0.1, -0.2, 0, clipped, clipped, 0.05.
        let w = [0.1, 0.3, -0.5, -1.3, 0.6, 0.55 - 1.0];
        let quantizer = LsqDampened { dampening: 3.0, ..LsqDampened::default() };
        let (loss, slopes, of_step) = term(&quantizer, 1.0, &w, &[0.5]).unwrap();
        near(&loss, &[3.0 * (0.01 + 0.04 + 0.0025)]);
        near(&slopes, &[6.0 * 0.1, 6.0 * -0.2, 0.0, 0.0, 0.0, 6.0 * 0.05]);
        assert!(of_step.is_none(), "the step size has no part in it");
    }

    #[test]
    fn each_channel_has_its_own_bins() {
        let lsq = Lsq { per_channel: true, ..Lsq::default() };
        let quantizer = LsqDampened { dampening: 1.0, lsq };
        // s = 1: levels -2 to 1; s = 0.25: -0.5 to 0.25.
        let (loss, slopes, _) = term(&quantizer, 1.0, &[0.2, 0.8, 0.2, 0.8], &[1.0, 0.25]).unwrap();
        near(&loss, &[0.04 + 0.04 + 0.0025]);
        near(&slopes, &[0.4, -0.4, -0.1, 0.0]);
    }

    #[test]
    fn it_rises_by_a_cosine_from_nothing() {
        let quantizer = LsqDampened { dampening: 2.0, ..LsqDampened::default() };
        let at = |progress| term(&quantizer, progress, &[0.1], &[0.5]).map(|(loss, ..)| f64::from(loss[0]) / 0.01);
        assert_eq!(at(0.0), None, "there is none at first");
        for (progress, weight) in [(0.25, 1.0 - 0.5f64.sqrt()), (0.5, 1.0), (1.0, 2.0)] {
            assert!((at(progress).unwrap() - weight).abs() < 1e-4, "{progress}");
        }
        let off = LsqDampened { dampening: 0.0, ..LsqDampened::default() };
        assert!(term(&off, 1.0, &[0.1], &[0.5]).is_none());
    }
}

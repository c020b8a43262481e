//! Control: the range of the data, as it was at the start, is the range of the grid; nothing about it is learned. Affine
//! quantization as in Jacob et al. (CVPR 2018, eq. 1 and 12).
//!
//! With l = min(0, smallest), h = max(0, largest), s = (h - l)/(2^b - 1) and the zero point z = round(-l/s), which makes 0
//! a level:
//!
//! ```text
//! y  = s * (round(clip(x/s + z, 0, 2^b - 1)) - z)
//! dx = g where 0 <= x/s + z <= 2^b - 1, else 0
//! ```
//!
//! l and h come from the pre-trained weights and from the first batch of activations, and stay: they get no gradient. Weights
//! that training moves out of the range are clipped.
//!
//! Its importance indicator is s, though no training moves it: `learned_step` with this quantizer gives what `static_step`
//! gives, at the price of a training.
//!
//! When to use it: as the answer to "does learning the grid matter?", next to `lsq` with the same recipe and policy. At 2
//! or 3 bits expect it to fail where a tensor has outliers.

use super::{
    fused::{Bounds, Kernel, fake_quantize},
    gradient, numbers,
};
use burn::tensor::Tensor;
use limpq_core::train::{Grid, NoIndicator, Quantizer, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Narrowest range: that of a tensor of zeros.
const NARROWEST: f64 = 1e-5;

/// Min-max's options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MinMax {
    /// One range for each output channel of the weights, instead of one for the whole tensor.
    pub per_channel: bool,
    /// What computes it: "fused", one operation with a backward pass of its own, or "composed", the reference made of burn's
    /// operations.
    pub kernel: Kernel,
}

limpq_core::plugin!(
    Quantizer,
    "minmax",
    "control: ranges of the data, never learned (affine grid of Jacob et al., CVPR 2018)",
    MinMax
);

impl Quantizer for MinMax {
    fn per_channel(&self, role: Role) -> bool {
        self.per_channel && role == Role::Weight
    }

    fn start(&self, _: Role, values: Tensor<2>, _: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        let low = values.clone().min_dim(1).clamp_max(0.0);
        let high = values.max_dim(1).clamp_min(0.0);
        let high = high.max_pair(low.clone().add_scalar(NARROWEST));
        [low, high].map(|ends| ends.reshape([channels])).to_vec()
    }

    fn quantize(&self, _: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        let [channels, _] = values.dims();
        // `inner()`: the ends of the range get no gradient.
        let [low, high] = [0, 1].map(|end| parameters[end].clone().inner());
        let step = (high - low.clone()).div_scalar(grid.steps());
        let zero = (low.neg() / step.clone()).round();
        if self.kernel == Kernel::Fused {
            let bounds = Bounds { low: 0.0, high: grid.steps(), gradient_scale: 0.0 };
            return fake_quantize(values, [step.clone(), step.zeros_like(), zero], bounds);
        }
        let [step, zero] = [step, zero].map(|numbers| numbers.reshape([channels, 1]));
        let clipped = (values / step.clone() + zero.clone()).clamp(0.0, grid.steps());
        (gradient::straight_through_round(clipped) - zero) * step
    }

    fn indicator(&self, _: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator> {
        Ok((numbers::mean(&parameters[1]) - numbers::mean(&parameters[0])) / grid.steps())
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, grid, start, work};
    use super::*;

    #[test]
    fn two_bits_worked_by_hand() {
        // l = -1, h = 2: s = 1, z = 1. x + 1 = -0.4, 0, 0.7, 1.6, 2.5, 3, 3.2.
        let x = [-1.4, -1.0, -0.3, 0.6, 1.5, 2.0, 2.2];
        let worked = work(&MinMax::default(), Role::Weight, grid(2, true), &[&[-1.0], &[2.0]], &x, &[1.0; 7]);
        assert_eq!(worked.y, [-1.0, -1.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(worked.values, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(worked.parameters, [None, None], "the range is not learned");
    }

    #[test]
    fn the_grid_is_moved_so_that_zero_is_a_level() {
        // l = -0.4, h = 1.1: s = 0.5 and -l/s = 0.8, so z = 1 and the levels are -0.5, 0, 0.5, 1.
        let x = [-9.0, -0.2, 0.0, 0.3, 9.0];
        let worked = work(&MinMax::default(), Role::Act, grid(2, true), &[&[-0.4], &[1.1]], &x, &[1.0; 5]);
        assert_eq!(worked.y, [-0.5, 0.0, 0.0, 0.5, 1.0]);
    }

    /// Numbers of PyTorch's own fake quantization; `tests/golden/quantizers.py` made them.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("minmax", 8) {
            case.compare(&MinMax::default(), Role::Act);
        }
    }

    #[test]
    fn the_range_is_that_of_the_data_and_of_zero() {
        let range = |values: &[f32]| start(&MinMax::default(), Role::Act, grid(4, false), values);
        assert_eq!(range(&[0.5, 3.0, 1.0]), [[0.0], [3.0]]);
        assert_eq!(range(&[-0.5, -3.0]), [[-3.0], [0.0]]);
        assert_eq!(range(&[0.0, 0.0]), [[0.0], [1e-5]]);
        assert_eq!(MinMax::default().indicator(Role::Act, &[vec![-1.0], vec![2.0]], grid(2, true)), Ok(1.0));
    }
}

//! EWGS (Lee et al., CVPR 2021, section 3): uniform quantization on a learned interval [l, u]; the backward pass scales
//! each gradient element by the rounding error and its direction.
//!
//! With k = 2^b - 1 steps, rounding half to even:
//!
//! ```text
//! x_n = clip((x - l)/(u - l), 0, 1)
//! x_q = round(k x_n)/k
//! y   = l + (u - l) x_q
//! dL/dx_n = g (1 + delta sign(g) (x_n - x_q)),   g = dL/dx_q
//! ```
//!
//! Of the values on one level, those farther from the next level in the direction of descent get the larger gradient.
//! delta = 0 is the straight-through estimator. All other gradients, including those of l and u, follow by the chain
//! rule.
//!
//! Differences from the paper: its weights are quantized in [-1, 1] and its activations in [0, 1], and a learned factor
//! per layer restores the scale; here that factor is u - l, so that a pre-trained network keeps its scale. It trains l
//! and u with a separate optimizer; here there is one optimizer, and their gradients are multiplied by LSQ's
//! 1/sqrt(N*k), where N values share them. delta is constant; adapting it to the Hessian is left out. The initial
//! interval minimises the squared error of the weights, or of the first batch of activations (`least_error.rs`).
//!
//! When to use it: against LSQ at 2-4 bits, to see the effect of a better gradient than the straight-through
//! estimator's. Zero need not be a level.

use super::{least_error, numbers};
use burn::{backend::tensor::FloatTensor, tensor::Tensor};
use limpq_core::train::{
    Grid, NoIndicator, Quantizer, Role,
    kernels::{CustomOp, OpBackend, Outputs, Saved},
    quant::{at_least_half, scale_gradient},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// EWGS's options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ewgs {
    /// Scaling factor of the gradients, for a rounding error relative to the interval; 0 is the straight-through
    /// estimator.
    #[serde(deserialize_with = "numbers::not_negative")]
    pub delta: f64,
    /// Narrowest interval; a positive number.
    #[serde(deserialize_with = "numbers::positive")]
    pub min_width: f64,
}

impl Default for Ewgs {
    fn default() -> Self {
        Self { delta: 1e-3, min_width: 1e-4 }
    }
}

limpq_core::plugin!(
    Quantizer,
    "ewgs",
    "learned intervals, gradients scaled by the rounding error (Lee et al., CVPR 2021)",
    Ewgs
);

impl Quantizer for Ewgs {
    fn init(&self, _: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        let [step, low] = least_error::levels(values, grid.steps(), self.min_width / grid.steps());
        let high = low.clone() + step.mul_scalar(grid.steps());
        self.wide_enough([low, high].map(|ends| ends.reshape([channels])).to_vec())
    }

    fn quantize(&self, _: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        let [channels, elements] = values.dims();
        let scale = 1.0 / (elements as f64 * grid.steps()).sqrt();
        let [low, high] = [0, 1].map(|end| scale_gradient(parameters[end].clone(), scale).reshape([channels, 1]));
        let step = (high - low.clone()).div_scalar(grid.steps());
        let clipped = ((values - low.clone()) / step.clone()).clamp(0.0, grid.steps());
        // k x_n is rounded; its rounding error is k times that of x_n.
        scaled_round(clipped, self.delta / grid.steps()) * step + low
    }

    fn after_step(&self, before: &[Tensor<1>], mut after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        let [before, width] = [before, &after[..]].map(|ends| ends[1].clone() - ends[0].clone());
        after[1] = after[0].clone() + at_least_half(&before, &width);
        self.wide_enough(after)
    }

    fn indicator(&self, _: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator> {
        Ok((numbers::mean(&parameters[1]) - numbers::mean(&parameters[0])) / grid.steps())
    }
}

impl Ewgs {
    /// Limits the interval to its smallest width.
    fn wide_enough(&self, mut ends: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        let lowest_high = ends[0].clone().add_scalar(self.min_width);
        ends[1] = ends[1].clone().max_pair(lowest_high);
        ends
    }
}

/// Rounds half to even; the gradient g of an element t becomes g + factor |g| (t - round(t)).
///
/// Backward passes of burn's own operations are linear in the gradient, and so are their compositions. This one is not,
/// because of the sign of g, so it needs an operation of its own.
#[derive(Clone, Debug)]
struct ScaledRound {
    factor: f64,
}

impl CustomOp<1> for ScaledRound {
    fn forward<B: OpBackend>(&self, [values]: [FloatTensor<B>; 1], saves: bool) -> Outputs<B> {
        let rounded = B::float_round(values.clone());
        let errors = saves.then(|| {
            let error = B::float_sub(values, rounded.clone());
            B::float_mul_scalar(error, self.factor.into())
        });
        Outputs::new(rounded).saving(errors)
    }

    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        _: [bool; 1],
    ) -> [Option<FloatTensor<B>>; 1] {
        let [errors] = saved.unpack();
        let scaled = B::float_mul(B::float_abs(gradient.clone()), errors);
        [Some(B::float_add(gradient, scaled))]
    }
}

fn scaled_round(values: Tensor<2>, factor: f64) -> Tensor<2> {
    ScaledRound { factor }.apply([values.into()])
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, device, grid, init, near, rows, work};
    use super::*;

    #[test]
    fn two_bits_worked_by_hand() {
        // l = -1, u = 2: the step is 1 and the levels are -1, 0, 1, 2. delta = 0.6, which is 0.2 for a whole step.
        let ewgs = Ewgs { delta: 0.6, ..Ewgs::default() };
        let x = [-2.0, -1.0, -0.75, 0.25, 0.5, 1.6, 2.0, 3.0];
        // t        0     0   0.25  1.25  1.5  2.6    3    3
        // r        0     0      0     1    2    3    3    3
        let g = [1.0, 1.0, 1.0, -1.0, 2.0, -2.0, 1.0, 1.0];
        let worked = work(&ewgs, Role::Weight, grid(2, true), &[&[-1.0], &[2.0]], &x, &g);
        assert_eq!(worked.y, [-1.0, -1.0, -1.0, 0.0, 1.0, 2.0, 2.0, 2.0]);
        // g + 0.2 |g| (t - r) inside: 1 + 0.05, -1 + 0.05, 2 - 0.2, -2 - 0.16.
        near(&worked.values, &[0.0, 1.0, 1.05, -0.95, 1.8, -2.16, 1.0, 0.0]);
        // By the step: sum(g r) - sum(g' t) = 3 + 0.841. By l directly: sum(g) - sum(g') = 4 - 1.74.
        // The step is (u - l)/3; N*k = 8*3.
        let (by_step, by_low, scale) = (3.841, 2.26, 1.0 / 24f64.sqrt());
        near(worked.parameters[0].as_ref().unwrap(), &[(by_low - by_step / 3.0) * scale]);
        near(worked.parameters[1].as_ref().unwrap(), &[by_step / 3.0 * scale]);
    }

    #[test]
    fn delta_zero_is_exactly_straight_through() {
        let autodiff = device().autodiff();
        let values: Vec<f32> = (0..50).map(|i| (i as f32 * 0.37).sin() * 5.0).collect();
        let gradient = |round: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let t = rows(&values, 1, &autodiff).require_grad();
            let y = round(t.clone());
            let weights = rows(&values, 1, &autodiff).cos();
            let grads = (y.clone() * y.clone() * weights).sum().backward();
            (y.into_data(), t.grad(&grads).unwrap().into_data())
        };
        let straight = gradient(&limpq_core::train::quant::round_straight_through);
        assert_eq!(gradient(&|t| scaled_round(t, 0.0)), straight);
        assert_ne!(gradient(&|t| scaled_round(t, 0.5)).1, straight.1);
        // The same without autodiff.
        let plain = scaled_round(rows(&[0.5, 1.5, -2.4], 1, &device()), 0.5);
        assert_eq!(plain.into_data().try_to_vec::<f32>().unwrap(), [0.0, 2.0, -2.0]);
    }

    /// Values of an implementation in PyTorch, made by `tests/golden/quantizers.py`.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("ewgs", 8) {
            case.compare(&Ewgs { delta: 0.5, ..Ewgs::default() }, Role::Act);
        }
    }

    #[test]
    fn intervals_start_at_the_ends_of_the_levels_of_least_error() {
        let ewgs = Ewgs::default();
        // On four levels one apart.
        let ends = init(&ewgs, Role::Weight, grid(2, true), &[-1.0, 2.0, 0.0, 1.0, 0.0]);
        near(&[ends[0][0], ends[1][0]], &[-1.0, 2.0]);
        let flat = init(&ewgs, Role::Weight, grid(4, true), &[0.5; 4]);
        near(&[flat[0][0], flat[1][0]], &[0.5, 0.5001]);
        assert_eq!(ewgs.indicator(Role::Weight, &[vec![-1.0], vec![2.0]], grid(2, true)), Ok(1.0));
    }

    #[test]
    fn an_interval_cannot_turn_over() {
        let ends = [[2.0], [1.0]].map(|end: [f32; 1]| Tensor::<1>::from_floats(end, &device()));
        let ends = Ewgs { min_width: 0.5, ..Ewgs::default() }.wide_enough(ends.to_vec());
        assert_eq!(ends[0].to_data().try_to_vec::<f32>().unwrap(), [2.0]);
        assert_eq!(ends[1].to_data().try_to_vec::<f32>().unwrap(), [2.5]);
    }
}

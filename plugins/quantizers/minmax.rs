//! Control: the grid covers the range of the data at the start, and nothing is learned. Affine quantization as in Jacob
//! et al. (CVPR 2018, eq. 1 and 12).
//!
//! With l = min(0, smallest), h = max(0, largest), s = (h - l)/(2^b - 1) and the zero point z = round(-l/s), which makes 0
//! a level:
//!
//! ```text
//! y  = s * (round(clip(x/s + z, 0, 2^b - 1)) - z)
//! dx = g where 0 <= x/s + z <= 2^b - 1, else 0
//! ```
//!
//! l and h are computed from the pre-trained weights and from calibration batches of activations, optionally without
//! outliers. They are constants without gradients. Weights that training moves out of the range are clipped.
//!
//! Its importance indicator is s, although no training changes it: `learned_step` with this quantizer gives the result
//! of `static_step` at the price of a training.
//!
//! When to use it: as the answer to "does learning the grid matter?", next to `lsq` with the same recipe and policy. At 2
//! or 3 bits expect it to fail where a tensor has outliers.

use super::{
    fused::{Bounds, Kernel, fake_quantize},
    numbers,
};
use burn::tensor::Tensor;
use limpq_core::train::{
    Grid, NoIndicator, Quantizer, Role,
    quant::{AcrossBatches, Observer, round_straight_through},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Narrowest range, for a tensor of zeros.
const NARROWEST: f64 = 1e-5;

/// Min-max's options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MinMax {
    /// One range for each output channel of the weights, instead of one for the whole tensor.
    pub per_channel: bool,
    /// Number of consecutive weights of an output channel that share a range; 0 turns groups off. A channel whose
    /// number of weights it does not divide has one range.
    pub group_size: usize,
    /// How the range of a batch of activations is found: "min_max", "percentile" (from the 0.1 % to the 99.9 %
    /// quantile), or "mse" (least squared error).
    pub observer: Observer,
    /// How several calibration batches are combined: the "mean" of their ranges, the "whole" range of all of them, or
    /// their "moving_average".
    pub batches: Batches,
    /// Implementation: "fused", a single operation with its own backward pass, or "composed", the reference built from
    /// burn's operations.
    pub kernel: Kernel,
}

/// How the ranges of several batches are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Batches {
    /// Their mean.
    #[default]
    Mean,
    /// From the smallest to the largest value of all batches.
    Whole,
    /// Their moving average, in order.
    MovingAverage,
}

limpq_core::plugin!(
    Quantizer,
    "minmax",
    "control: ranges of the data, never learned (affine grid of Jacob et al., CVPR 2018)",
    MinMax
);

impl Quantizer for MinMax {
    fn per_channel(&self, role: Role) -> bool {
        (self.per_channel || self.group_size > 0) && role == Role::Weight
    }

    fn groups(&self, elements: usize) -> usize {
        match self.group_size {
            0 => 1,
            size if elements.is_multiple_of(size) => elements / size,
            _ => 1,
        }
    }

    fn init_from_batches(&self, starts: Vec<Vec<Tensor<1>>>) -> Vec<Tensor<1>> {
        let across = match self.batches {
            Batches::Mean => [AcrossBatches::Mean; 2],
            Batches::Whole => [AcrossBatches::Min, AcrossBatches::Max],
            Batches::MovingAverage => [AcrossBatches::MovingAverage; 2],
        };
        if starts.iter().all(Vec::is_empty) {
            return vec![];
        }
        let end = |place: usize| across[place].combine(starts.iter().map(|start| start[place].clone()).collect());
        vec![end(0), end(1)]
    }

    fn init(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        let observer = if role == Role::Act { self.observer } else { Observer::MinMax };
        let [low, high] = observer.range(values, grid.steps());
        let low = low.clamp_max(0.0);
        let high = high.clamp_min(0.0).max_pair(low.clone().add_scalar(NARROWEST));
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
        (round_straight_through(clipped) - zero) * step
    }

    fn indicator(&self, _: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator> {
        Ok((numbers::mean(&parameters[1]) - numbers::mean(&parameters[0])) / grid.steps())
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, device, grid, host, init, near, work};
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

    /// Values of PyTorch's own fake quantization, made by `tests/golden/quantizers.py`.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("minmax", 8) {
            case.compare(&MinMax::default(), Role::Act);
        }
    }

    #[test]
    fn the_range_is_that_of_the_data_and_of_zero() {
        let range = |values: &[f32]| init(&MinMax::default(), Role::Act, grid(4, false), values);
        assert_eq!(range(&[0.5, 3.0, 1.0]), [[0.0], [3.0]]);
        assert_eq!(range(&[-0.5, -3.0]), [[-3.0], [0.0]]);
        assert_eq!(range(&[0.0, 0.0]), [[0.0], [1e-5]]);
        assert_eq!(MinMax::default().indicator(Role::Act, &[vec![-1.0], vec![2.0]], grid(2, true)), Ok(1.0));
    }

    #[test]
    fn several_batches_give_one_range() {
        let ends = |batches| {
            let quantizer = MinMax { batches, ..MinMax::default() };
            let batch = |values: [f32; 2]| init(&quantizer, Role::Act, grid(4, true), &values);
            let starts = [[-1.0, 2.0], [-3.0, 1.0]]
                .map(batch)
                .map(|ends| ends.iter().map(|end| Tensor::<1>::from_floats(&end[..], &device())).collect());
            quantizer.init_from_batches(starts.to_vec()).into_iter().map(|end| host(end)[0]).collect::<Vec<_>>()
        };
        assert_eq!(ends(Batches::Mean), [-2.0, 1.5]);
        assert_eq!(ends(Batches::Whole), [-3.0, 2.0]);
        // 0.9 of the first and 0.1 of the second.
        near(&ends(Batches::MovingAverage), &[-1.2, 1.9]);
    }

    #[test]
    fn outliers_of_activations_are_left_out_where_asked() {
        let mut values: Vec<f32> = (0..4000).map(|place| place as f32 / 3999.0).collect();
        values[7] = 20.0;
        let high = |observer, role| {
            let quantizer = MinMax { observer, ..MinMax::default() };
            init(&quantizer, role, grid(4, false), &values)[1][0]
        };
        assert_eq!(high(Observer::MinMax, Role::Act), 20.0);
        assert!((high(Observer::Percentile, Role::Act) - 0.999).abs() < 1e-3);
        let mse = high(Observer::Mse, Role::Act);
        assert!((1.0..15.0).contains(&mse), "{mse}");
        assert_eq!(high(Observer::Mse, Role::Weight), 20.0, "weights keep theirs");
    }

    #[test]
    fn groups_divide_the_weights_of_a_channel_or_there_are_none() {
        let of = |group_size| MinMax { group_size, ..MinMax::default() };
        assert_eq!([0, 4, 5, 12].map(|size| of(size).groups(12)), [1, 3, 1, 1]);
        assert!(of(4).per_channel(Role::Weight) && !of(4).per_channel(Role::Act) && !of(0).per_channel(Role::Weight));
    }
}

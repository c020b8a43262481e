//! DoReFa-Net (Zhou et al., 2016, arXiv 1606.06160): its k-bit weights and activations, on fixed grids without learned
//! parameters. Gradients, which the paper also quantizes, stay in full precision.
//!
//! With k = 2^b - 1 steps between the levels, and rounding half to even with a straight-through gradient:
//!
//! ```text
//! weights:      n = tanh(w)/(2 max|tanh w|) + 1/2,   y = 2 round(k n)/k - 1
//! activations:  y = round(k clip(x, 0, 1))/k
//! ```
//!
//! The gradient also goes through tanh and through the largest magnitude. The paper has no negative activations; here
//! they are clipped to [-1, 1] and rounded to multiples of 1/(2^(b-1) - 1), so that 0 stays a level.
//!
//! Quantized weights are in [-1, 1] whatever their scale was, and activations above 1 are clipped: even at many bits
//! the network does not compute what the pre-trained one did. The following batch-norms have to learn the new scale.
//!
//! When to use it: as the classic method without learned grids, with enough fine-tuning. It has no step size, so
//! indicators must come from elsewhere (the sensitivity `random`, or one that reads no step sizes).

use burn::tensor::Tensor;
use limpq_core::train::{Grid, NoIndicator, Quantizer, Role, quant::round_straight_through};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dorefa {}

limpq_core::plugin!(
    Quantizer,
    "dorefa",
    "fixed grids: weights by tanh on [-1, 1], activations clipped at 1 (Zhou et al., 2016)",
    Dorefa
);

/// Weights `[channels, elements]`, each row normalised by its largest magnitude and rounded on [-1, 1].
pub(super) fn weights(values: Tensor<2>, grid: Grid) -> Tensor<2> {
    // If tanh underflows there is nothing to normalise: such a row is quantized as 0.
    const SMALLEST: f64 = 1e-30;
    let bent = values.tanh();
    let largest = bent.clone().abs().max_dim(1).clamp_min(SMALLEST);
    let normalised = (bent / largest).div_scalar(2.0).add_scalar(0.5);
    round_straight_through(normalised.mul_scalar(grid.steps())).mul_scalar(2.0 / grid.steps()).sub_scalar(1.0)
}

impl Quantizer for Dorefa {
    fn init(&self, _: Role, _: Tensor<2>, _: Grid) -> Vec<Tensor<1>> {
        vec![]
    }

    fn quantize(&self, role: Role, values: Tensor<2>, _: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        let lowest = if grid.signed { -1.0 } else { 0.0 };
        match role {
            Role::Weight => weights(values, grid),
            Role::Act => {
                let clipped = values.clamp(lowest, 1.0).mul_scalar(grid.qp());
                round_straight_through(clipped).div_scalar(grid.qp())
            }
        }
    }

    fn indicator(&self, role: Role, _: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
        let why = "its levels are the same for every layer, and nothing about them is learned";
        Err(NoIndicator { quantizer: "dorefa", role, why })
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, grid, near, work};
    use super::*;

    #[test]
    fn two_bit_weights_worked_by_hand() {
        // tanh w = t, so M = 0.8 and 3n = 3(t/1.6 + 0.5) = 0.75, 0.5625, 1.3125, 1.5, 2.0625, 3.
        let t = [-0.4f32, -0.5, -0.1, 0.0, 0.3, 0.8];
        let w = t.map(f32::atanh);
        let worked = work(&Dorefa {}, Role::Weight, grid(2, true), &[], &w, &[1.0; 6]);
        let third = 1.0 / 3.0;
        near(&worked.y, &[-third, -third, -third, third, third, 1.0]);
        // Straight through, sum(y) = sum(t)/M with sum(t) = 0.1. By t it is 1/M = 1.25, and for the largest also
        // -0.1/M^2 = -0.15625; then times 1 - t^2.
        near(&worked.values, &[1.05, 0.9375, 1.2375, 1.25, 1.1375, 1.09375 * 0.36]);
    }

    #[test]
    fn two_bit_activations_worked_by_hand() {
        let x = [-0.5, 0.0, 0.2, 0.5, 0.9, 1.0, 1.3];
        let worked = work(&Dorefa {}, Role::Act, grid(2, false), &[], &x, &[1.0; 7]);
        // 3x = 0.6, 1.5, 2.7; half to even.
        near(&worked.y, &[0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0, 1.0]);
        assert_eq!(worked.values, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        // Below zero the only levels of 2 bits are -1, 0, 1.
        let worked = work(&Dorefa {}, Role::Act, grid(2, true), &[], &[-1.2, -0.7, -0.3, 0.6, 1.0], &[1.0; 5]);
        assert_eq!(worked.y, [-1.0, -1.0, 0.0, 1.0, 1.0]);
        assert_eq!(worked.values, [0.0, 1.0, 1.0, 1.0, 1.0]);
    }

    /// Values of an implementation in PyTorch, made by `tests/golden/quantizers.py`.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("dorefa", 4) {
            case.compare(&Dorefa {}, Role::Weight);
        }
    }

    #[test]
    fn weights_that_are_all_zero_give_finite_numbers() {
        let worked = work(&Dorefa {}, Role::Weight, grid(4, true), &[], &[0.0; 5], &[1.0; 5]);
        assert!(worked.y.iter().chain(&worked.values).all(|number| number.is_finite()), "{:?}", worked.y);
    }

    #[test]
    fn the_missing_indicator_is_explained() {
        let error = Dorefa {}.indicator(Role::Weight, &[], grid(4, true)).unwrap_err().to_string();
        assert!(error.starts_with("quantizer \"dorefa\" gives no importance indicator for weights: "), "{error}");
    }
}

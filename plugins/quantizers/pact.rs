//! PACT (Choi et al., 2018, arXiv 1805.06085, eq. 1-3): activations are clipped at a learned level a, which also
//! determines the step size.
//!
//! ```text
//! y  = round(clip(x, 0, a)/s) * s,   s = a/Qp,   Qp = 2^b - 1
//! dx = g where 0 <= x < a, else 0
//! da = sum(g where x >= a)
//! ```
//!
//! The straight-through gradient ignores that s depends on a. The paper has no negative activations; here they are
//! clipped to [-a, a], with Qp = 2^(b-1) - 1, so that 0 stays a level, and da subtracts the gradients where x <= -a.
//!
//! The paper adds an L2 penalty on a to the loss. Here it is the optimizer's weight decay, with the same coefficient as
//! for the weights ([`Quantizer::decayed`]). It lowers a until the clipping error balances it. The paper initialises a
//! so that hardly anything is clipped; here it is the largest magnitude in the first batch.
//!
//! Weights are quantized as in DoReFa-Net ([`super::dorefa`]), as in the paper. They have no step size and hence no
//! importance indicator, so PACT cannot be used with sensitivities that read step sizes.
//!
//! When to use it: to compare with results from before LSQ, and for activations with outliers that should be clipped.

use super::{dorefa, numbers};
use burn::tensor::Tensor;
use limpq_core::train::{
    Grid, NoIndicator, Quantizer, Role,
    quant::{at_least_half, straight_through},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PACT's options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pact {
    /// Smallest clipping level; a positive number.
    #[serde(deserialize_with = "numbers::positive")]
    pub min_clip: f64,
}

impl Default for Pact {
    fn default() -> Self {
        Self { min_clip: 1e-3 }
    }
}

limpq_core::plugin!(
    Quantizer,
    "pact",
    "activations clipped at a learned level, weights as in dorefa (Choi et al., 2018)",
    Pact
);

impl Quantizer for Pact {
    fn init(&self, role: Role, values: Tensor<2>, _: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        match role {
            Role::Weight => vec![],
            Role::Act => vec![values.abs().max_dim(1).reshape([channels]).clamp_min(self.min_clip)],
        }
    }

    fn quantize(&self, role: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        if role == Role::Weight {
            return dorefa::weights(values, grid);
        }
        let shape @ [channels, _] = values.dims();
        let clip = parameters[0].clone().reshape([channels, 1]);
        let step = clip.clone().inner().div_scalar(grid.qp());
        let highest = clip.expand(shape);
        let above = values.clone().greater_equal(highest.clone());
        let clipped = values.clone().mask_where(above, highest.clone());
        let clipped = match grid.signed {
            true => clipped.mask_where(values.lower_equal(highest.clone().neg()), highest.neg()),
            false => clipped.mask_fill(values.lower_elem(0.0), 0.0),
        };
        let rounded = (clipped.clone().inner() / step.clone()).round() * step;
        straight_through(clipped, rounded)
    }

    fn after_step(&self, before: &[Tensor<1>], after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        let clips = before.iter().zip(&after).map(|(before, after)| at_least_half(before, after));
        clips.map(|clip| clip.clamp_min(self.min_clip)).collect()
    }

    fn decayed(&self, role: Role) -> bool {
        role == Role::Act
    }

    fn indicator(&self, role: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator> {
        match role {
            Role::Act => Ok(numbers::mean(&parameters[0]) / grid.qp()),
            Role::Weight => {
                let why = "they are quantized as in DoReFa, on levels that are the same for every layer";
                Err(NoIndicator { quantizer: "pact", role, why })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, grid, init, work};
    use super::*;

    #[test]
    fn two_unsigned_bits_worked_by_hand() {
        // a = 1.5, so s = 0.5; x/s = 0.4, 0.5, 1.6, 2.4 inside.
        let x = [-1.0, 0.0, 0.2, 0.25, 0.8, 1.2, 1.5, 2.0];
        let grad = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let worked = work(&Pact::default(), Role::Act, grid(2, false), &[&[1.5]], &x, &grad);
        assert_eq!(worked.y, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.5, 1.5]);
        assert_eq!(worked.values, [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
        // 7 + 8: at x = a the gradient goes to a.
        assert_eq!(worked.parameters, [Some(vec![15.0])]);
    }

    #[test]
    fn three_signed_bits_worked_by_hand() {
        // a = 1.5 and Qp = 3, so s = 0.5; x/s = -1.6, -0.4, 0.6 inside.
        let x = [-2.0, -1.5, -0.8, -0.2, 0.3, 1.5, 1.6];
        let grad = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let worked = work(&Pact::default(), Role::Act, grid(3, true), &[&[1.5]], &x, &grad);
        assert_eq!(worked.y, [-1.5, -1.5, -1.0, 0.0, 0.5, 1.5, 1.5]);
        assert_eq!(worked.values, [0.0, 0.0, 3.0, 4.0, 5.0, 0.0, 0.0]);
        // 6 + 7 - 1 - 2
        assert_eq!(worked.parameters, [Some(vec![10.0])]);
    }

    /// Values of an implementation in PyTorch, made by `tests/golden/quantizers.py`.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("pact", 8) {
            case.compare(&Pact::default(), Role::Act);
        }
    }

    #[test]
    fn the_level_starts_at_the_largest_magnitude_and_is_the_indicator() {
        let pact = Pact::default();
        let clip = init(&pact, Role::Act, grid(3, true), &[0.1, -1.8, 0.9]);
        assert_eq!(clip, [[1.8]]);
        assert_eq!(pact.indicator(Role::Act, &[vec![1.5]], grid(4, false)), Ok(0.1));
        assert_eq!(pact.indicator(Role::Act, &[vec![1.5]], grid(3, true)), Ok(0.5));
        let error = pact.indicator(Role::Weight, &[], grid(3, true)).unwrap_err().to_string();
        assert!(error.starts_with("quantizer \"pact\" gives no importance indicator for weights: "), "{error}");
    }

    #[test]
    fn only_the_clipping_level_decays() {
        assert!(Pact::default().decayed(Role::Act) && !Pact::default().decayed(Role::Weight));
    }
}

//! LSQ+ (Bhalgat et al., CVPRW 2020, section 3): LSQ with a learned offset beta of activations besides the learned step
//! size s, and an initialisation that takes outliers into account.
//!
//! For N activations x that share s and beta, Qp = 2^b - 1, rounding half to even:
//!
//! ```text
//! t     = (x - beta)/s
//! y     = s * round(clip(t, 0, Qp)) + beta
//! dx    = g where 0 <= t <= Qp, else 0
//! ds    = G * sum(g * e),   e = 0 below, Qp above, round(t) - t inside
//! dbeta = G * sum(g * o),   o = 0 inside, 1 outside
//! ```
//!
//! These are the 2^b levels of the paper's configuration 4, whatever the sign of the activations; weights are symmetric
//! and without offset, as in LSQ. The paper does not say how the offset's gradient is scaled; here it has the step
//! size's factor G = 1/sqrt(N*Qp), so that both learn at the same rate.
//!
//! Weight step sizes are initialised to max(|mu-3sd|, |mu+3sd|)/2^(b-1). Step sizes and offsets of activations minimise
//! the squared error of the first batch, as in the paper; the algorithm is this project's (`least_error.rs`).
//!
//! When to use it: for activations that are negative without being symmetric (swish, hard-swish, the output of an
//! addition), where an unsigned grid loses the negative part and a signed one wastes levels. After ReLU expect little
//! gain over LSQ. Zero itself need not be a level; padding stays exactly 0.

use super::{
    fused::{Bounds, Kernel, fake_quantize},
    least_error,
    lsq::{Lsq, Start},
    numbers,
};
use burn::tensor::Tensor;
use limpq_core::train::{
    Grid, NoIndicator, Quantizer, Role,
    quant::{at_least_half, round_straight_through, scale_gradient},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// LSQ+'s options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LsqPlus {
    /// One step size for each output channel of the weights, instead of one for the whole tensor.
    pub per_channel: bool,
    /// Smallest step size; a positive number.
    #[serde(deserialize_with = "numbers::positive")]
    pub min_step: f64,
    /// Implementation: "fused", a single operation with its own backward pass, or "composed", the reference built from
    /// burn's operations.
    pub kernel: Kernel,
}

impl Default for LsqPlus {
    fn default() -> Self {
        Self { per_channel: false, min_step: 1e-5, kernel: Kernel::Fused }
    }
}

limpq_core::plugin!(
    Quantizer,
    "lsq_plus",
    "learned step sizes, and learned offsets of activations (Bhalgat et al., CVPRW 2020)",
    LsqPlus
);

impl LsqPlus {
    /// The quantizer of weights.
    fn lsq(&self) -> Lsq {
        let Self { per_channel, min_step, kernel } = *self;
        Lsq { per_channel, weight_start: Start::LsqPlus, min_step, kernel, ..Lsq::default() }
    }
}

impl Quantizer for LsqPlus {
    fn per_channel(&self, role: Role) -> bool {
        self.lsq().per_channel(role)
    }

    fn init(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        match role {
            Role::Weight => self.lsq().init(role, values, grid),
            Role::Act => {
                let [step, offset] = least_error::levels(values, grid.steps(), self.min_step);
                vec![step.reshape([channels]), offset.reshape([channels])]
            }
        }
    }

    fn quantize(&self, role: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        let [step, offset] = match role {
            Role::Weight => return self.lsq().quantize(role, values, parameters, grid),
            Role::Act => [0, 1].map(|place| parameters[place].clone()),
        };
        let [channels, elements] = values.dims();
        let gradient_scale = 1.0 / (elements as f64 * grid.steps()).sqrt();
        if self.kernel == Kernel::Fused {
            return fake_quantize(values, [step, offset], Bounds { low: 0.0, high: grid.steps(), gradient_scale });
        }
        let scaled = |numbers| scale_gradient(numbers, gradient_scale).reshape([channels, 1]);
        let [step, offset] = [step, offset].map(scaled);
        let clipped = ((values - offset.clone()) / step.clone()).clamp(0.0, grid.steps());
        round_straight_through(clipped) * step + offset
    }

    fn after_step(&self, before: &[Tensor<1>], mut after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        // The step size; an offset has no bounds.
        after[0] = at_least_half(&before[0], &after[0]).clamp_min(self.min_step);
        after
    }

    fn indicator(&self, _: Role, parameters: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
        Ok(numbers::mean(&parameters[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{Golden, grid, init, near, work};
    use super::*;

    #[test]
    fn two_bits_with_an_offset_worked_by_hand() {
        // s = 0.5, beta = -0.25: levels -0.25, 0.25, 0.75, 1.25.
        let x = [-1.0, -0.25, 0.0, 0.1, 0.3, 0.9, 1.25, 2.0];
        // t        -1.5     0  0.5  0.7  1.1  2.3     3  4.5
        // rounded     0     0    0    1    1    2     3    3
        for signed in [false, true] {
            let worked = work(&LsqPlus::default(), Role::Act, grid(2, signed), &[&[0.5], &[-0.25]], &x, &[1.0; 8]);
            assert_eq!(worked.y, [-0.25, -0.25, -0.25, 0.25, 0.25, 0.75, 1.25, 1.25]);
            assert_eq!(worked.values, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
            // e = 0, 0, -0.5, 0.3, -0.1, -0.3, 0, 3: their sum is 2.4; two values lie outside; G = 1/sqrt(8*3).
            let scale = 1.0 / 24f64.sqrt();
            near(worked.parameters[0].as_ref().unwrap(), &[2.4 * scale]);
            near(worked.parameters[1].as_ref().unwrap(), &[2.0 * scale]);
        }
    }

    #[test]
    fn weights_are_those_of_lsq() {
        let w: Vec<f32> = (0..40).map(|i| (i as f32 * 0.9).sin()).collect();
        let grad: Vec<f32> = (0..40).map(|i| (i as f32 * 0.4).cos()).collect();
        let by = |quantizer: &dyn Quantizer| {
            let step = &init(quantizer, Role::Weight, grid(3, true), &w)[0];
            let worked = work(quantizer, Role::Weight, grid(3, true), &[step], &w, &grad);
            (step.clone(), worked.y, worked.values, worked.parameters)
        };
        assert_eq!(by(&LsqPlus::default()), by(&Lsq::default()));
    }

    /// Values of an implementation in PyTorch, made by `tests/golden/quantizers.py`.
    #[test]
    fn agrees_with_pytorch() {
        for case in Golden::read("lsq_plus", 8) {
            case.compare(&LsqPlus::default(), Role::Act);
        }
    }

    #[test]
    fn activations_start_on_the_levels_of_least_error() {
        // Exactly on four levels, of which the ends of the range are two.
        let numbers = init(&LsqPlus::default(), Role::Act, grid(2, false), &[-0.25, 1.25, 0.25, 0.75, 0.75]);
        near(&numbers[0], &[0.5]);
        near(&numbers[1], &[-0.25]);
    }
}

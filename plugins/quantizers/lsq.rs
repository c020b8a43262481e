//! LSQ (Esser et al., ICLR 2020, eq. 1-5): the step size s is learned with the weights, its gradient scaled by
//! G = 1/sqrt(N*Qp).
//!
//! With u = v/s and rounding half to even, for N values v that share s:
//!
//! ```text
//! y  = s * round(clip(u, -Qn, Qp))
//! dv = g where -Qn <= u <= Qp, else 0
//! ds = G * sum(g * e),   e = -Qn below, Qp above, round(u) - u inside
//! ```
//!
//! Step sizes are initialised as in LSQ, 2*mean|v|/sqrt(Qp), or for weights as in LSQ+ (Bhalgat et al., CVPRW 2020),
//! max(|mu-3sd|, |mu+3sd|)/2^(b-1), as LIMPQ does. On an unsigned grid of activations, which has no lower half, the
//! latter is divided by Qp = 2^b - 1. After each optimizer step a projection keeps step sizes at `min_step` or above,
//! so they never become negative; the forward pass does not clamp them, so at the bound they still get a gradient. One
//! optimizer step makes a step size at most half as large. If all weights and all inputs of a layer are rounded to 0,
//! neither gets a gradient any more; learning rates that raise step sizes that far lose the layer.
//!
//! LIMPQ's indicator training has other bounds, available as `clamp_in_forward`: the forward pass clamps a step size to
//! [1e-5, 1], so that outside of it the step size has no gradient and stays as it is, and optimizer steps are not
//! limited.
//!
//! When to use it: as the default, for weights and for activations after a ReLU. Its step sizes are LIMPQ's indicators.

use super::{
    fused::{Bounds, Kernel, fake_quantize},
    numbers,
};
use burn::tensor::Tensor;
use limpq_core::train::{
    Grid, NoIndicator, Quantizer, Role,
    quant::{at_least_half, round_straight_through, scale_gradient},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest step size in a forward pass with [`Lsq::clamp_in_forward`].
const LARGEST_IN_FORWARD: f64 = 1.0;

/// Initialisation of a step size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// 2*mean|v|/sqrt(Qp).
    Lsq,
    /// max(|mu-3sd|, |mu+3sd|)/max(Qn, Qp).
    #[default]
    LsqPlus,
}

/// LSQ's options.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lsq {
    /// One step size for each output channel of the weights, instead of one for the whole tensor.
    pub per_channel: bool,
    /// Initialisation of weight step sizes: "lsq" or "lsq_plus" (LIMPQ's choice).
    pub weight_start: Start,
    /// Initialisation of activation step sizes from the first batch: "lsq" (LIMPQ's choice) or "lsq_plus".
    pub act_start: Start,
    /// Smallest step size, of weights and of activations; a positive number.
    #[serde(deserialize_with = "numbers::positive")]
    pub min_step: f64,
    /// Whether step sizes are bounded as in LIMPQ's indicator training, for exact replication: clamped to `min_step`..1 in the
    /// forward pass, where one that is outside gets no gradient, and nowhere else. Otherwise they are kept at `min_step` or
    /// above after each optimizer step, which makes one at most half as large, and have no upper bound.
    pub clamp_in_forward: bool,
    /// Implementation: "fused", a single operation with its own backward pass, or "composed", the reference built from
    /// burn's operations.
    pub kernel: Kernel,
}

impl Default for Lsq {
    fn default() -> Self {
        Self {
            per_channel: false,
            weight_start: Start::LsqPlus,
            act_start: Start::Lsq,
            min_step: 1e-5,
            clamp_in_forward: false,
            kernel: Kernel::Fused,
        }
    }
}

limpq_core::plugin!(Quantizer, "lsq", "learned step sizes with scaled gradients (Esser et al., ICLR 2020)", Lsq);

impl Quantizer for Lsq {
    fn per_channel(&self, role: Role) -> bool {
        self.per_channel && role == Role::Weight
    }

    fn init(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        let [channels, _] = values.dims();
        let start = if role == Role::Weight { self.weight_start } else { self.act_start };
        let step = match start {
            Start::LsqPlus => {
                let mean = values.clone().mean_dim(1);
                let spread = values.var(1).sqrt().mul_scalar(3.0);
                let far = (mean.clone() - spread.clone()).abs().max_pair((mean + spread).abs());
                far.div_scalar(grid.qn().max(grid.qp()))
            }
            Start::Lsq => values.abs().mean_dim(1).mul_scalar(2.0 / grid.qp().sqrt()),
        };
        let step = step.reshape([channels]);
        vec![if self.clamp_in_forward { step } else { step.clamp_min(self.min_step) }]
    }

    fn quantize(&self, _: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
        let [channels, elements] = values.dims();
        let step = match self.clamp_in_forward {
            true => parameters[0].clone().clamp(self.min_step, LARGEST_IN_FORWARD),
            false => parameters[0].clone(),
        };
        let gradient_scale = 1.0 / (elements as f64 * grid.qp()).sqrt();
        if self.kernel == Kernel::Fused {
            return fake_quantize(values, [step], Bounds { low: -grid.qn(), high: grid.qp(), gradient_scale });
        }
        let step = scale_gradient(step, gradient_scale);
        let step = step.reshape([channels, 1]);
        let clipped = (values / step.clone()).clamp(-grid.qn(), grid.qp());
        round_straight_through(clipped) * step
    }

    fn after_step(&self, before: &[Tensor<1>], after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        if self.clamp_in_forward {
            return after;
        }
        vec![at_least_half(&before[0], &after[0]).clamp_min(self.min_step)]
    }

    fn indicator(&self, _: Role, parameters: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
        Ok(numbers::mean(&parameters[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::worked::{grid, host, init, near, rows, work};
    use super::*;
    use burn::tensor::Device;

    fn run(step: &[f32], bits: u64, signed: bool, values: &[f32], grad: &[f32]) -> [Vec<f32>; 3] {
        let worked = work(&Lsq::default(), Role::Weight, grid(bits, signed), &[step], values, grad);
        [worked.y, worked.values, worked.parameters[0].clone().unwrap()]
    }

    #[test]
    fn two_signed_bits_worked_by_hand() {
        let v = [-1.3, -0.75, -0.5, -0.25, 0.0, 0.12, 0.25, 0.375, 0.5, 0.9];
        let [y, dv, ds] = run(&[0.25], 2, true, &v, &[1.0; 10]);
        assert_eq!(y, [-0.5, -0.5, -0.5, -0.25, 0.0, 0.0, 0.25, 0.25, 0.25, 0.25]);
        assert_eq!(dv, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        near(&ds, &[-0.468_017_093_7]);
    }

    #[test]
    fn two_unsigned_bits_worked_by_hand() {
        let v = [-0.4, 0.0, 0.1, 0.125, 0.3, 0.375, 0.74, 0.75, 0.9, 2.0];
        let [y, dv, ds] = run(&[0.25], 2, false, &v, &[1.0; 10]);
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 0.75, 0.75, 0.75]);
        assert_eq!(dv, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        near(&ds, &[0.993_203_570_9]);
    }

    #[test]
    fn four_signed_bits_worked_by_hand() {
        let v = [-1.0, -0.95, 0.45, 0.75, 0.8, 1.5, 3.4, -4.2, 0.1, 0.0];
        let [y, dv, ds] = run(&[0.5], 4, true, &v, &[1.0; 10]);
        assert_eq!(y, [-1.0, -1.0, 0.5, 1.0, 1.0, 1.5, 3.5, -4.0, 0.0, 0.0]);
        assert_eq!(dv, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        near(&ds, &[-0.848_612_312_6]);
    }

    /// Values of an implementation in PyTorch, made by `tests/golden/lsq.py`.
    #[test]
    fn agrees_with_pytorch() {
        #[derive(Deserialize)]
        struct Case {
            name: String,
            bits: u64,
            signed: bool,
            channels: usize,
            values: Vec<f32>,
            step: Vec<f32>,
            grad_out: Vec<f32>,
            y: Vec<f64>,
            grad_values: Vec<f64>,
            grad_step: Vec<f64>,
            lsq_start: Vec<f64>,
            lsq_plus_start: Vec<f64>,
        }
        #[derive(Deserialize)]
        struct Golden {
            cases: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/lsq.json")).unwrap();
        assert!(golden.cases.len() >= 12);
        for case in golden.cases {
            println!("{}", case.name);
            let [y, dv, ds] = run(&case.step, case.bits, case.signed, &case.values, &case.grad_out);
            near(&y, &case.y);
            near(&dv, &case.grad_values);
            near(&ds, &case.grad_step);
            let values = rows(&case.values, case.channels, &Device::flex());
            let grid = grid(case.bits, case.signed);
            for (start, wanted) in [(Start::Lsq, case.lsq_start), (Start::LsqPlus, case.lsq_plus_start)] {
                // The script covers weights, which are signed.
                if start == Start::LsqPlus && !case.signed {
                    continue;
                }
                let lsq = Lsq { weight_start: start, ..Lsq::default() };
                let step = lsq.init(Role::Weight, values.clone(), grid).remove(0);
                near(&host(step), &wanted);
            }
        }
    }

    #[test]
    fn each_tensor_starts_as_it_is_told_to() {
        // Mean 2.5, variance 5/3 (of a sample), so mu + 3sd is 6.373.
        let values = rows(&[1.0, 2.0, 3.0, 4.0], 1, &Device::flex());
        let by = |weight_start, act_start, role, grid| {
            let lsq = Lsq { weight_start, act_start, ..Lsq::default() };
            host(lsq.init(role, values.clone(), grid).remove(0))
        };
        let far = 2.5 + 3.0 * (5f64 / 3.0).sqrt();
        for (role, signed, plus, lsq) in [
            (Role::Weight, true, far / 4.0, 5.0 / 3f64.sqrt()),
            (Role::Act, true, far / 4.0, 5.0 / 3f64.sqrt()),
            (Role::Act, false, far / 7.0, 5.0 / 7f64.sqrt()),
        ] {
            let weight = role == Role::Weight;
            let [as_plus, as_lsq] = if weight { [Start::LsqPlus, Start::Lsq] } else { [Start::Lsq, Start::LsqPlus] };
            let own = |weight_start, act_start| by(weight_start, act_start, role, grid(3, signed));
            near(&own(as_plus, as_lsq), &[plus]);
            near(&own(as_lsq, as_plus), &[lsq]);
        }
    }

    #[test]
    fn quantizing_again_changes_nothing() {
        let values: Vec<f32> = (0..200).map(|i| (i as f32 * 0.7).sin() * 1.4).collect();
        for (bits, signed) in [(2, true), (3, true), (4, false), (8, true)] {
            let step = &init(&Lsq::default(), Role::Act, grid(bits, signed), &values)[0];
            let [once, ..] = run(step, bits, signed, &values, &[1.0; 200]);
            let [twice, ..] = run(step, bits, signed, &once, &[1.0; 200]);
            near(&twice, &once.iter().map(|&y| f64::from(y)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_step_size_at_its_bound_is_not_frozen() {
        let lsq = Lsq { min_step: 0.5, ..Lsq::default() };
        let device = Device::flex();
        let [before, after] = [[0.5; 3], [-1.0, 0.2, 3.0]].map(|step| Tensor::from_floats(step, &device));
        let projected = lsq.after_step(&[before], vec![after]).remove(0);
        assert_eq!(projected.into_data().try_to_vec::<f32>().unwrap(), [0.5, 0.5, 3.0]);
        // Steps at and far above any bound still get gradients.
        for step in [0.5, 40.0] {
            let [_, _, ds] = run(&[step], 4, true, &[0.3, -0.7, 90.0], &[1.0; 3]);
            assert!(ds[0] != 0.0);
        }
    }

    #[test]
    fn clamped_in_the_forward_pass_as_limpq_does_a_step_outside_is_frozen() {
        for kernel in [Kernel::Fused, Kernel::Composed] {
            let lsq = Lsq { clamp_in_forward: true, kernel, ..Lsq::default() };
            let run = |step: f32| {
                let worked = work(&lsq, Role::Act, grid(2, false), &[&[step]], &[0.6, 1.4, 9.0], &[1.0; 3]);
                (worked.y, worked.values, worked.parameters[0].clone().unwrap())
            };
            // At 1.7 as at 1: 0.6 and 1.4 round to 1, 9 is clipped to 3. torch.clamp passes the gradient at the bound:
            // (1 - 0.6) + (1 - 1.4) + 3 = 3, times 1/sqrt(3 * 3).
            let (y, dv, ds) = run(1.0);
            assert_eq!((y, dv), (vec![1.0, 1.0, 3.0], vec![1.0, 1.0, 0.0]));
            near(&ds, &[1.0]);
            assert_eq!(run(1.7), (vec![1.0, 1.0, 3.0], vec![1.0, 1.0, 0.0], vec![0.0]));
            assert_eq!(run(-0.5).2, [0.0], "below the lower bound as well");
        }
        let lsq = Lsq { clamp_in_forward: true, ..Lsq::default() };
        let step = |value: f32| Tensor::from_floats([value], &Device::flex());
        assert_eq!(host(lsq.after_step(&[step(0.5)], vec![step(-0.1)]).remove(0)), [-0.1], "nothing moves it back");
        // 2 * 9 / sqrt(3)
        let start = lsq.init(Role::Act, rows(&[9.0, -9.0], 1, &Device::flex()), grid(2, false)).remove(0);
        near(&host(start), &[18.0 / 3f64.sqrt()]);
    }
}

//! Batch normalisation over channels (Ioffe and Szegedy, ICML 2015): `weight (x - mean) / sqrt(variance + epsilon) +
//! bias`, with the
//! batch's statistics in training and running ones in evaluation, as PyTorch's `BatchNorm2d`.
//!
//! Statistics of activations differ between bit-widths. In joint training there is one copy per bit-width of the
//! preceding layer.

use super::{OpError, Operator, Parameter, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Batch normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNorm {
    /// Added to a variance before the square root.
    pub epsilon: f64,
    /// Fraction by which running statistics move towards those of each training batch.
    pub momentum: f64,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1 }
    }
}

impl Operator for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        // NaN is in no range.
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite() && (0.0..=1.0).contains(&self.momentum)) {
            let Self { epsilon, momentum } = self;
            let why = format!("epsilon must be at least 0 and momentum in 0..=1, got {epsilon} and {momentum}");
            return Err(OpError::Attribute(why));
        }
        one(inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let channels = inputs[0].channels;
        let variance = Parameter::running("running_var", channels, 1.0);
        vec![
            Parameter::per_channel("weight", channels, 1.0),
            Parameter::per_channel("bias", channels, 0.0),
            Parameter::running("running_mean", channels, 0.0),
            Parameter { above: Some(-self.epsilon as f32), ..variance },
        ]
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        true
    }

    fn is_switchable(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        use super::Statistics;
        use crate::train::kernels::{Normalised, batch_norm, batch_norm_evaluated};
        let [weight, bias] = ["weight", "bias"].map(|name| call.learned(name).expect("it asked for it"));
        let input = call.input();
        let share = match call.statistics {
            Statistics::Running => {
                let [mean, variance] = ["running_mean", "running_var"].map(|name| call.running(name).value());
                return batch_norm_evaluated(input, [weight, bias, mean, variance], self.epsilon);
            }
            Statistics::Batch => 0.0,
            Statistics::Train { passes: 1 } => self.momentum,
            Statistics::Train { passes } => 1.0 - (1.0 - self.momentum).powi(passes as i32),
            Statistics::Observe { share } => share,
        };
        let [batch, _, height, width] = input.dims();
        let count = (batch * height * width) as f64;
        let Normalised { output, mean, variance } = batch_norm(input, weight, bias, self.epsilon);
        if share == 0.0 {
            return output;
        }
        // As PyTorch: the running variance is the unbiased one.
        let unbiased = variance.mul_scalar(count / (count - 1.0).max(1.0));
        for (name, batch) in [("running_mean", mean), ("running_var", unbiased)] {
            let running = call.running(name);
            let old = running.value_sync();
            running.update((old.mul_scalar(1.0 - share) + batch.mul_scalar(share)).detach());
        }
        output
    }
}

crate::plugin!(crate::ops::Operator, "batch_norm", "Batch normalisation over channels", BatchNorm);

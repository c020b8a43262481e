//! Fully connected layer, as PyTorch's `Linear`: each output channel is the sum of all input channels of the same pixel times the
//! weights `[out, in]`, plus a bias. On one pixel it is a classifier, on tokens (`dim x tokens x 1`) a layer of a transformer.

use super::{Init, OpError, Operand, Operator, Parameter, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fully connected layer over channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// Number of output channels.
    pub out: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Default for Linear {
    fn default() -> Self {
        Self { out: 1, bias: true }
    }
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        if self.out == 0 {
            return Err(OpError::Zero { what: "output channels" });
        }
        Ok(Shape { channels: self.out, ..one(inputs)? })
    }

    /// Uniform initialisation within 1/sqrt(inputs), as in PyTorch; biases of 0.
    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let features = inputs[0].channels;
        let weight = Parameter::weight(vec![self.out, features], Init::Uniform(1.0 / (features as f32).sqrt()));
        let bias = self.bias.then(|| Parameter::per_channel("bias", self.out, 0.0));
        [weight].into_iter().chain(bias).collect()
    }

    fn operands(&self) -> Option<[Operand; 2]> {
        Some([Operand::Input(0), Operand::Weight])
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        (output.elements() * inputs[0].channels) as u64
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        super::conv::convolve(call, super::Window::POINT, 1)
    }
}

crate::plugin!(crate::ops::Operator, "linear", "Fully connected layer with quantized weights and inputs", Linear);

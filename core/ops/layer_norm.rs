//! Layer normalisation (Ba et al., arXiv:1607.06450) over the channels of each pixel or token:
//! `weight (x - mean) / sqrt(variance + epsilon) + bias`, with the biased variance, as PyTorch's `LayerNorm` over the
//! last axis of
//! `tokens x dim`.

use super::{OpError, Operator, Parameter, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Layer normalisation over channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerNorm {
    /// Added to a variance before the square root.
    pub epsilon: f64,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5 }
    }
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match self.epsilon >= 0.0 && self.epsilon.is_finite() {
            true => one(inputs),
            false => Err(OpError::Attribute(format!("epsilon must be at least 0, got {}", self.epsilon))),
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let channels = inputs[0].channels;
        vec![Parameter::per_channel("weight", channels, 1.0), Parameter::per_channel("bias", channels, 0.0)]
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let [weight, bias] =
            ["weight", "bias"].map(|name| call.learned(name).expect("it asked for it").reshape([1, -1, 1, 1]));
        let input = call.input();
        let centred = input.clone() - input.mean_dim(1);
        let variance = (centred.clone() * centred.clone()).mean_dim(1);
        centred / (variance + self.epsilon).sqrt() * weight + bias
    }
}

crate::plugin!(crate::ops::Operator, "layer_norm", "Layer normalisation over channels", LayerNorm);

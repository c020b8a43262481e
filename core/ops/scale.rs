//! A learned scale and shift per channel, `weight x + bias`: layer scale (Touvron et al., ICCV 2021), or a batch-norm
//! with folded statistics.

use super::{OpError, Operator, Parameter, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scale and shift of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scale {
    /// Initial scale.
    pub init: f64,
    /// Whether there is a shift.
    pub bias: bool,
}

impl Default for Scale {
    fn default() -> Self {
        Self { init: 1.0, bias: true }
    }
}

impl Operator for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        one(inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let channels = inputs[0].channels;
        let bias = self.bias.then(|| Parameter::per_channel("bias", channels, 0.0));
        [Parameter::per_channel("weight", channels, self.init as f32)].into_iter().chain(bias).collect()
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

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let scale = call.learned("weight").expect("it asked for it").reshape([1, -1, 1, 1]);
        let scaled = call.input() * scale;
        match call.learned("bias") {
            None => scaled,
            Some(bias) => scaled + bias.reshape([1, -1, 1, 1]),
        }
    }
}

crate::plugin!(crate::ops::Operator, "scale", "A learned scale and shift for each channel", Scale);

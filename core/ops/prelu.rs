//! Parametric rectifier (He et al., ICCV 2015): `x` above 0, below it `x` times a learned slope, per layer or per
//! channel.

use super::{OpError, Operator, Parameter, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parametric rectifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prelu {
    /// Whether each channel has a slope of its own.
    pub per_channel: bool,
    /// Initial slope.
    pub init: f64,
}

impl Default for Prelu {
    fn default() -> Self {
        Self { per_channel: false, init: 0.25 }
    }
}

impl Operator for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        one(inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let slopes = if self.per_channel { inputs[0].channels } else { 1 };
        vec![Parameter::per_channel("weight", slopes, self.init as f32)]
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let slope = call.learned("weight").expect("it asked for it");
        burn::tensor::activation::prelu(call.input(), slope)
    }
}

crate::plugin!(crate::ops::Operator, "prelu", "Rectifier with a learned slope below 0", Prelu);

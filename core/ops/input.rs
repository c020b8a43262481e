//! The network's input image: the only operator without inputs of its own.

use super::{OpError, Operator};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The image, whose shape is the network's own. It is given, not computed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Input {}

impl Operator for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn output(&self, _: &[Shape]) -> Result<Shape, OpError> {
        Err(OpError::Attribute("the network's input is where a graph begins; it cannot be applied".to_owned()))
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, _: super::Call<'_>) -> burn::tensor::Tensor<4> {
        unreachable!("the input is given")
    }
}

crate::plugin!(crate::ops::Operator, "input", "The network's input image", Input);

//! Concatenation along channels, of inputs with equal height and width.

use super::{Join, OpError, Operator};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Concatenation along channels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Concat {}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn label(&self) -> &'static str {
        "concatenation"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let Some(&left) = inputs.first() else {
            return Err(OpError::Inputs { expected: "one input or more", found: 0 });
        };
        let other = |right: &&Shape| (right.height, right.width) != (left.height, left.width);
        if let Some(&right) = inputs.iter().find(other) {
            return Err(OpError::Differ { what: "heights or widths", left, right });
        }
        Ok(Shape { channels: inputs.iter().map(|input| input.channels).sum(), ..left })
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs.contains(&true)
    }

    fn joins(&self) -> Option<Join> {
        Some(Join::Concat)
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        burn::tensor::Tensor::cat(call.inputs, 1)
    }
}

crate::plugin!(crate::ops::Operator, "concat", "The channels of several inputs, one after another", Concat);

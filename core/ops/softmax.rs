//! Softmax, `exp(x_i) / sum_j exp(x_j)`, along one axis. In attention, with `heads x queries x keys`, that is the
//! width.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An axis of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Channels.
    Channels,
    /// Rows.
    Height,
    /// Columns.
    #[default]
    Width,
}

/// Softmax.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Softmax {
    /// The axis along which the outputs add up to 1: "channels", "height" or "width".
    pub axis: Axis,
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        one(inputs)
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        false
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        burn::tensor::activation::softmax(call.input(), 1 + self.axis as usize)
    }
}

crate::plugin!(crate::ops::Operator, "softmax", "Softmax along one axis", Softmax);

//! Some of the rows, one after another; of tokens, some of the tokens.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rows from `start` on, up to `end`, which is not among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RowSlice {
    /// The first row, counted from 0.
    pub start: usize,
    /// One past the last row.
    pub end: usize,
}

impl Default for RowSlice {
    fn default() -> Self {
        Self { start: 0, end: 1 }
    }
}

impl Operator for RowSlice {
    fn name(&self) -> &'static str {
        "row_slice"
    }

    fn label(&self) -> &'static str {
        "slice of rows"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let Self { start, end } = *self;
        if start >= end || end > input.height {
            let why = format!("rows {start}..{end} are not among the {} of its input", input.height);
            return Err(OpError::Attribute(why));
        }
        Ok(Shape { height: end - start, ..input })
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        call.input().narrow(2, self.start, self.end - self.start)
    }
}

crate::plugin!(crate::ops::Operator, "row_slice", "Some of the rows; of tokens, some of the tokens", RowSlice);

//! The opposite of `split_heads`: the matrices `heads x tokens x dim` of attention become tokens `(heads dim) x tokens x 1`.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A matrix for each head as tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MergeHeads {}

impl Operator for MergeHeads {
    fn name(&self) -> &'static str {
        "merge_heads"
    }

    fn label(&self) -> &'static str {
        "merge of heads"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        Ok(Shape { channels: input.channels * input.width, width: 1, ..input })
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn selects(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let input = call.input();
        let [batch, heads, tokens, dim] = input.dims();
        input.swap_dims(2, 3).reshape([batch, heads * dim, tokens, 1])
    }
}

crate::plugin!(crate::ops::Operator, "merge_heads", "A matrix for each head of attention as tokens", MergeHeads);

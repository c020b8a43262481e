//! The heads of attention (Vaswani et al., NeurIPS 2017): tokens `(heads dim) x tokens x 1` become a matrix for each head,
//! `heads x tokens x dim`. Head h has the channels from h dim on, as PyTorch's attention has them.

use super::{OpError, Operator, tokens};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens as a matrix for each head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitHeads {
    /// Number of heads; it divides the channels.
    pub heads: usize,
}

impl Default for SplitHeads {
    fn default() -> Self {
        Self { heads: 1 }
    }
}

impl Operator for SplitHeads {
    fn name(&self) -> &'static str {
        "split_heads"
    }

    fn label(&self) -> &'static str {
        "split into heads"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let Shape { channels, height, .. } = tokens(inputs)?;
        if self.heads == 0 || !channels.is_multiple_of(self.heads) {
            return Err(OpError::Groups { groups: self.heads, channels });
        }
        Ok(Shape { channels: self.heads, height, width: channels / self.heads })
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
        let [batch, channels, tokens, _] = input.dims();
        input.reshape([batch, self.heads, channels / self.heads, tokens]).swap_dims(2, 3)
    }
}

crate::plugin!(crate::ops::Operator, "split_heads", "Tokens as a matrix for each head of attention", SplitHeads);

//! An image as tokens, `channels x height x width` as `channels x (height width) x 1`, row by row, as PyTorch's `flatten(2)`: what
//! follows the patches of a vision transformer (Dosovitskiy et al., ICLR 2021).

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An image as tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {}

impl Operator for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        Ok(Shape { height: input.height * input.width, width: 1, ..input })
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
        let [batch, channels, height, width] = input.dims();
        input.reshape([batch, channels, height * width, 1])
    }
}

crate::plugin!(crate::ops::Operator, "tokens", "The pixels of an image as tokens, row by row", Tokens);

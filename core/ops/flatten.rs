//! All values of a sample as the channels of a single pixel; channels vary slowest and columns fastest, as in PyTorch's
//! `flatten(1)`.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All values of a sample as channels of a single pixel.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flatten {}

impl Operator for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(Shape { channels: one(inputs)?.elements(), height: 1, width: 1 })
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
        input.reshape([batch, channels * height * width, 1, 1])
    }
}

crate::plugin!(crate::ops::Operator, "flatten", "All values of a sample as channels of a single pixel", Flatten);

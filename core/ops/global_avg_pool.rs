//! Mean over all pixels of a channel.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean over all pixels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GlobalAvgPool {}

impl Operator for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn label(&self) -> &'static str {
        "average pool"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(Shape { height: 1, width: 1, ..one(inputs)? })
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        burn::tensor::module::adaptive_avg_pool2d(call.input(), [1, 1])
    }
}

crate::plugin!(crate::ops::Operator, "global_avg_pool", "Mean over all pixels of a channel", GlobalAvgPool);

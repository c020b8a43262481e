//! Element-wise sum of two inputs of one shape.

use super::{Join, OpError, Operator, same};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Element-wise sum.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Add {}

impl Operator for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn label(&self) -> &'static str {
        "sum"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        same(inputs)
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs.contains(&true)
    }

    fn joins(&self) -> Option<Join> {
        Some(Join::Sum)
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let [left, right] = call.two();
        left + right
    }
}

crate::plugin!(crate::ops::Operator, "add", "Element-wise sum of two inputs of one shape", Add);

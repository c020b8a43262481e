//! Rectified linear unit: `max(x, 0)`, whose gradient at 0 is 0.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rectified linear unit.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Relu {}

impl Elementwise for Relu {
    const NAME: &'static str = "relu";

    fn can_be_negative(&self, _: bool) -> bool {
        false
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        crate::train::kernels::relu(x)
    }
}

crate::plugin!(crate::ops::Operator, "relu", "Rectified linear unit, max(x, 0)", Relu);

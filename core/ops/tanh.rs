//! Hyperbolic tangent.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperbolic tangent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tanh {}

impl Elementwise for Tanh {
    const NAME: &'static str = "tanh";

    fn can_be_negative(&self, input: bool) -> bool {
        input
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        x.tanh()
    }
}

crate::plugin!(crate::ops::Operator, "tanh", "Hyperbolic tangent", Tanh);

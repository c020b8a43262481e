//! Clipping between two bounds, `min(max(x, min), max)`; with 0 and 6 it is ReLU6 (Krizhevsky, 2010), which MobileNets have.

use super::{Elementwise, OpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clipping between two bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clip {
    /// The lower bound.
    pub min: f64,
    /// The upper bound.
    pub max: f64,
}

impl Default for Clip {
    fn default() -> Self {
        Self { min: 0.0, max: 6.0 }
    }
}

impl Elementwise for Clip {
    const NAME: &'static str = "clip";

    fn can_be_negative(&self, input: bool) -> bool {
        input && self.min < 0.0
    }

    fn check(&self) -> Result<(), OpError> {
        // False for NaN, too.
        match self.min < self.max {
            true => Ok(()),
            false => Err(OpError::Attribute(format!("min must be below max, got {} and {}", self.min, self.max))),
        }
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        x.clamp(self.min, self.max)
    }
}

crate::plugin!(
    crate::ops::Operator,
    "clip",
    "Clipping between two bounds; relu6 by default",
    Clip,
    ("relu6", "max", "6.0")
);

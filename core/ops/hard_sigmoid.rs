//! Piecewise linear approximation of the logistic function: `min(max(slope x + offset, 0), 1)`, with 1/6 and 1/2 as in PyTorch.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hard sigmoid.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HardSigmoid {
    /// Slope between the bounds.
    pub slope: f64,
    /// Value at 0.
    pub offset: f64,
}

impl Default for HardSigmoid {
    fn default() -> Self {
        Self { slope: 1.0 / 6.0, offset: 0.5 }
    }
}

impl Elementwise for HardSigmoid {
    const NAME: &'static str = "hard_sigmoid";

    fn can_be_negative(&self, _: bool) -> bool {
        false
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        (x * self.slope + self.offset).clamp(0.0, 1.0)
    }
}

crate::plugin!(
    crate::ops::Operator,
    "hard_sigmoid",
    "Piecewise linear approximation of the logistic function",
    HardSigmoid
);

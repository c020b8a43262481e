//! Leaky rectifier (Maas et al., 2013): `x` above 0, `slope x` below.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Leaky rectifier.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeakyRelu {
    /// Slope below 0.
    pub slope: f64,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        Self { slope: 0.01 }
    }
}

impl Elementwise for LeakyRelu {
    const NAME: &'static str = "leaky_relu";

    fn can_be_negative(&self, input: bool) -> bool {
        input && self.slope > 0.0
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        burn::tensor::activation::leaky_relu(x, self.slope)
    }
}

crate::plugin!(crate::ops::Operator, "leaky_relu", "Leaky rectifier: x above 0, slope times x below", LeakyRelu);

//! Logistic function, `1 / (1 + exp(-x))`.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logistic function.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sigmoid {}

impl Elementwise for Sigmoid {
    const NAME: &'static str = "sigmoid";

    fn can_be_negative(&self, _: bool) -> bool {
        false
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        burn::tensor::activation::sigmoid(x)
    }
}

crate::plugin!(crate::ops::Operator, "sigmoid", "Logistic function, 1 / (1 + exp(-x))", Sigmoid);

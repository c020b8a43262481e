//! SiLU, also called swish (Ramachandran et al., arXiv:1710.05941): `x sigmoid(x)`. It is negative for negative inputs.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SiLU (swish).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Silu {}

impl Elementwise for Silu {
    const NAME: &'static str = "silu";

    fn can_be_negative(&self, input: bool) -> bool {
        input
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        burn::tensor::activation::silu(x)
    }
}

crate::plugin!(crate::ops::Operator, "silu", "SiLU, also called swish: x sigmoid(x)", Silu);

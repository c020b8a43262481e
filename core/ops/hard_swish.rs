//! Hard swish (Howard et al., MobileNetV3, ICCV 2019): `x min(max(x + 3, 0), 6) / 6`, a piecewise approximation of SiLU. It is negative
//! between -3 and 0.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hard swish.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HardSwish {}

impl Elementwise for HardSwish {
    const NAME: &'static str = "hard_swish";

    fn can_be_negative(&self, input: bool) -> bool {
        input
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        burn::tensor::activation::hard_swish(x)
    }
}

crate::plugin!(crate::ops::Operator, "hard_swish", "Piecewise approximation of SiLU, as in MobileNetV3", HardSwish);

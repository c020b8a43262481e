//! GELU (Hendrycks and Gimpel, arXiv:1606.08415): `x Phi(x)`, where Phi is the distribution function of the standard
//! normal, or its
//! approximation by a hyperbolic tangent.

use super::Elementwise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// GELU.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gelu {
    /// Whether Phi is approximated by a hyperbolic tangent.
    pub approximate: bool,
}

impl Elementwise for Gelu {
    const NAME: &'static str = "gelu";

    fn can_be_negative(&self, input: bool) -> bool {
        input
    }

    #[cfg(feature = "train")]
    fn apply(&self, x: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4> {
        match self.approximate {
            // On some devices burn's own function has the gradient of the approximation.
            false => x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
            true => burn::tensor::activation::gelu_approximate(x),
        }
    }
}

crate::plugin!(crate::ops::Operator, "gelu", "GELU: x times the distribution function of the standard normal", Gelu);

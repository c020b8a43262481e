//! How an optimizer step uses the gradients of its passes, if there are several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the gradients of a step's passes are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gradients {
    /// Their sum, as in LIMPQ's code.
    #[default]
    Sum,
    /// Their mean, so that the step does not grow with the number of passes.
    Mean,
}

impl Gradients {
    /// The factor of each of `passes` gradients.
    pub fn share(self, passes: usize) -> f64 {
        match self {
            Self::Sum => 1.0,
            Self::Mean => 1.0 / passes.max(1) as f64,
        }
    }
}

/// How an optimizer step uses the gradients of its passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// How they are combined.
    pub gradients: Gradients,
    /// Whether only quantization parameters are trained. Running statistics of batch-norms are still updated.
    pub frozen_weights: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_weighs_each_pass_by_its_share() {
        assert_eq!((Gradients::Sum.share(4), Gradients::Mean.share(4)), (1.0, 0.25));
    }
}

//! What an optimizer step does with the gradients of its passes, where it has several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the gradients of a step's passes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gradients {
    /// They are added up, as in LIMPQ's code.
    #[default]
    Sum,
    /// Their mean, so that the step does not grow with the number of passes.
    Mean,
}

impl Gradients {
    /// The factor of one of so many passes.
    pub fn share(self, passes: usize) -> f64 {
        match self {
            Self::Sum => 1.0,
            Self::Mean => 1.0 / passes.max(1) as f64,
        }
    }
}

/// What an optimizer step does with the gradients of its passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// How they become one.
    pub gradients: Gradients,
    /// Whether quantization parameters alone are trained. Batch-norms still follow the batches' statistics.
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

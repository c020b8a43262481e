//! LIMPQ (Tang et al., ECCV 2022): the step sizes that a joint training of all bit-widths learns are the indicators of
//! every layer at every bit-width.
//!
//! Each step runs one pass per candidate with all layers at that bit-width, and one with a random bit-width per layer;
//! the gradients are combined, and the optimizer makes one step. The recipe is the run's `[indicators]` section. The
//! defaults are those of LIMPQ's code.

mod joint;
mod training;

pub use joint::{ActivationInit, Joint, RandomPass};
pub(super) use training::learned;

use limpq_core::train::{Measurement, Sensitivity, SensitivityContext, TrainError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of the joint training.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LearnedStep(Joint);

limpq_core::plugin!(
    Sensitivity,
    "learned_step",
    "step sizes learned by joint training (LIMPQ, ECCV 2022)",
    LearnedStep
);

impl Sensitivity for LearnedStep {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        learned(context, &self.0)
    }

    fn asks_for_indicators(&self) -> bool {
        true
    }
}

//! LIMPQ (Tang et al., ECCV 2022): the step sizes that one joint training of all bit-widths learns are the indicators of
//! every layer at every bit-width.

use limpq_core::train::{ByLayer, Lab, Sensitivity, TrainError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No options: the training is the run's `[indicators]` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LearnedStep {}

limpq_core::plugin!(
    Sensitivity,
    "learned_step",
    "step sizes learned by joint training (LIMPQ, ECCV 2022)",
    LearnedStep
);

impl Sensitivity for LearnedStep {
    fn measure(&self, lab: &Lab) -> Result<ByLayer, TrainError> {
        lab.indicators(&lab.jointly_trained()?)
    }

    fn asks_for_indicators(&self) -> bool {
        true
    }
}

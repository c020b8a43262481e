//! Control: initial step sizes, from the pre-trained weights and one batch of activations in full precision, without
//! any training. The difference to `learned_step` is the effect of learning if that is initialised in the same way,
//! with `activation_init = "full_precision"`; by default it initialises activations in quantized passes.

use limpq_core::train::{Measurement, Sensitivity, SensitivityContext, TrainError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaticStep {}

limpq_core::plugin!(Sensitivity, "static_step", "control: step sizes before any training", StaticStep);

impl Sensitivity for StaticStep {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        Ok(context.indicators(&context.untrained()?)?.into())
    }

    fn asks_for_indicators(&self) -> bool {
        true
    }
}

//! Control: step sizes as they start, from the pre-trained weights and one batch of activations in full precision, without any
//! training. What learning adds is the difference to this, where `learned_step` starts from the same, with `activation_init =
//! "full_precision"`. By default its activations start in quantized passes.

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

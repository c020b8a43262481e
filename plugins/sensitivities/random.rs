//! Control: random values from the run's seed, which fall as bit-widths rise, as in every sensible indicator. The
//! ranking of layers is pure chance.

use limpq_core::{
    search::LayerIndicators,
    train::{ByLayer, Measurement, Sensitivity, SensitivityContext, TrainError},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Random {}

limpq_core::plugin!(Sensitivity, "random", "control: seeded random values", Random);

impl Sensitivity for Random {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let mut random = context.train.random("random sensitivity");
        let mut draw = || {
            let factor: f64 = random.random_range(0.05..1.0);
            // Halved by every further bit, as a rounding error is.
            context
                .candidates
                .iter()
                .map(|bits| (bits, factor * 0.5f64.powi(bits.get() as i32)))
                .collect::<BTreeMap<_, _>>()
        };
        let layers = context.graph.searchable().into_iter();
        let drawn = layers.map(|layer| (layer.name, LayerIndicators { weight: draw(), act: draw() }));
        Ok(drawn.collect::<ByLayer>().into())
    }
}

//! Control (LIMPQ's own ablation): the learned indicators with the ranking of layers reversed, so that the most
//! sensitive layer is treated as the least sensitive one. If a search profits from indicators, it must lose by this.

use super::learned_step::{Joint, learned};
use limpq_core::{
    search::BitWidth,
    train::{Measurement, Sensitivity, SensitivityContext, TrainError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of the joint training, as those of `learned_step`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reversed(Joint);

limpq_core::plugin!(
    Sensitivity,
    "reversed",
    "control: learned step sizes, with the ranking of layers reversed",
    Reversed
);

impl Sensitivity for Reversed {
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError> {
        let learned = learned(context, &self.0)?;
        let mut by_layer = learned.indicators;
        let (weights, acts) = (by_layer.iter(), by_layer.iter());
        let weights = mirrored(weights.map(|(name, layer)| (name.clone(), layer.weight.clone())).collect());
        let acts = mirrored(acts.map(|(name, layer)| (name.clone(), layer.act.clone())).collect());
        for (name, layer) in &mut by_layer {
            layer.weight = weights[name].clone();
            layer.act = acts[name].clone();
        }
        Ok(Measurement { indicators: by_layer, spread: None, ..learned })
    }

    fn asks_for_indicators(&self) -> bool {
        true
    }
}

/// Gives the layer of rank r the values of the layer of rank r from the other end, ranked by the sum over bit-widths.
fn mirrored(mut layers: Vec<(String, BTreeMap<BitWidth, f64>)>) -> BTreeMap<String, BTreeMap<BitWidth, f64>> {
    let total = |values: &BTreeMap<BitWidth, f64>| values.values().sum::<f64>();
    layers.sort_by(|a, b| total(&a.1).total_cmp(&total(&b.1)).then_with(|| a.0.cmp(&b.0)));
    let names = layers.iter().map(|(name, _)| name.clone());
    names.zip(layers.iter().rev().map(|(_, values)| values.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_mirrored() {
        let bits = BitWidth::new(4).unwrap();
        let layers = [("a", 3.0), ("b", 1.0), ("c", 2.0)];
        let layers = layers.map(|(name, value)| (name.to_owned(), BTreeMap::from([(bits, value)])));
        let mirrored = mirrored(layers.to_vec());
        let values: Vec<f64> = mirrored.values().map(|values| values[&bits]).collect();
        assert_eq!(values, [1.0, 3.0, 2.0]);
    }
}

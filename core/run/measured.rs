//! Indicators with everything that a later search must know about them.

use super::{Config, RunError};
use crate::{
    search::{Indicators, NetworkRecord, Provenance},
    train::{Lab, Role, Sensitivity, all_finite},
};

/// Measures the sensitivity and writes down what the indicators belong to. A tensor that is all zero is the same at any bits: its
/// indicators are 0, whatever was measured, and its layer is named.
pub(super) fn measured(config: &Config, lab: &Lab, metric: &dyn Sensitivity) -> Result<Indicators, RunError> {
    let mut layers = metric.measure(lab)?;
    let zeros = lab.zeros()?;
    for (layer, role) in &zeros {
        if let Some(of) = layers.get_mut(layer) {
            let values = if *role == Role::Weight { &mut of.weight } else { &mut of.act };
            values.values_mut().for_each(|value| *value = 0.0);
        }
    }
    all_finite(&layers)?;
    let named =
        |wanted: Role| zeros.iter().filter(|(_, role)| *role == wanted).map(|(layer, _)| layer.clone()).collect();
    let provenance = Provenance {
        sensitivity: config.sensitivity.name.clone(),
        sensitivity_options: Some(config.sensitivity.options.clone()),
        step_sizes: metric.asks_for_indicators(),
        alpha: Some(metric.alpha()),
        quantizer: Some(config.quantizer.name.clone()),
        quantizer_options: Some(config.quantizer.options.clone()),
        dataset: Some(config.dataset.name.clone()),
        seed: Some(config.seed),
        network: Some(NetworkRecord::of(&lab.graph)),
        zero_weights: named(Role::Weight),
        zero_inputs: named(Role::Act),
        initial: lab.initial.get().cloned(),
    };
    let mut indicators = Indicators::new(Some(lab.graph.model.clone()), config.bits.clone(), provenance, layers);
    indicators.spread = lab.spread.get().cloned();
    Ok(indicators)
}

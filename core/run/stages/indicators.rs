//! Importance indicators: the sensitivity of every searchable layer at every bit-width, with everything that a later
//! search needs to know about them.

use super::{
    super::{
        Config, RunError,
        pipeline::Run,
        record::{inputs, json},
    },
    Stage, damaged, names,
};
use crate::{
    search::{Indicators, NetworkRecord, Provenance, Rules},
    store::{Files, Leaves, artifact::Damaged},
    train::{Measurement, Role, Sensitivity, SensitivityContext, State, TrainContext, all_finite},
};

/// The stage.
pub(super) struct MeasureIndicators;

/// Its result.
const NAME: &str = "indicators.json";
/// The jointly trained network behind the indicators, if there is one.
pub(super) const JOINT: &str = "joint.safetensors";
const NETWORK: &str = "pretrained.safetensors";

impl Stage for MeasureIndicators {
    fn name(&self) -> &'static str {
        "indicators"
    }

    fn does(&self) -> &'static str {
        "measures how sensitive each layer is at each bit-width"
    }

    fn leaves(&self) -> Leaves {
        let settings = vec!["bits", "quantizer", "sensitivity", "indicators"];
        Leaves { always: names([NAME]), sometimes: names([JOINT]), reads: names([NETWORK]), settings }
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        let Config { bits, quantizer, sensitivity, indicators: recipe, .. } = run.config;
        Ok(Some(inputs(&[&run.setup.basis, &run.content_of(NETWORK), bits, quantizer, sensitivity, recipe])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        let indicators = Indicators::from_bytes(files[0].as_deref().unwrap_or_default());
        let indicators = indicators.map_err(|error| damaged(NAME, error))?;
        fits(run, &indicators).map_err(|error| damaged(NAME, error))
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let Config { bits, sensitivity, indicators: recipe, .. } = run.config;
        let metric = sensitivity.build::<dyn Sensitivity>()?;
        let checkpoints = run.checkpoints(key);
        let data = run.train.data.part(recipe.fraction, run.config.seed, "indicators")?;
        let pretrained = run.network(NETWORK)?;
        let context = SensitivityContext {
            graph: run.setup.graph.clone(),
            pretrained: &pretrained,
            candidates: bits,
            quantizer: run.setup.quantizer.clone(),
            recipe,
            train: TrainContext { data: &data, checkpoints: &checkpoints, ..run.train },
        };
        let (indicators, trained) = measured(run.config, &context, metric.as_ref())?;
        fits(run, &indicators)?;
        if let Some(trained) = trained {
            run.folder.keep(JOINT, key, &trained.to_bytes())?;
        }
        run.folder.keep(NAME, key, &json(&indicators))?;
        checkpoints.clear(self.name())?;
        Ok(checkpoints.clear_all()?)
    }
}

fn fits(run: &Run, indicators: &Indicators) -> Result<(), crate::search::IndicatorsError> {
    let (graph, bits) = (&run.setup.graph, &run.config.bits);
    let plain = Rules::default().allowed(graph, bits).expect("no rule, no fault");
    indicators.check(graph, &plain)
}

/// Measures the sensitivity and records what the indicators belong to. A tensor of zeros is the same at any bit-width:
/// its indicators are set to 0, and a remark names its layer. Also returns the network that the sensitivity trained, if
/// any.
fn measured(
    config: &Config,
    context: &SensitivityContext,
    metric: &dyn Sensitivity,
) -> Result<(Indicators, Option<State>), RunError> {
    let Measurement { indicators: mut layers, trained, initial, spread } = metric.measure(context)?;
    let zeros = context.zeros()?;
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
        network: Some(NetworkRecord::of(&context.graph)),
        zero_weights: named(Role::Weight),
        zero_inputs: named(Role::Act),
        initial,
    };
    let mut indicators = Indicators::new(Some(context.graph.model.clone()), config.bits.clone(), provenance, layers);
    indicators.spread = spread;
    Ok((indicators, trained))
}

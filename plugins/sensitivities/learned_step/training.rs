//! The joint training itself, once for each seed.

use super::joint::{ActivationInit, Joint};
use limpq_core::{
    search::{BitWidth, LayerIndicators, Precision, uniform_precisions},
    store::hash,
    train::{Bits, ByLayer, Job, Measurement, Network, SensitivityContext, TrainContext, TrainError},
};
use std::collections::BTreeMap;

/// The config's section of the joint training.
const STAGE: &str = "indicators";

/// The indicators that joint training learns: the mean over its seeds, and their standard deviation if there are several. The
/// network is that of the first seed, and so is where its indicators started.
///
/// # Errors
/// Training that diverges; a quantizer that has no indicator.
pub fn learned(context: &SensitivityContext, joint: &Joint) -> Result<Measurement, TrainError> {
    let (network, initial) = jointly_trained(context, "indicators", joint)?;
    let mut all = vec![context.indicators(&network)?];
    let trained = Some(network.state());
    for repeat in 1..joint.seeds.get() {
        let train = TrainContext { seed: repeated(context.train.seed, repeat), ..context.train };
        let (graph, quantizer) = (context.graph.clone(), context.quantizer.clone());
        let context = SensitivityContext { graph, quantizer, train, ..*context };
        let (network, _) = jointly_trained(&context, &format!("repeat {repeat} of indicators"), joint)?;
        all.push(context.indicators(&network)?);
    }
    let (indicators, spread) = match all.len() {
        1 => (all.remove(0), None),
        _ => (over(&all, mean), Some(over(&all, deviation))),
    };
    Ok(Measurement { indicators, trained, initial, spread })
}

/// LIMPQ's joint training: the network after it, and the indicators before it if there are any. Checkpoints go by `label`.
fn jointly_trained(
    context: &SensitivityContext,
    label: &str,
    joint: &Joint,
) -> Result<(Network, Option<ByLayer>), TrainError> {
    let fixed: Vec<bool> = context.graph.layers().iter().map(|layer| layer.fixed).collect();
    let precisions: Vec<Precision> = uniform_precisions(context.candidates.iter()).collect();
    let network = started(context, joint, &Joint::uniform_passes(&precisions, &fixed))?;
    let initial = context.indicators(&network).ok();
    let mut passes = |step: usize| {
        let mut random = context.train.random(&format!("indicators step {step}"));
        joint.passes(&precisions, &fixed, &mut random)
    };
    let (recipe, teacher, update) = (context.recipe, context.pretrained, joint.update());
    let job = Job { stage: STAGE, label, recipe, teacher, update };
    Ok((context.train.fit(&job, network, &mut passes)?.network, initial))
}

/// The network that joint training starts from. Its activation parameters start on the first device, whatever the number of
/// devices.
fn started(context: &SensitivityContext, joint: &Joint, uniform: &[Bits]) -> Result<Network, TrainError> {
    let network = context.uncalibrated(context.candidates.iter())?;
    let (count, batch_size) = (joint.activation_init_batches.get(), context.recipe.batch_size);
    let started = match joint.activation_init {
        ActivationInit::FullPrecision => {
            let batches = context.batches("calibrate", count, batch_size)?.into_iter();
            network.calibrate_on(&batches.map(|(images, _)| images).collect::<Vec<_>>())
        }
        ActivationInit::Quantized => {
            let batches = context.train.training_batches(STAGE, count, batch_size)?;
            network.computing(context.recipe.arithmetic).init_quantized(&batches, uniform)
        }
    };
    context.with_gradients(&started)
}

/// The seed of a repeat. Not the run's seed plus the repeat, which would be another run's seed.
fn repeated(seed: u64, repeat: usize) -> u64 {
    let digest = hash::of_bytes(format!("repeat {repeat} of {seed}").as_bytes());
    u64::from_str_radix(&digest[..16], 16).expect("a digest is hexadecimal digits")
}

/// One number out of those that several sets have in the same place.
fn over(sets: &[ByLayer], one: fn(&[f64]) -> f64) -> ByLayer {
    let of = |name: &str, tensor: fn(&LayerIndicators) -> &BTreeMap<BitWidth, f64>| {
        let at = |bits: &BitWidth| sets.iter().map(|set| tensor(&set[name])[bits]).collect::<Vec<_>>();
        tensor(&sets[0][name]).keys().map(|bits| (*bits, one(&at(bits)))).collect()
    };
    let layer = |name: &String| LayerIndicators { weight: of(name, |l| &l.weight), act: of(name, |l| &l.act) };
    sets[0].keys().map(|name| (name.clone(), layer(name))).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample: divided by one less than the number.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_spreads_go_by_layer_tensor_and_bits() {
        let bits = BitWidth::new(4).unwrap();
        let set = |weight: f64, act: f64| {
            let of = |value| BTreeMap::from([(bits, value)]);
            ByLayer::from([("conv".to_owned(), LayerIndicators { weight: of(weight), act: of(act) })])
        };
        let sets = [set(1.0, 5.0), set(3.0, 5.0), set(5.0, 5.0)];
        assert_eq!(over(&sets, mean), set(3.0, 5.0));
        // ((1-3)^2 + 0 + (5-3)^2) / 2 = 4.
        assert_eq!(over(&sets, deviation), set(2.0, 0.0));
    }

    #[test]
    fn repeats_have_seeds_of_their_own() {
        assert_ne!(repeated(0, 1), repeated(0, 2));
        assert_ne!(repeated(0, 2), repeated(1, 1));
    }
}

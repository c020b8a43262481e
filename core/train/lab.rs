//! What sensitivities work with: the pre-trained network with its quantizers, training images, the joint training.

use super::{
    fit::{Bench, Job, TrainError},
    joint::{ActivationInit, Joint},
    loader::Pick,
    network::{Bits, Network, Plan},
    quantizer::{Quantizer, Role},
    recipe::Recipe,
    state::State,
};
use crate::{
    graph::Graph,
    store::hash,
    search::{BitWidth, Candidates, LayerIndicators, Precision, uniform_precisions},
};
use burn::tensor::Tensor;
use rand::seq::SliceRandom;
use std::{cell::OnceCell, collections::BTreeMap, sync::Arc};

/// The config's section of the joint training.
const STAGE: &str = "indicators";

/// Indicators by layer name.
pub type ByLayer = BTreeMap<String, LayerIndicators>;

/// What a sensitivity can work with: the pre-trained network, data, and the joint training of all bit-widths.
pub struct Lab<'a> {
    /// The network's description.
    pub graph: Arc<Graph>,
    /// The pre-trained numbers.
    pub pretrained: &'a State,
    /// The bit-widths to measure.
    pub candidates: &'a Candidates,
    /// How tensors are quantized.
    pub quantizer: Arc<dyn Quantizer>,
    /// How indicators are trained.
    pub recipe: &'a Recipe,
    /// Data, device, seed, progress.
    pub bench: Bench<'a>,
    /// The numbers of the jointly trained network, once there is one.
    pub joint: OnceCell<State>,
    /// Where learned indicators started (those of the first seed), once they have been learned.
    pub initial: OnceCell<ByLayer>,
    /// Standard deviation of each indicator, where it is a mean over seeds.
    pub spread: OnceCell<ByLayer>,
}

impl<'a> Lab<'a> {
    /// The pre-trained network with quantization parameters for these bit-widths at each searchable tensor, as they start
    /// before any training: from the weights and one batch. For measuring; without gradients.
    ///
    /// # Errors
    /// When the pre-trained numbers do not fit or a sample cannot be read.
    pub fn calibrated(&self, bits: impl IntoIterator<Item = BitWidth>) -> Result<Network, TrainError> {
        Ok(self.uncalibrated(bits)?.calibrate(self.bench.first_batch(self.recipe.batch_size)?))
    }

    /// The same, with the parameters of weights alone.
    fn uncalibrated(&self, bits: impl IntoIterator<Item = BitWidth>) -> Result<Network, TrainError> {
        let precisions: Vec<Precision> = uniform_precisions(bits).collect();
        let slots = self.graph.layers().into_iter().map(|layer| if layer.fixed { vec![] } else { precisions.clone() });
        let plan = Plan::new(self.graph.clone(), slots.collect(), self.quantizer.clone());
        Ok(Network::new(&plan, self.pretrained, self.bench.device)?)
    }

    /// The same at the candidates, and on a device that keeps gradients.
    ///
    /// # Errors
    /// As [`Self::calibrated`].
    pub fn untrained(&self) -> Result<Network, TrainError> {
        self.learning(&self.calibrated(self.candidates.iter())?)
    }

    /// The same network on a device that keeps gradients.
    fn learning(&self, network: &Network) -> Result<Network, TrainError> {
        Ok(Network::new(network.plan(), &network.state(), &self.bench.device.clone().autodiff())?)
    }

    /// The network that joint training starts from. Its activation parameters start on the first device, whatever the number of
    /// devices.
    fn started(&self, joint: &Joint, uniform: &[Bits]) -> Result<Network, TrainError> {
        let network = self.uncalibrated(self.candidates.iter())?;
        let (count, batch_size) = (joint.activation_init_batches.get(), self.recipe.batch_size);
        let started = match joint.activation_init {
            ActivationInit::FullPrecision => {
                let batches = self.batches("calibrate", count, batch_size)?.into_iter();
                network.calibrate_on(&batches.map(|(images, _)| images).collect::<Vec<_>>())
            }
            ActivationInit::Quantized => {
                let batches = self.bench.training_batches(STAGE, count, batch_size)?;
                network.computing(self.recipe.arithmetic).start_quantized(&batches, uniform)
            }
        };
        self.learning(&started)
    }

    /// Training images and their classes in batches, without gradients: the same for the same seed and `purpose`, no image
    /// twice, as many batches as there are images for. The last one may be smaller if it is the only one, and all may be where
    /// images are left out.
    ///
    /// # Errors
    /// When a sample cannot be read, or all are left out.
    pub fn batches(
        &self,
        purpose: &str,
        batches: usize,
        batch_size: usize,
    ) -> Result<Vec<(Tensor<4>, Vec<usize>)>, TrainError> {
        let train = &self.bench.data.train;
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut self.bench.random(purpose));
        let whole = (order.len() / batch_size).clamp(1, batches.max(1));
        order.truncate(whole * batch_size);
        let loader = self.bench.loader(train, Pick::plain(&order), batch_size);
        loader.filled().map(|batch| Ok(batch?.on(self.bench.data.shape, self.bench.device))).collect()
    }

    /// Asks for a number for each searchable layer (its place in [`Graph::layers`]), each of its tensors and each candidate.
    /// `label` is shown to people.
    ///
    /// # Errors
    /// Those of `number`; [`TrainError::InterruptedMeasuring`]; [`TrainError::NotMeasurable`].
    pub fn each(
        &self,
        label: &str,
        number: &mut dyn FnMut(usize, Role, BitWidth) -> Result<f64, TrainError>,
    ) -> Result<ByLayer, TrainError> {
        let layers = self.graph.layers();
        let searched = layers.iter().filter(|layer| !layer.fixed).count();
        self.bench.progress.start(label, searched * Role::BOTH.len() * self.candidates.len(), 0);
        let by_layer = self.by_layer(&mut |place, role, bits| {
            self.bench.stop_if_asked(&format!("measuring {label}"))?;
            let value = number(place, role, bits)?;
            self.bench.progress.note(&format!("{} {} {bits}: {value:.3e}", layers[place].name, role.name()));
            Ok(value)
        });
        self.bench.progress.finish();
        by_layer
    }

    /// The same for numbers that are there already.
    ///
    /// # Errors
    /// Those of `number`; [`TrainError::NotMeasurable`].
    pub fn by_layer(
        &self,
        number: &mut dyn FnMut(usize, Role, BitWidth) -> Result<f64, TrainError>,
    ) -> Result<ByLayer, TrainError> {
        let mut by_layer = ByLayer::new();
        for (place, layer) in self.graph.layers().iter().enumerate().filter(|(_, layer)| !layer.fixed) {
            let mut of = |role: Role| {
                let one = |bits: BitWidth| Ok((bits, finite(&layer.name, role, bits, number(place, role, bits)?)?));
                self.candidates.iter().map(one).collect::<Result<BTreeMap<_, _>, TrainError>>()
            };
            let indicators = LayerIndicators { weight: of(Role::Weight)?, act: of(Role::Act)? };
            by_layer.insert(layer.name.clone(), indicators);
        }
        Ok(by_layer)
    }

    /// LIMPQ's joint training; the network after it. Checkpoints go by `label`.
    fn jointly_trained(&self, label: &str, joint: &Joint) -> Result<Network, TrainError> {
        let fixed: Vec<bool> = self.graph.layers().iter().map(|layer| layer.fixed).collect();
        let precisions: Vec<Precision> = uniform_precisions(self.candidates.iter()).collect();
        let network = self.started(joint, &Joint::uniform_passes(&precisions, &fixed))?;
        let _ = self.indicators(&network).map(|initial| self.initial.set(initial));
        let mut passes = |step: usize| {
            let mut random = self.bench.random(&format!("indicators step {step}"));
            joint.passes(&precisions, &fixed, &mut random)
        };
        let (recipe, teacher, update) = (self.recipe, self.pretrained, joint.update());
        let job = Job { stage: STAGE, label, recipe, teacher, update };
        let network = self.bench.fit(&job, network, &mut passes)?.network;
        let _ = self.joint.set(network.state());
        Ok(network)
    }

    /// The indicators that joint training learns: the mean over its seeds, and their standard deviation if there are several.
    /// The network that stays is that of the first.
    ///
    /// # Errors
    /// Training that diverges; a quantizer that has no indicator.
    pub fn learned(&self, joint: &Joint) -> Result<(ByLayer, Option<ByLayer>), TrainError> {
        let first = self.indicators(&self.jointly_trained("indicators", joint)?)?;
        let mut all = vec![first];
        for repeat in 1..joint.seeds.get() {
            let bench = Bench { seed: repeated(self.bench.seed, repeat), ..self.bench };
            let lab = Lab {
                graph: self.graph.clone(),
                quantizer: self.quantizer.clone(),
                bench,
                joint: OnceCell::new(),
                initial: OnceCell::new(),
                spread: OnceCell::new(),
                ..*self
            };
            all.push(lab.indicators(&lab.jointly_trained(&format!("repeat {repeat} of indicators"), joint)?)?);
        }
        match all.len() {
            1 => Ok((all.remove(0), None)),
            _ => Ok((over(&all, mean), Some(over(&all, deviation)))),
        }
    }

    /// The indicators that a network's step sizes stand for.
    ///
    /// # Errors
    /// When the quantizer has none; [`TrainError::NotMeasurable`].
    pub fn indicators(&self, network: &Network) -> Result<ByLayer, TrainError> {
        let mut by_layer = ByLayer::new();
        for (index, layer) in network.plan().layers.iter().enumerate().filter(|(_, layer)| !layer.fixed) {
            let of = |role: Role| {
                uniform_precisions(self.candidates.iter())
                    .map(|bits| {
                        let value = network.indicator(index, role, bits)?;
                        Ok((bits.weight, finite(&layer.name, role, bits.weight, value)?))
                    })
                    .collect::<Result<BTreeMap<_, _>, TrainError>>()
            };
            let indicators = LayerIndicators { weight: of(Role::Weight)?, act: of(Role::Act)? };
            by_layer.insert(layer.name.clone(), indicators);
        }
        Ok(by_layer)
    }
}

/// A measured number, if it is one. NaN compares with nothing, so that whoever takes it for a number may take it for harmless.
fn finite(layer: &str, role: Role, bits: BitWidth, value: f64) -> Result<f64, TrainError> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(TrainError::NotMeasurable { layer: layer.to_owned(), role, bits, value }),
    }
}

/// Whether a sensitivity measured finite numbers only, however it collected them.
///
/// # Errors
/// [`TrainError::NotMeasurable`].
pub(crate) fn all_finite(measured: &ByLayer) -> Result<(), TrainError> {
    for (layer, LayerIndicators { weight, act }) in measured {
        for (role, values) in [(Role::Weight, weight), (Role::Act, act)] {
            values.iter().try_for_each(|(&bits, &value)| finite(layer, role, bits, value).map(drop))?;
        }
    }
    Ok(())
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
    fn what_is_not_finite_is_named() {
        let set = |weight: f64, act: f64| {
            let of = |value| BTreeMap::from([(BitWidth::new(8).unwrap(), 1.0), (BitWidth::new(2).unwrap(), value)]);
            ByLayer::from([("layer1.0.conv2".to_owned(), LayerIndicators { weight: of(weight), act: of(act) })])
        };
        assert!(all_finite(&set(-0.5, 0.0)).is_ok());
        for (weight, act, start) in [
            (f64::NAN, 1.0, "the sensitivity of the weights of layer layer1.0.conv2 at 2 bits is NaN"),
            (1.0, f64::INFINITY, "the sensitivity of the activations of layer layer1.0.conv2 at 2 bits is inf"),
        ] {
            let error = all_finite(&set(weight, act)).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn repeats_have_seeds_of_their_own() {
        assert_ne!(repeated(0, 1), repeated(0, 2));
        assert_ne!(repeated(0, 2), repeated(1, 1));
    }
}

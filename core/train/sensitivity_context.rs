//! The input of sensitivities: the pre-trained network with its quantizers, and training images.

use super::{
    fit::{TrainContext, TrainError},
    loader::Pick,
    network::{Network, Plan},
    quantizer::{Quantizer, Role},
    recipe::Recipe,
    state::State,
};
use crate::{
    graph::Graph,
    search::{BitWidth, Candidates, LayerIndicators, Precision, uniform_precisions},
};
use burn::tensor::Tensor;
use rand::seq::SliceRandom;
use std::{collections::BTreeMap, sync::Arc};

/// Indicators by layer name.
pub type ByLayer = BTreeMap<String, LayerIndicators>;

/// The input of a sensitivity: the pre-trained network and data.
pub struct SensitivityContext<'a> {
    /// The network's description.
    pub graph: Arc<Graph>,
    /// The parameters of the pre-trained network.
    pub pretrained: &'a State,
    /// The bit-widths to measure.
    pub candidates: &'a Candidates,
    /// How tensors are quantized.
    pub quantizer: Arc<dyn Quantizer>,
    /// How indicators are trained.
    pub recipe: &'a Recipe,
    /// Data, device, seed, progress, cancellation.
    pub train: TrainContext<'a>,
}

impl SensitivityContext<'_> {
    /// The pre-trained network with initial quantization parameters for these bit-widths at each searchable tensor,
    /// from the weights and the calibration batches. For measurements; without gradients.
    ///
    /// # Errors
    /// When the pre-trained parameters do not fit or a sample cannot be read.
    pub fn calibrated(&self, bits: impl IntoIterator<Item = BitWidth>) -> Result<Network, TrainError> {
        Ok(self.uncalibrated(bits)?.calibrate_on(&self.train.calibration_batches(self.recipe)?))
    }

    /// The same, with the quantization parameters of weights only.
    ///
    /// # Errors
    /// When the pre-trained parameters do not fit.
    pub fn uncalibrated(&self, bits: impl IntoIterator<Item = BitWidth>) -> Result<Network, TrainError> {
        let precisions: Vec<Precision> = uniform_precisions(bits).collect();
        let slots = self.graph.layers().into_iter().map(|layer| if layer.fixed { vec![] } else { precisions.clone() });
        let plan = Plan::new(self.graph.clone(), slots.collect(), self.quantizer.clone());
        Ok(Network::new(&plan, self.pretrained, self.train.device)?)
    }

    /// The same at the candidate bit-widths, and on a device with autodiff.
    ///
    /// # Errors
    /// As [`Self::calibrated`].
    pub fn untrained(&self) -> Result<Network, TrainError> {
        self.with_gradients(&self.calibrated(self.candidates.iter())?)
    }

    /// The same network on a device with autodiff.
    ///
    /// # Errors
    /// None for a network of this context.
    pub fn with_gradients(&self, network: &Network) -> Result<Network, TrainError> {
        Ok(Network::new(network.plan(), &network.state(), &self.train.device.clone().autodiff())?)
    }

    /// Up to `batches` batches of training images and their classes, without gradients: the same for the same seed and
    /// `purpose`, no image twice. If there are fewer images than a batch, the only batch is smaller; batches are also
    /// smaller if images are left out.
    ///
    /// # Errors
    /// When a sample cannot be read, or all are left out.
    pub fn batches(
        &self,
        purpose: &str,
        batches: usize,
        batch_size: usize,
    ) -> Result<Vec<(Tensor<4>, Vec<usize>)>, TrainError> {
        let train = &self.train.data.train;
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut self.train.random(purpose));
        let whole = (order.len() / batch_size).clamp(1, batches.max(1));
        order.truncate(whole * batch_size);
        let loader = self.train.loader(train, Pick::plain(&order), batch_size);
        loader.filled().map(|batch| Ok(batch?.on(self.train.data.shape, self.train.device))).collect()
    }

    /// Calls `number` for each searchable layer (its index in [`Graph::layers`]), tensor and candidate bit-width, and
    /// reports progress under `label`.
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
        self.train.progress.start(label, searched * Role::BOTH.len() * self.candidates.len(), 0);
        let by_layer = self.by_layer(&mut |place, role, bits| {
            self.train.stop_if_asked(&format!("measuring {label}"))?;
            let value = number(place, role, bits)?;
            self.train.progress.note(&format!("{} {} {bits}: {value:.3e}", layers[place].name, role.name()));
            Ok(value)
        });
        self.train.progress.finish();
        by_layer
    }

    /// The same for values that are known already: without progress and cancellation.
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

    /// The indicators that a network's quantizers give.
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

/// Refuses values that are not finite. All comparisons with NaN are false, so it could pass as harmless.
fn finite(layer: &str, role: Role, bits: BitWidth, value: f64) -> Result<f64, TrainError> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(TrainError::NotMeasurable { layer: layer.to_owned(), role, bits, value }),
    }
}

/// Checks that all values of a sensitivity are finite, however it collected them.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

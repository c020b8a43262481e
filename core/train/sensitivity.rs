//! The sensitivity kind: the number for (layer, tensor, bit-width) that the search minimises.

use super::{
    fit::{Bench, Job, TrainError},
    network::{Bits, Network, Plan},
    quantizer::{NoIndicator, Quantizer, Role, try_indicators},
    recipe::Recipe,
    state::State,
};
use crate::{
    graph::Graph,
    registry::{self, Kind},
    search::{Candidates, LayerIndicators, Precision, uniform_precisions},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::{cell::OnceCell, collections::BTreeMap, sync::Arc};

/// Indicators by layer name.
pub type ByLayer = BTreeMap<String, LayerIndicators>;

/// Measures how sensitive each layer is at each bit-width. The search minimises the sum of these numbers, so larger
/// means more harm.
pub trait Sensitivity: Send + Sync {
    /// The indicators of every searchable layer at every candidate.
    ///
    /// # Errors
    /// Training that diverges; a quantizer that has no indicator.
    fn measure(&self, lab: &Lab) -> Result<ByLayer, TrainError>;

    /// Whether it asks the quantizer for importance indicators ([`Lab::indicators`]). Then a quantizer that has none is
    /// refused with the config instead of after the training.
    fn asks_for_indicators(&self) -> bool {
        false
    }
}

/// The sensitivity asks for indicators that the quantizer does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "sensitivity {sensitivity:?} asks for importance indicators, but {error}. Quantizers that give them: {quantizers}. \
     Sensitivities that do without: {sensitivities}"
)]
pub struct Unindicated {
    /// The sensitivity's registered name.
    pub sensitivity: String,
    /// What the quantizer says.
    pub error: NoIndicator,
    /// Names of the quantizers that give indicators.
    pub quantizers: String,
    /// Names of the sensitivities that ask for none.
    pub sensitivities: String,
}

/// Whether a sensitivity, registered under `name`, gets from a quantizer what it asks for.
///
/// # Errors
/// When it asks for indicators and the quantizer has none for weights or for activations.
pub(crate) fn preflight(
    name: &str,
    sensitivity: &dyn Sensitivity,
    quantizer: &dyn Quantizer,
) -> Result<(), Unindicated> {
    if !sensitivity.asks_for_indicators() {
        return Ok(());
    }
    try_indicators(quantizer).map_err(|error| Unindicated {
        sensitivity: name.to_owned(),
        error,
        quantizers: names::<dyn Quantizer>(|quantizer| try_indicators(quantizer).is_ok()),
        sensitivities: names::<dyn Sensitivity>(|sensitivity| !sensitivity.asks_for_indicators()),
    })
}

/// The registered plugins of a kind that fit as they are by default, in words.
fn names<P: ?Sized + Kind>(fits: impl Fn(&P) -> bool) -> String {
    let entries = registry::entries::<P>().unwrap_or_default().into_iter();
    let built = entries.filter_map(|entry| Some((entry.name, (entry.build)(&toml::Table::new()).ok()?)));
    built.filter(|(_, plugin)| fits(plugin)).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

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
}

impl Lab<'_> {
    /// The pre-trained network with a step size for each candidate and tensor, as they start before any training.
    ///
    /// # Errors
    /// When the pre-trained numbers do not fit or a sample cannot be read.
    pub fn untrained(&self) -> Result<Network, TrainError> {
        let precisions: Vec<Precision> = uniform_precisions(self.candidates.iter()).collect();
        let slots = self.graph.layers().into_iter().map(|layer| if layer.fixed { vec![] } else { precisions.clone() });
        let plan = Plan::new(self.graph.clone(), slots.collect(), self.quantizer.clone());
        let full = Network::new(&plan, self.pretrained, self.bench.device)?;
        let calibrated = full.calibrate(self.bench.first_batch(self.recipe.batch_size)?);
        Ok(Network::new(&plan, &calibrated.state(), &self.bench.device.clone().autodiff())?)
    }

    /// LIMPQ's joint training: each step runs one pass for every candidate with all layers at that bit-width, highest
    /// first, and one with a bit-width drawn for each layer; gradients add up, then the optimizer steps once.
    ///
    /// # Errors
    /// Training that diverges.
    pub fn jointly_trained(&self) -> Result<Network, TrainError> {
        let network = self.untrained()?;
        let fixed: Vec<bool> = network.plan().layers.iter().map(|layer| layer.fixed).collect();
        let precisions: Vec<Precision> = uniform_precisions(self.candidates.iter()).collect();
        let mut passes = |step: usize| {
            let mut random = self.bench.random(&format!("indicators step {step}"));
            joint_passes(&precisions, &fixed, &mut random)
        };
        let job = Job { stage: "indicators", label: "indicators", recipe: self.recipe, teacher: self.pretrained };
        let network = self.bench.fit(&job, network, &mut passes)?.network;
        let _ = self.joint.set(network.state());
        Ok(network)
    }

    /// The indicators that a network's step sizes stand for.
    ///
    /// # Errors
    /// When the quantizer has none.
    pub fn indicators(&self, network: &Network) -> Result<ByLayer, TrainError> {
        let mut by_layer = ByLayer::new();
        for (index, layer) in network.plan().layers.iter().enumerate().filter(|(_, layer)| !layer.fixed) {
            let of = |role: Role| {
                uniform_precisions(self.candidates.iter())
                    .map(|bits| Ok((bits.weight, network.indicator(index, role, bits)?)))
                    .collect::<Result<BTreeMap<_, _>, TrainError>>()
            };
            let indicators = LayerIndicators { weight: of(Role::Weight)?, act: of(Role::Act)? };
            by_layer.insert(layer.name.clone(), indicators);
        }
        Ok(by_layer)
    }
}

/// The passes of one step: uniform ones from the highest bit-width down, then a random one.
fn joint_passes(precisions: &[Precision], fixed: &[bool], random: &mut ChaCha8Rng) -> Vec<Bits> {
    let all = |bits: &dyn Fn() -> Precision| fixed.iter().map(|&fixed| (!fixed).then(bits)).collect::<Bits>();
    let mut passes: Vec<Bits> = precisions.iter().map(|&bits| all(&|| bits)).collect();
    let drawn: Vec<Precision> = fixed.iter().map(|_| precisions[random.random_range(0..precisions.len())]).collect();
    passes.push(drawn.into_iter().zip(fixed).map(|(bits, &fixed)| (!fixed).then_some(bits)).collect());
    passes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_step_has_a_pass_for_each_candidate_and_a_random_one() {
        let candidates = Candidates::of(&[2, 4, 3]).unwrap();
        let precisions: Vec<_> = uniform_precisions(candidates.iter()).collect();
        let fixed = [true, false, false, false, false, false, false];
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let passes = joint_passes(&precisions, &fixed, &mut random);
        let uniform: Vec<_> = passes[..3].iter().map(|bits| bits[1].unwrap().to_string()).collect();
        assert_eq!(uniform, ["w4a4", "w3a3", "w2a2"]);
        assert!(passes.iter().all(|bits| bits[0].is_none()), "fixed layers stay in full precision");
        assert!(passes[..3].iter().all(|bits| bits[1..].windows(2).all(|pair| pair[0] == pair[1])));
        assert!(passes[3][1..].iter().any(|bits| *bits != passes[3][1]), "the last pass mixes bit-widths");
    }
}

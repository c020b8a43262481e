//! The plugin kind sensitivity: the indicators for (layer, tensor, bit-width) whose sum the search minimises.

use super::{
    ByLayer, SensitivityContext, State, TrainError,
    quantizer::{NoIndicator, Quantizer, try_indicators},
};
use crate::{
    registry::{self, Kind},
    search::DEFAULT_ALPHA,
};

/// The result of a sensitivity.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// One value per searchable layer, tensor and candidate bit-width.
    pub indicators: ByLayer,
    /// The network that the sensitivity trained, if it trains one. Refinement measures with it.
    pub trained: Option<State>,
    /// Initial values of learned indicators.
    pub initial: Option<ByLayer>,
    /// Standard deviation of each indicator, if it is a mean over several trainings.
    pub spread: Option<ByLayer>,
}

impl From<ByLayer> for Measurement {
    fn from(indicators: ByLayer) -> Self {
        Self { indicators, ..Self::default() }
    }
}

/// Measures how sensitive each layer is at each bit-width. The search minimises the sum of these numbers, so larger
/// means more harm.
pub trait Sensitivity: Send + Sync {
    /// The indicators of every searchable layer at every candidate, and by-products such as a trained network.
    ///
    /// [`SensitivityContext::each`] and [`SensitivityContext::by_layer`] refuse values that are not finite at once, and
    /// a run refuses them in the result. So return NaN where a measurement fails; beware that `NaN.max(0.0)` is 0, the
    /// most harmless value.
    ///
    /// # Errors
    /// Training that diverges; a quantizer that has no indicator; [`TrainError::NotMeasurable`].
    fn measure(&self, context: &SensitivityContext) -> Result<Measurement, TrainError>;

    /// Whether it asks the quantizer for importance indicators ([`SensitivityContext::indicators`]). A quantizer that
    /// has none is then refused when the config is read, instead of after the training.
    fn asks_for_indicators(&self) -> bool {
        false
    }

    /// The default alpha, the weight of the weights' indicators relative to the activations': 1 if both are on one
    /// scale.
    fn alpha(&self) -> f64 {
        DEFAULT_ALPHA
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
    /// The quantizer's error.
    pub error: NoIndicator,
    /// Names of the quantizers that give indicators.
    pub quantizers: String,
    /// Names of the sensitivities that ask for none.
    pub sensitivities: String,
}

/// Whether a quantizer gives the sensitivity registered as `name` what it asks for.
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

/// The registered plugins of a kind that fit with default options, in words.
fn names<P: ?Sized + Kind>(fits: impl Fn(&P) -> bool) -> String {
    let entries = registry::entries::<P>().unwrap_or_default().into_iter();
    let built = entries.filter_map(|entry| Some((entry.name, (entry.build)(&toml::Table::new()).ok()?)));
    built.filter(|(_, plugin)| fits(plugin)).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

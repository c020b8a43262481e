//! Importance indicators: for every searchable layer, one number for its weights and one for its input activations at
//! each candidate bit-width. Read from our JSON or from LIMPQ's pickle, told apart by content.

use super::pickle;
use crate::search::{Allowed, BitWidth, Candidates, Contradiction, NetworkRecord};
use crate::{graph::Graph, input, registry::nearest};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Version of the JSON layout.
pub const INDICATORS_SCHEMA: u32 = 1;

/// Indicators of one layer by bit-width.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerIndicators {
    /// Of its weights.
    pub weight: BTreeMap<BitWidth, f64>,
    /// Of its input activations.
    pub act: BTreeMap<BitWidth, f64>,
}

/// Where indicators come from and what they belong to. A file that does not say, such as LIMPQ's, leaves it out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the sensitivity metric, or the kind of file they were read from.
    pub sensitivity: String,
    /// Options of the metric, every default written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity_options: Option<toml::Table>,
    /// Whether they are learned step sizes, all of one scale, rather than measurements of harm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub step_sizes: bool,
    /// The weight of weights against activations that goes with the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Name of the quantizer that was trained, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizer: Option<String>,
    /// Options of the quantizer, every default written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizer_options: Option<toml::Table>,
    /// Name of the data set, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The run's seed, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The network that they were measured on; [`Indicators::model`] names its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkRecord>,
    /// Layers whose weights are all zero in the pre-trained network; they lose nothing at any bits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zero_weights: Vec<String>,
    /// Layers that read nothing but zeros on the images that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zero_inputs: Vec<String>,
    /// Where learned indicators started, by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<BTreeMap<String, LayerIndicators>>,
}

/// A full set of indicators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicators {
    /// Version of this layout.
    pub schema: u32,
    /// The model they were measured on; LIMPQ's files do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The bit-widths every layer has.
    pub candidates: Candidates,
    /// Where they come from.
    pub provenance: Provenance,
    /// By state-dict name of the layer.
    pub layers: BTreeMap<String, LayerIndicators>,
    /// Where `layers` are means over several seeds: standard deviation of each, over those seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<BTreeMap<String, LayerIndicators>>,
}

/// What is wrong with an indicator file.
#[derive(Debug, thiserror::Error)]
pub enum IndicatorsError {
    /// Cannot be read at all.
    #[error("cannot read the indicators {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Neither JSON nor pickle.
    #[error(
        "{path} is not an indicator file: {why}. Give this program's indicators.json or LIMPQ's importance_indicators_*.pkl"
    )]
    Format {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
    /// Another version.
    #[error(
        "the indicators have schema version {found}, this program reads version {INDICATORS_SCHEMA}; write them anew with `limpq run`"
    )]
    Schema {
        /// The version found.
        found: u32,
    },
    /// No layers.
    #[error("the indicators are empty: no layer has any")]
    Empty,
    /// Another model's.
    #[error(
        "the indicators were made for {found}, not for {wanted}; name {found} as the model or give the file for {wanted}"
    )]
    WrongModel {
        /// The model in the file.
        found: String,
        /// The model asked for.
        wanted: String,
    },
    /// Measured on a network of the same model, but another one.
    #[error(
        "the indicators belong to another network: {model} with {}; asked for is {model} with {}. Leave out what contradicts the \
         file, which says itself what it belongs to, or give the file for that network",
        .0.recorded, .0.found, model = .1
    )]
    WrongNetwork(Contradiction, String),
    /// Layer names that do not fit.
    #[error("the indicators do not fit {model}: {missing} and {left_over}. Is it the right model for this file?")]
    Layers {
        /// The model.
        model: String,
        /// Layers without indicators, in words.
        missing: String,
        /// Indicators without a layer, in words.
        left_over: String,
    },
    /// Layers that are not searched.
    #[error(
        "the indicators have {}, whose bits {model} does not search: it keeps them fixed. Take them out of the file",
        layers.join(", ")
    )]
    Fixed {
        /// The model.
        model: String,
        /// The layers.
        layers: Vec<String>,
    },
    /// A bit-width that a layer has no indicator for.
    #[error(
        "layer {layer:?} has no {tensor} indicator for {bits} bits; the file has {has}. \
         Choose candidate bits from those, or train indicators for the missing bit-width"
    )]
    Bits {
        /// The layer.
        layer: String,
        /// `weight` or `act`.
        tensor: &'static str,
        /// The bit-width.
        bits: BitWidth,
        /// Bit-widths there are.
        has: String,
    },
    /// NaN, infinite or negative.
    #[error(
        "layer {layer:?} has the {tensor} indicator {value} at {bits} bits; an indicator must be a finite number and not \
         negative. {cause}"
    )]
    Value {
        /// The layer.
        layer: String,
        /// `weight` or `act`.
        tensor: &'static str,
        /// The bit-width.
        bits: BitWidth,
        /// What was found.
        value: f64,
        /// What may have led to it, and what to do.
        cause: &'static str,
    },
}

impl Indicators {
    /// A full set in the present layout.
    pub fn new(
        model: Option<String>,
        candidates: Candidates,
        provenance: Provenance,
        layers: BTreeMap<String, LayerIndicators>,
    ) -> Self {
        Self { schema: INDICATORS_SCHEMA, model, candidates, provenance, layers, spread: None }
    }

    /// Why an indicator may be no usable number.
    fn cause(&self) -> &'static str {
        match self.provenance.step_sizes {
            true => "The training that made it diverged: lower its learning rate and run it again",
            false => {
                "What made it went wrong there: with that tensor quantized to these bits the network may give no finite \
                 numbers. Leave these bits out for this layer, or measure it again"
            }
        }
    }

    /// Reads a file of either kind.
    ///
    /// # Errors
    /// Missing or unreadable files, other formats, other schema versions.
    pub fn read(path: &Path) -> Result<Self, IndicatorsError> {
        let shown = path.display().to_string();
        let bytes = input::read(path).map_err(|error| IndicatorsError::Read { path: shown.clone(), error })?;
        Self::from_bytes(&bytes).map_err(|error| match error {
            IndicatorsError::Format { why, .. } => IndicatorsError::Format { path: shown, why },
            other => other,
        })
    }

    /// Reads the content of a file of either kind.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndicatorsError> {
        let format = |why: String| IndicatorsError::Format { path: "the input".into(), why };
        let marked = bytes.starts_with(b"\xef\xbb\xbf");
        if marked || input::is_utf16(bytes) {
            // Some editor's text, and no pickle.
            return Self::from_bytes(input::text(bytes).map_err(format)?.as_bytes());
        }
        let indicators = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(format("it is empty".into())),
            Some(b'{') => {
                #[derive(Deserialize)]
                struct Version {
                    schema: u32,
                }
                // The version first: another version's layout need not parse.
                let json = |error: serde_json::Error| {
                    let not_a_number = ["NaN", "Infinity"].iter().any(|word| contains(bytes, word.as_bytes()));
                    let hint = if not_a_number {
                        "; it holds NaN or Infinity: the training that made it diverged, or a measurement gave no finite number"
                    } else {
                        ""
                    };
                    format(format!("as JSON: {}{hint}", input::json_error(&error)))
                };
                let version: Version = serde_json::from_slice(bytes).map_err(json)?;
                if version.schema != INDICATORS_SCHEMA {
                    return Err(IndicatorsError::Schema { found: version.schema });
                }
                let mut file: Self = serde_json::from_slice(bytes).map_err(json)?;
                let named = std::mem::take(&mut file.layers).into_iter();
                for (name, layer) in named {
                    let plain = plain_name(&name).to_owned();
                    if file.layers.insert(plain, layer).is_some() {
                        return Err(format(format!("layer {:?} stands there twice", plain_name(&name))));
                    }
                }
                file
            }
            Some(_) => pickle::read(bytes).map_err(format)?,
        };
        if indicators.layers.is_empty() {
            return Err(IndicatorsError::Empty);
        }
        Ok(indicators)
    }

    /// Checks that these indicators are for this graph and cover what each searchable layer may have (in graph order) with
    /// usable numbers. A tensor held at one bit-width needs no indicator there.
    ///
    /// # Errors
    /// Says which model, layer, tensor or bit-width does not fit.
    pub fn check(&self, graph: &Graph, allowed: &[Allowed]) -> Result<(), IndicatorsError> {
        if let Some(found) = self.model.as_ref().filter(|model| **model != graph.model) {
            return Err(IndicatorsError::WrongModel { found: found.clone(), wanted: graph.model.clone() });
        }
        if self.layers.is_empty() {
            return Err(IndicatorsError::Empty);
        }
        if let Some(Err(contradiction)) = self.provenance.network.as_ref().map(|network| network.check(graph)) {
            return Err(IndicatorsError::WrongNetwork(contradiction, graph.model.clone()));
        }
        let wanted: Vec<String> = graph.searchable().into_iter().map(|layer| layer.name).collect();
        let missing: Vec<&str> =
            wanted.iter().map(String::as_str).filter(|name| !self.layers.contains_key(*name)).collect();
        let known: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        let left_over: Vec<&str> =
            self.layers.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
        let fixed: BTreeSet<String> = graph.fixed().into_iter().map(|layer| layer.name).collect();
        if missing.is_empty() && !left_over.is_empty() && left_over.iter().all(|name| fixed.contains(*name)) {
            let layers = left_over.into_iter().map(str::to_owned).collect();
            return Err(IndicatorsError::Fixed { model: graph.model.clone(), layers });
        }
        if !missing.is_empty() || !left_over.is_empty() {
            let hint = left_over.first().and_then(|name| nearest(name, missing.iter().copied()));
            let hint = hint.map(|name| format!(" (nearest: {name})")).unwrap_or_default();
            return Err(IndicatorsError::Layers {
                model: graph.model.clone(),
                missing: listed("missing from the file", &missing),
                left_over: format!("{}{hint}", listed("not in the model", &left_over)),
            });
        }
        for Allowed { layer, weight, act, weight_pinned, act_pinned } in allowed {
            let indicators = &self.layers[layer];
            for (tensor, values, bits, pinned) in
                [("weight", &indicators.weight, weight, weight_pinned), ("act", &indicators.act, act, act_pinned)]
            {
                for &bits in bits {
                    let value = match values.get(&bits) {
                        Some(&value) => value,
                        None if *pinned => continue,
                        None => {
                            let has = match values.is_empty() {
                                true => "none".into(),
                                false => values.keys().rev().map(BitWidth::to_string).collect::<Vec<_>>().join(","),
                            };
                            return Err(IndicatorsError::Bits { layer: layer.clone(), tensor, bits, has });
                        }
                    };
                    if !value.is_finite() || value < 0.0 {
                        let (layer, cause) = (layer.clone(), self.cause());
                        return Err(IndicatorsError::Value { layer, tensor, bits, value, cause });
                    }
                }
            }
        }
        Ok(())
    }
}

/// A layer's name without the prefix that data-parallel training adds.
pub(super) fn plain_name(name: &str) -> &str {
    name.strip_prefix("module.").unwrap_or(name)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// "2 layers missing: a, b", shortened past five.
fn listed(what: &str, names: &[&str]) -> String {
    match names.len() {
        0 => format!("no layer is {what}"),
        count => {
            let more = if count > 5 { ", ..." } else { "" };
            format!("{count} {what} ({}{more})", names[..count.min(5)].join(", "))
        }
    }
}

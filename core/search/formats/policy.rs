//! A policy: the bits of every searchable layer.

use crate::graph::Graph;
use crate::search::{Contradiction, NetworkRecord, Precision};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the JSON layout.
pub const POLICY_SCHEMA: u32 = 1;

/// The bits of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerBits {
    /// State-dict name.
    pub layer: String,
    /// Bits of its weights.
    pub weight_bits: crate::search::BitWidth,
    /// Bits of its input activations.
    pub act_bits: crate::search::BitWidth,
}

/// The bits of every searchable layer, in graph order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Version of this layout.
    pub schema: u32,
    /// The model it is for; not every form says it.
    pub model: Option<String>,
    /// The network of that model; not every form says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkRecord>,
    /// One entry for each searchable layer, in graph order.
    pub policy: Vec<LayerBits>,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Cannot be read.
    #[error("cannot read the policy {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// LIMPQ's lists without the names of a graph.
    #[error(
        "{path} has bits of {layers} layers without names, as LIMPQ lists them; name the model (and, where they matter, its input, classes \
         and options), whose layers these are"
    )]
    NeedsModel {
        /// The file.
        path: String,
        /// How many.
        layers: usize,
    },
    /// A list that is too long or too short.
    #[error("{path}: {list} has {found} entries; {model} has {layers} layers whose bits are chosen")]
    Length {
        /// The file.
        path: String,
        /// Which list.
        list: &'static str,
        /// Its length.
        found: usize,
        /// The model.
        model: String,
        /// Number of layers it should cover.
        layers: usize,
    },
    /// For a network of the same model, but another one.
    #[error("the policy is for another network: {model} with {}, not with {}", .0.recorded, .0.found, model = .1)]
    WrongNetwork(Contradiction, String),
    /// For another model or with other layers.
    #[error("the policy is for {found}, not for {wanted}: {why}")]
    Mismatch {
        /// The policy's model.
        found: String,
        /// The model asked for.
        wanted: String,
        /// The first difference.
        why: String,
    },
}

impl Policy {
    /// The same bits for every searchable layer.
    pub fn uniform(graph: &Graph, bits: Precision) -> Self {
        Self::new(graph, graph.searchable().iter().map(|_| bits))
    }

    /// Bits in graph order.
    pub fn new(graph: &Graph, bits: impl IntoIterator<Item = Precision>) -> Self {
        let layers = graph.searchable().into_iter().zip(bits);
        let policy = layers
            .map(|(layer, bits)| LayerBits { layer: layer.name, weight_bits: bits.weight, act_bits: bits.act })
            .collect();
        let network = Some(NetworkRecord::of(graph));
        Self { schema: POLICY_SCHEMA, model: Some(graph.model.clone()), network, policy }
    }

    /// The bits of each searchable layer of a graph, in graph order, joined by name.
    ///
    /// # Errors
    /// When it is for another network, or when a layer is missing or left over.
    pub fn precisions(&self, graph: &Graph) -> Result<Vec<Precision>, PolicyError> {
        let mismatch =
            |why: String| PolicyError::Mismatch { found: self.named().to_owned(), wanted: graph.model.clone(), why };
        if let Some(network) = self.network.as_ref().filter(|_| self.model.as_ref() == Some(&graph.model)) {
            network.check(graph).map_err(|wrong| PolicyError::WrongNetwork(wrong, graph.model.clone()))?;
        }
        let layers = graph.searchable();
        let known: BTreeSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        if let Some(extra) = self.policy.iter().find(|bits| !known.contains(bits.layer.as_str())) {
            return Err(mismatch(format!("layer {:?} is not in the model", extra.layer)));
        }
        // Of several entries for a layer the first counts.
        let entries: BTreeMap<&str, &LayerBits> =
            self.policy.iter().rev().map(|bits| (bits.layer.as_str(), bits)).collect();
        let of = |name: &str| entries.get(name).copied();
        layers
            .iter()
            .map(|layer| {
                let bits = of(&layer.name).ok_or_else(|| mismatch(format!("layer {:?} has no bits", layer.name)))?;
                Ok(Precision { weight: bits.weight_bits, act: bits.act_bits })
            })
            .collect()
    }

    /// The model's name, in words where there is none.
    pub(super) fn named(&self) -> &str {
        self.model.as_deref().unwrap_or("a model that it does not name")
    }

    /// Mean weight and mean activation bits; every layer counts the same.
    pub fn mean_bits(&self) -> [f64; 2] {
        let mean = |bits: fn(&LayerBits) -> crate::search::BitWidth| {
            self.policy.iter().map(|layer| bits(layer).get()).sum::<u64>() as f64 / self.policy.len().max(1) as f64
        };
        [mean(|layer| layer.weight_bits), mean(|layer| layer.act_bits)]
    }
}

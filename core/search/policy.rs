//! A policy: the bits of every searchable layer. Written as our JSON and as LIMPQ's YAML bit lists.

use super::Precision;
use crate::graph::Graph;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the JSON layout.
pub const POLICY_SCHEMA: u32 = 1;

/// The bits of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerBits {
    /// State-dict name.
    pub layer: String,
    /// Bits of its weights.
    pub weight_bits: super::BitWidth,
    /// Bits of its input activations.
    pub act_bits: super::BitWidth,
}

/// The bits of every searchable layer, in graph order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Version of this layout.
    pub schema: u32,
    /// The model it is for.
    pub model: String,
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
        Self { schema: POLICY_SCHEMA, model: graph.model.clone(), policy }
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// Missing or malformed files.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let wrong = |why: String| PolicyError::Read { path: path.display().to_string(), why };
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        Self::from_bytes(&bytes).map_err(wrong)
    }

    /// Reads the content of a file in the JSON form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let policy: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match policy.schema {
            POLICY_SCHEMA => Ok(policy),
            found => Err(format!("it has schema version {found}, this program reads {POLICY_SCHEMA}")),
        }
    }

    /// The bits of each searchable layer of a graph, in graph order, joined by name.
    ///
    /// # Errors
    /// When a layer is missing or left over.
    pub fn precisions(&self, graph: &Graph) -> Result<Vec<Precision>, PolicyError> {
        let mismatch =
            |why: String| PolicyError::Mismatch { found: self.model.clone(), wanted: graph.model.clone(), why };
        let layers = graph.searchable();
        if let Some(extra) = self.policy.iter().find(|bits| layers.iter().all(|layer| layer.name != bits.layer)) {
            return Err(mismatch(format!("layer {:?} is not in the model", extra.layer)));
        }
        let of = |name: &str| self.policy.iter().find(|bits| bits.layer == name);
        layers
            .iter()
            .map(|layer| {
                let bits = of(&layer.name).ok_or_else(|| mismatch(format!("layer {:?} has no bits", layer.name)))?;
                Ok(Precision { weight: bits.weight_bits, act: bits.act_bits })
            })
            .collect()
    }

    /// LIMPQ's form: two lists in graph order, to be pasted into its fine-tuning configs.
    pub fn to_limpq_yaml(&self) -> String {
        let list = |bits: fn(&LayerBits) -> super::BitWidth| {
            self.policy.iter().map(|layer| bits(layer).to_string()).collect::<Vec<_>>().join(", ")
        };
        format!(
            "# {}, {} layers in network order\nweight_bits: [{}]\nact_bits: [{}]\n",
            self.model,
            self.policy.len(),
            list(|layer| layer.weight_bits),
            list(|layer| layer.act_bits)
        )
    }
}

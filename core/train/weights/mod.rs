//! Weights from elsewhere: a PyTorch checkpoint, an ONNX file or a safetensors file, accepted only if they fit the network name by
//! name.
//!
//! Wrappers of frameworks around a state dict are removed: the dictionary of a checkpoint (`{"state_dict": ...}` and
//! similar), the `module.` of DataParallel, the `_orig_mod.` of torch.compile, the `model.` of Lightning. Counters
//! (`num_batches_tracked`, `n_averaged`) and values that are not tensors are ignored. Everything else must match:
//! nothing may be missing, left over or of another shape.

mod file;
mod names;
mod onnx;
mod torch;

use super::{
    finite::Unusable,
    state::{Array, State},
};
use crate::{graph::Graph, registry::nearest, store::hash};
use file::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// The initial weights of the pre-trained network, which are final if it is trained for 0 epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// A PyTorch checkpoint (`.pth`, `.pt`) or a safetensors file, recognised by its content.
    pub path: PathBuf,
    /// The file's state dict to use, if it holds several: "model_ema", for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the classifier is initialised at random, whatever the file has: for data with other classes.
    #[serde(default)]
    pub new_classifier: bool,
}

/// Weights that fit a network, and the hash of their file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The network's tensors.
    pub state: State,
    /// SHA-256 of the file, in hexadecimal digits; of an ONNX file with external data, of the digests of all its files.
    pub sha256: String,
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error(
        "cannot read the weights {path}: {error}; [weights] path is relative to the folder that limpq is called in"
    )]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// Foreign or damaged.
    #[error("{path} is not a usable file of weights: {why}")]
    Format {
        /// The file.
        path: String,
        /// What was found, and what to do if that is known.
        why: String,
    },
    /// An ONNX file that cannot be read as a network.
    #[error(transparent)]
    Onnx(#[from] Box<crate::onnx::OnnxError>),
    /// More than one state dict.
    #[error("{path} holds several state dicts ({}); choose one: [weights] key = \"{}\"", keys.join(", "), keys[0])]
    Several {
        /// The file.
        path: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The requested state dict does not exist.
    #[error("{path} has no state dict under the key {key:?}; there are: {}{hint}", listed_keys(there))]
    Key {
        /// The file.
        path: String,
        /// The requested key.
        key: String,
        /// The keys at its top.
        there: Vec<String>,
        /// A key that fits, or empty.
        hint: String,
    },
    /// A tensor whose values are not weights.
    #[error("{path}: tensor {name:?} {why}")]
    Tensor {
        /// The file.
        path: String,
        /// The tensor.
        name: String,
        /// What was found.
        why: String,
    },
    /// Names or shapes that differ from the model's.
    #[error("{path} does not fit {model}: {}{hint}", faults.join("; "))]
    Misfit {
        /// The file.
        path: String,
        /// The model.
        model: String,
        /// What is missing, left over and of another shape.
        faults: Vec<String>,
        /// What to do, or nothing.
        hint: String,
    },
}

/// Number of names that are listed per fault.
const LISTED: usize = 40;

impl Weights {
    /// Reads the file and checks it against a network; a new classifier is drawn from the seed.
    ///
    /// # Errors
    /// Files that are missing, damaged or foreign; tensors that are missing, left over, of another shape, or hold
    /// anything but finite floating-point numbers. Every fault is listed by name.
    pub fn load(&self, graph: &Graph, seed: u64) -> Result<Loaded, WeightsError> {
        let path = self.path.display().to_string();
        let read = |error| WeightsError::Read { path: path.clone(), error };
        let (entries, sha256) = match onnx::is_onnx(&self.path).map_err(read)? {
            true => onnx::open(&self.path, graph)?,
            false => (file::open(&self.path, &path)?, hash::of_file(&self.path).map_err(read)?),
        };
        let shapes: names::Shapes = entries.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect();
        let mut state = BTreeMap::new();
        let mut wanted = State::shapes(graph);
        if self.new_classifier {
            let random = State::random(graph, seed).0;
            let classifier = classifier(graph);
            wanted.retain(|name, _| !classifier.contains(name));
            state.extend(random.into_iter().filter(|(name, _)| classifier.contains(name)));
        }
        let plain = names::plain(&path, &shapes, &wanted, self.key.as_deref())?;
        let anew: Vec<&String> = state.keys().collect();
        let found = plain.iter().filter(|(name, _)| !anew.contains(name)).map(|(name, full)| (name, &entries[full]));
        check(&path, graph, &wanted, found.collect(), self.new_classifier, &shapes)?;
        for (name, shape) in wanted {
            let values = entries[&plain[&name]].values().map_err(|why| {
                let (path, name) = (path.clone(), name.clone());
                WeightsError::Tensor { path, name, why }
            })?;
            state.insert(name, Array { shape, values });
        }
        let state = State(state);
        if let Some(Unusable { tensor, place, value, above }) = state.unusable(graph) {
            let why = format!(
                "holds {value} at index {place}. A variance is never negative, and batch-norm divides by the root of it after \
                 adding {}: the file is damaged, or this tensor is something else",
                above.map_or(0.0, |above| -above)
            );
            return Err(WeightsError::Tensor { path, name: tensor, why });
        }
        Ok(Loaded { state, sha256 })
    }
}

/// Names of the classifier's tensors.
fn classifier(graph: &Graph) -> Vec<String> {
    let name = graph.layers().pop().map(|layer| layer.name).unwrap_or_default();
    vec![format!("{name}.weight"), format!("{name}.bias")]
}

fn check(
    path: &str,
    graph: &Graph,
    wanted: &names::Shapes,
    found: BTreeMap<&String, &Entry>,
    new_classifier: bool,
    all: &names::Shapes,
) -> Result<(), WeightsError> {
    let missing: Vec<&str> = wanted.keys().filter(|name| !found.contains_key(name)).map(String::as_str).collect();
    let left_over: Vec<String> = found
        .keys()
        .filter(|name| !wanted.contains_key(**name))
        .enumerate()
        .map(|(place, name)| match nearest(name, missing.iter().copied().filter(|_| place < LISTED)) {
            Some(near) => format!("{name} (nearest missing: {near})"),
            None => (*name).clone(),
        })
        .collect();
    let misshaped: Vec<(&String, String)> = wanted
        .iter()
        .filter_map(|(name, shape)| {
            let entry = found.get(name).filter(|entry| entry.shape != *shape)?;
            let is = match &entry.numbers {
                Err(why) if entry.shape.is_empty() => why.clone(),
                _ => format!("is {}", sizes(&entry.shape)),
            };
            Some((name, format!("{name} {is}, the model needs {}", sizes(shape))))
        })
        .collect();
    if missing.is_empty() && left_over.is_empty() && misshaped.is_empty() {
        return Ok(());
    }
    let classifier = classifier(graph);
    let only_classes = missing.is_empty()
        && left_over.is_empty()
        && !new_classifier
        && misshaped.iter().all(|(name, _)| classifier.contains(name));
    let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    let shapes: Vec<String> = misshaped.into_iter().map(|(_, text)| text).collect();
    let faults = [("missing", missing), ("left over", left_over), ("mis-shaped", shapes)];
    let faults = faults.into_iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| listed(what, &names));
    let hint = match only_classes {
        true => "; for other classes initialise a new classifier: [weights] new_classifier = true".to_owned(),
        false => names::hint(all, wanted, &classifier),
    };
    // A line of the config that takes the file is worth more than two lists of names.
    let faults = match only_classes || hint.is_empty() {
        true => faults.collect(),
        false => vec!["its tensors have a longer name there, or lie under a key".to_owned()],
    };
    Err(WeightsError::Misfit { path: path.to_owned(), model: graph.model.clone(), faults, hint })
}

fn listed(what: &str, names: &[String]) -> String {
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {what}: {}{more}", names.len(), names[..names.len().min(LISTED)].join(", "))
}

/// Keys for a message, the first few; a file may have thousands.
fn listed_keys(keys: &[String]) -> String {
    let more = if keys.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", keys[..keys.len().min(LISTED)].join(", "))
}

fn sizes(shape: &[usize]) -> String {
    match shape {
        [] => "a single number".to_owned(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

//! Weights from elsewhere: a PyTorch checkpoint or a safetensors file, taken only if it fits the network name by name.
//!
//! What frameworks put around a state dict is taken off: the dictionary of a checkpoint (`{"state_dict": ...}` and its
//! like), the `module.` of DataParallel, the `_orig_mod.` of torch.compile, the `model.` of Lightning. Counters
//! (`num_batches_tracked`, `n_averaged`) are no weights and are left out. Everything else must match: nothing may be
//! missing, left over or of another shape.

mod file;

use super::{
    finite::Unusable,
    network::EPSILON,
    state::{Array, State},
};
use crate::{graph::Graph, hash, registry::nearest};
use file::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Where the pre-trained network starts, or ends if it is trained for 0 epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// A PyTorch checkpoint (`.pth`, `.pt`) or a safetensors file; told apart by what is in it.
    pub path: PathBuf,
    /// Which of the file's state dicts is meant, if it holds several: "model_ema", for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the classifier starts from random numbers, whatever the file has: for data with other classes.
    #[serde(default)]
    pub new_classifier: bool,
}

/// Weights that fit a network, and which file they are from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The network's numbers.
    pub state: State,
    /// SHA-256 of the file, in hexadecimal digits.
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
        /// What the system said.
        error: std::io::Error,
    },
    /// Foreign or damaged.
    #[error("{path} is no usable file of weights: {why}")]
    Format {
        /// The file.
        path: String,
        /// What was found, and what to do if that is known.
        why: String,
    },
    /// More than one state dict.
    #[error("{path} holds several state dicts ({}); choose one: [weights] key = \"{}\"", keys.join(", "), keys[0])]
    Several {
        /// The file.
        path: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The asked-for state dict is not there.
    #[error("{path} has no state dict under the key {key:?}; there are: {}", there.join(", "))]
    Key {
        /// The file.
        path: String,
        /// What was asked for.
        key: String,
        /// The keys at its top.
        there: Vec<String>,
    },
    /// A tensor whose numbers are no weights.
    #[error("{path}: tensor {name:?} {why}")]
    Tensor {
        /// The file.
        path: String,
        /// The tensor.
        name: String,
        /// What was found.
        why: String,
    },
    /// Names or shapes that are not the model's.
    #[error("{path} does not fit {model}: {}{hint}", faults.join("; "))]
    Misfit {
        /// The file.
        path: String,
        /// The model.
        model: String,
        /// What is missing, left over and of another shape.
        faults: Vec<String>,
        /// What to do, or nothing.
        hint: &'static str,
    },
}

/// What checkpoints call the state dict in them.
const KEYS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "ema",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
];
/// What wrappers of modules put before every name.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];
/// Names that end so are counters.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "n_averaged"];
/// So many names are listed of each fault.
const LISTED: usize = 40;

impl Weights {
    /// Reads the file and checks it against a network; what starts anew is drawn from the seed.
    ///
    /// # Errors
    /// Files that are missing, damaged or foreign; tensors that are missing, left over, of another shape, or hold
    /// anything but finite floating-point numbers. Every fault is listed by name.
    pub fn load(&self, graph: &Graph, seed: u64) -> Result<Loaded, WeightsError> {
        let path = self.path.display().to_string();
        let sha256 = hash::of_file(&self.path).map_err(|error| WeightsError::Read { path: path.clone(), error })?;
        let entries = self.unwrapped(&path, file::open(&self.path, &path)?)?;
        let mut state = BTreeMap::new();
        let mut wanted = State::shapes(graph);
        if self.new_classifier {
            let random = State::random(graph, seed).0;
            let classifier = classifier(graph);
            wanted.retain(|name, _| !classifier.contains(name));
            state.extend(random.into_iter().filter(|(name, _)| classifier.contains(name)));
        }
        let anew: Vec<String> = state.keys().cloned().collect();
        let found = entries.iter().filter(|(name, _)| !anew.contains(name));
        check(&path, graph, &wanted, found, self.new_classifier)?;
        for (name, shape) in wanted {
            let values = entries[&name].values().map_err(|why| {
                let (path, name) = (path.clone(), name.clone());
                WeightsError::Tensor { path, name, why }
            })?;
            state.insert(name, Array { shape, values });
        }
        let state = State(state);
        if let Some(Unusable { tensor, place, value }) = state.unusable() {
            let why = format!(
                "holds {value} at place {place}. A variance is never negative, and batch-norm divides by the root of it after \
                 adding {EPSILON}: the file is damaged, or this tensor is something else"
            );
            return Err(WeightsError::Tensor { path, name: tensor, why });
        }
        Ok(Loaded { state, sha256 })
    }

    /// The tensors of one state dict by their plain names, counters left out.
    fn unwrapped(&self, path: &str, all: BTreeMap<String, Entry>) -> Result<BTreeMap<String, Entry>, WeightsError> {
        let under = |key: &str| all.keys().any(|name| below(name, key).is_some());
        let key = match &self.key {
            Some(key) if !under(key) => {
                let mut there: Vec<String> =
                    all.keys().map(|name| name.split('.').next().unwrap_or(name).to_owned()).collect();
                there.dedup();
                return Err(WeightsError::Key { path: path.to_owned(), key: key.clone(), there });
            }
            Some(key) => Some(key.clone()),
            None => {
                let keys: Vec<String> = KEYS.into_iter().filter(|key| under(key)).map(str::to_owned).collect();
                if keys.len() > 1 {
                    return Err(WeightsError::Several { path: path.to_owned(), keys });
                }
                keys.into_iter().next()
            }
        };
        let mut entries: BTreeMap<String, Entry> = all
            .into_iter()
            .filter_map(|(name, entry)| match &key {
                Some(key) => Some((below(&name, key)?.to_owned(), entry)),
                None => Some((name, entry)),
            })
            .filter(|(name, _)| !COUNTERS.contains(&name.rsplit('.').next().unwrap_or(name)))
            .collect();
        while let Some(prefix) =
            PREFIXES.iter().find(|prefix| !entries.is_empty() && entries.keys().all(|name| name.starts_with(**prefix)))
        {
            entries = entries.into_iter().map(|(name, entry)| (name[prefix.len()..].to_owned(), entry)).collect();
        }
        Ok(entries)
    }
}

/// The rest of a name below a key.
fn below<'n>(name: &'n str, key: &str) -> Option<&'n str> {
    name.strip_prefix(key)?.strip_prefix('.')
}

/// Names of the classifier's tensors.
fn classifier(graph: &Graph) -> Vec<String> {
    let name = graph.layers().pop().map(|layer| layer.name).unwrap_or_default();
    vec![format!("{name}.weight"), format!("{name}.bias")]
}

fn check<'e>(
    path: &str,
    graph: &Graph,
    wanted: &BTreeMap<String, Vec<usize>>,
    found: impl Iterator<Item = (&'e String, &'e Entry)>,
    new_classifier: bool,
) -> Result<(), WeightsError> {
    let found: BTreeMap<&String, &Entry> = found.collect();
    let missing: Vec<&str> = wanted.keys().filter(|name| !found.contains_key(name)).map(String::as_str).collect();
    let left_over: Vec<String> = found
        .keys()
        .filter(|name| !wanted.contains_key(**name))
        .map(|name| match nearest(name, missing.iter().copied()) {
            Some(near) => format!("{name} (nearest missing: {near})"),
            None => (*name).clone(),
        })
        .collect();
    let misshaped: Vec<(&String, String)> = wanted
        .iter()
        .filter_map(|(name, shape)| {
            let entry = found.get(name).filter(|entry| entry.shape != *shape)?;
            Some((name, format!("{name} is {}, the model needs {}", sizes(&entry.shape), sizes(shape))))
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
        true => "; for other classes start the classifier anew: [weights] new_classifier = true",
        false => "",
    };
    Err(WeightsError::Misfit { path: path.to_owned(), model: graph.model.clone(), faults: faults.collect(), hint })
}

fn listed(what: &str, names: &[String]) -> String {
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {what}: {}{more}", names.len(), names[..names.len().min(LISTED)].join(", "))
}

fn sizes(shape: &[usize]) -> String {
    match shape {
        [] => "a single number".to_owned(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

//! Selects the tensors of a file and removes the wrappers of frameworks from their names.

use super::WeightsError;
use std::collections::{BTreeMap, BTreeSet};

/// Usual keys of the state dict in a checkpoint.
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
/// Prefixes that module wrappers add to every name.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];
/// Suffixes of counters.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "n_averaged"];
/// Number of keys that are tried if none is given that fits.
const TRIED: usize = 100;

/// The names of one state dict's tensors without wrappers, each with its name in the file. Counters are left out.
pub(super) type Plain = BTreeMap<String, String>;

/// Shapes by name.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// The tensors under a key, or under the only one of the usual keys that exists, or all.
pub(super) fn plain(path: &str, all: &Shapes, wanted: &Shapes, key: Option<&str>) -> Result<Plain, WeightsError> {
    let under = |key: &str| all.keys().any(|name| below(name, key).is_some());
    match key {
        Some(key) if under(key) => Ok(under_key(all, Some(key))),
        Some(key) => {
            let there: BTreeSet<&str> = all.keys().map(|name| name.split('.').next().unwrap_or(name)).collect();
            let there: Vec<String> = there.into_iter().map(str::to_owned).collect();
            let hint = hint(all, wanted, &[]);
            Err(WeightsError::Key { path: path.to_owned(), key: key.to_owned(), there, hint })
        }
        // A network whose own names begin as if something was around them, such as one that is a part called "model".
        None if !wanted.is_empty() && wanted.keys().all(|name| all.contains_key(name)) => Ok(uncounted(all)),
        None => {
            let keys: Vec<&str> = KEYS.into_iter().filter(|key| under(key)).collect();
            if keys.len() > 1 {
                let keys = keys.into_iter().map(str::to_owned).collect();
                return Err(WeightsError::Several { path: path.to_owned(), keys });
            }
            Ok(under_key(all, keys.first().copied()))
        }
    }
}

fn under_key(all: &Shapes, key: Option<&str>) -> Plain {
    let inside = all.keys().filter_map(|name| match key {
        Some(key) => Some((below(name, key)?.to_owned(), name.clone())),
        None => Some((name.clone(), name.clone())),
    });
    let mut names: Plain = inside.filter(|(name, _)| !is_counter(name)).collect();
    while let Some(prefix) =
        PREFIXES.iter().find(|prefix| !names.is_empty() && names.keys().all(|name| name.starts_with(**prefix)))
    {
        names = names.into_iter().map(|(name, full)| (name[prefix.len()..].to_owned(), full)).collect();
    }
    names
}

/// All names as they are, without counters.
fn uncounted(all: &Shapes) -> Plain {
    all.keys().filter(|name| !is_counter(name)).map(|name| (name.clone(), name.clone())).collect()
}

fn is_counter(name: &str) -> bool {
    COUNTERS.contains(&name.rsplit('.').next().unwrap_or(name))
}

/// The rest of a name below a key.
fn below<'n>(name: &'n str, key: &str) -> Option<&'n str> {
    name.strip_prefix(key)?.strip_prefix('.')
}

/// The keys under which all wanted tensors are, with the right shapes, and nothing else, as a line for the config;
/// otherwise those with all tensors but the classifier's. Empty if there are none.
pub(super) fn hint(all: &Shapes, wanted: &Shapes, classifier: &[String]) -> String {
    let Some((one, _)) = wanted.iter().find(|(name, _)| !classifier.contains(name)) else { return String::new() };
    let keys: BTreeSet<&str> =
        all.keys().filter_map(|name| name.strip_suffix(one.as_str())?.strip_suffix('.')).take(TRIED).collect();
    let candidates: Vec<(&str, Plain)> = keys.into_iter().map(|key| (key, under_key(all, Some(key)))).collect();
    let fitting = |left_out: &[String]| -> Vec<String> {
        let fits = |names: &Plain| {
            names.keys().all(|name| wanted.contains_key(name) || left_out.contains(name))
                && wanted
                    .iter()
                    .filter(|(name, _)| !left_out.contains(name))
                    .all(|(name, shape)| names.get(name).is_some_and(|full| all[full] == *shape))
        };
        let fitting = candidates.iter().filter(|(_, names)| fits(names));
        fitting.map(|(key, _)| format!("key = {key:?}")).collect()
    };
    // A classifier that is initialised anew is not wanted, but may be in the file.
    let anew: Vec<String> = classifier.iter().filter(|name| !wanted.contains_key(*name)).cloned().collect();
    match (fitting(&anew), fitting(classifier)) {
        (whole, _) if !whole.is_empty() => format!("; it fits with [weights] {}", whole.join(" or ")),
        (_, part) if !part.is_empty() => {
            format!("; all but the classifier fits with [weights] {} and new_classifier = true", part.join(" or "))
        }
        _ => String::new(),
    }
}

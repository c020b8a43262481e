//! Where the results in a folder come from: whether another config, program or data set made them.

use super::{artifact, layout::within};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const VERSIONS: &str = "versions.json";

/// Config and versions of a run.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `config.toml`, every default written out.
    pub config: String,
    /// `versions.json`.
    pub versions: String,
}

impl Origin {
    /// That of the run in a folder, if there is one.
    pub fn read(folder: &Path) -> Option<Self> {
        let read = |name: &str| String::from_utf8(artifact::read(&folder.join(name)).ok()?).ok();
        Some(Self { config: read(CONFIG)?, versions: read(VERSIONS)? })
    }

    /// Whether it is the same run.
    pub fn is(&self, other: &Self) -> bool {
        self.keys() == other.keys() && self.hashes() == other.hashes()
    }

    /// How a new run differs from this one, as far as results depend on it: they do not depend on the `free` keys.
    pub fn differences(&self, new: &Self, free: &[&str]) -> Vec<String> {
        let (there, here) = (self.keys(), new.keys());
        let value = |of: &BTreeMap<String, String>, key: &String| {
            of.get(key).cloned().unwrap_or_else(|| "not given".to_owned())
        };
        let told = self.differing(new, free).into_iter();
        let mut told: Vec<String> =
            told.map(|key| format!("{key}: {} there, {} here", value(&there, &key), value(&here, &key))).collect();
        let [program, images, weights, costs] = self.hashes();
        let [new_program, new_images, new_weights, new_costs] = new.hashes();
        // Other search settings have other costs as well.
        if told.is_empty() && costs.is_some() && costs != new_costs {
            told.push("the costs: a file that they are read from has changed since".to_owned());
        }
        // Another data set has other images, which its keys already say.
        if told.is_empty() && images != new_images {
            told.push("the images: they have changed since".to_owned());
        }
        if weights != new_weights {
            told.push("the file of weights: its content has changed".to_owned());
        }
        if program != new_program {
            told.push("the program: another build of limpq".to_owned());
        }
        told
    }

    /// Whether a new run has the same program, images and weights as this one.
    pub fn has_the_data_of(&self, new: &Self) -> bool {
        self.hashes()[..3] == new.hashes()[..3]
    }

    /// The keys whose values differ and that results depend on, in order.
    pub fn differing(&self, new: &Self, free: &[&str]) -> Vec<String> {
        let (there, here) = (self.keys(), new.keys());
        let keys: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
        let differs = |key: &&String| !within(free, key) && there.get(*key) != here.get(*key);
        keys.into_iter().filter(differs).cloned().collect()
    }

    /// Values by dotted key, such as `search.alpha`.
    fn keys(&self) -> BTreeMap<String, String> {
        let mut keys = BTreeMap::new();
        match self.config.parse::<toml::Table>() {
            Ok(table) => flatten("", &table, &mut keys),
            Err(_) => drop(keys.insert(CONFIG.to_owned(), "not readable".to_owned())),
        }
        keys
    }

    /// Hashes of the program, the images, the file of weights and the costs of the search.
    fn hashes(&self) -> [Option<String>; 4] {
        let versions: Value = serde_json::from_str(&self.versions).unwrap_or_default();
        ["/program_sha256", "/images_sha256", "/weights/sha256", "/costs_sha256"]
            .map(|place| versions.pointer(place).and_then(Value::as_str).map(str::to_owned))
    }
}

fn flatten(prefix: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, keys),
            value => drop(keys.insert(format!("{prefix}{key}"), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: [&str; 3] = ["name", "checkpoints", "split.workers"];

    fn origin(config: &str, program: &str, images: &str) -> Origin {
        let versions = format!("{{\"program_sha256\": {program:?}, \"images_sha256\": {images:?}, \"threads\": 2}}");
        Origin { config: config.to_owned(), versions }
    }

    #[test]
    fn names_what_differs_with_both_values() {
        let there = origin("seed = 5\nname = 'a'\n[dataset]\nname = 'digits'\n[search]\nalpha = 2.0", "p", "i");
        let here = origin("seed = 6\nname = 'b'\n[dataset]\nname = 'idx'\nlimit = 9\n[search]\nalpha = 1.0", "p", "j");
        let expected = [
            "dataset.limit: not given there, 9 here",
            "dataset.name: \"digits\" there, \"idx\" here",
            "search.alpha: 2.0 there, 1.0 here",
            "seed: 5 there, 6 here",
        ];
        assert_eq!(there.differences(&here, &FREE), expected);
        assert!(!there.is(&here) && there.is(&there));
    }

    #[test]
    fn no_result_depends_on_the_number_of_threads_or_checkpoints() {
        let there = origin("name = 'a'\n[split]\nworkers = 2", "p", "i");
        let here = origin("name = 'b'\n[split]\nworkers = 3\n[checkpoints]\nlast = 4", "p", "i");
        assert_eq!(there.differences(&here, &FREE), [""; 0]);
        assert!(!there.is(&here));
    }

    #[test]
    fn the_same_config_may_have_another_program_or_other_images() {
        let there = origin("seed = 5", "p", "i");
        assert_eq!(there.differences(&origin("seed = 5", "q", "i"), &FREE), ["the program: another build of limpq"]);
        assert_eq!(there.differences(&origin("seed = 5", "p", "j"), &FREE), ["the images: they have changed since"]);
        let damaged = origin("seed = ", "p", "i");
        assert_eq!(damaged.differences(&there, &FREE).len(), 2, "{:?}", damaged.differences(&there, &FREE));
    }
}

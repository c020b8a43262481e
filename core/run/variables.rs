//! Settings in environment variables: `LIMPQ__SEARCH__ALPHA=1.5` is `search.alpha=1.5`.

use crate::settings::{self, Setting};
use std::ffi::OsString;

const START: &str = "LIMPQ__";

/// The top-level keys of a config.
const SECTIONS: [&str; 21] = [
    "name",
    "seed",
    "device",
    "bits",
    "dataset",
    "split",
    "model",
    "quantizer",
    "sensitivity",
    "solver",
    "weights",
    "pretrain",
    "indicators",
    "search",
    "refine",
    "finetune",
    "image_bits",
    "evaluate",
    "checkpoints",
    "stages",
    "cost",
];

/// An environment variable that looks like a setting but is not one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VariableError {
    /// One underscore in place of two.
    #[error(
        "the environment variable {name} sets nothing: each part of a key needs two underscores before it. Rename it to {right}, or unset it"
    )]
    Underscores {
        /// What it is called.
        name: String,
        /// The name that was probably meant.
        right: String,
    },
    /// A part of the key is empty.
    #[error(
        "the environment variable {0} sets nothing: a part of its key is empty; write LIMPQ__SECTION__KEY, for example \
         LIMPQ__SEARCH__ALPHA=1.5, or unset it"
    )]
    Empty(String),
    /// Not Unicode.
    #[error("the environment variable {0} cannot be read: its value is not Unicode")]
    Unicode(String),
}

/// A variable that is a setting.
#[derive(Debug, PartialEq)]
pub(super) struct Variable {
    pub name: String,
    pub value: String,
    pub setting: Setting,
}

/// The variables that are settings, by name. Ignored are those that do not start with LIMPQ, and those without a
/// section of a config in their name, such as `LIMPQ_TEST_DEVICE`.
pub(super) fn variables(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<Variable>, VariableError> {
    let mut found = vec![];
    for (name, value) in all {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        let upper = name.to_ascii_uppercase();
        let Some(key) = upper.strip_prefix(START).map(str::to_ascii_lowercase) else {
            misspelt(&name, &upper)?;
            continue;
        };
        let path: Vec<String> = key.split("__").map(str::to_owned).collect();
        if path.iter().any(|part| part.trim_matches('_').is_empty()) {
            return Err(VariableError::Empty(name));
        }
        let Ok(value) = value.into_string() else { return Err(VariableError::Unicode(name)) };
        let setting = Setting { path, value: settings::value(value.trim()) };
        found.push(Variable { name, value, setting });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Refuses names such as `LIMPQ_SEARCH_ALPHA`.
fn misspelt(name: &str, upper: &str) -> Result<(), VariableError> {
    let Some(key) = upper.strip_prefix("LIMPQ_") else { return Ok(()) };
    let (section, rest) = key.split_once('_').unwrap_or((key, ""));
    if SECTIONS.iter().all(|known| !known.eq_ignore_ascii_case(section)) {
        return Ok(());
    }
    let rest = rest.trim_matches('_');
    let right = if rest.is_empty() { format!("{START}{section}") } else { format!("{START}{section}__{rest}") };
    Err(VariableError::Underscores { name: name.to_owned(), right })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{options, run::Config};

    fn read(name: &str, value: &str) -> Result<Vec<Variable>, VariableError> {
        variables([(name.into(), value.into())].into_iter())
    }

    #[test]
    fn two_underscores_stand_for_a_dot() {
        for (name, value, setting) in [
            ("LIMPQ__SEARCH__ALPHA", " 1.5", "search.alpha=1.5"),
            ("limpq__pretrain__batch_size", "8", "pretrain.batch_size=8"),
            ("LIMPQ__BITS", "[4,2]", "bits=[4,2]"),
            ("LIMPQ__NAME", "a b", "name=a b"),
            ("LIMPQ__NO_SUCH_KEY", "1", "no_such_key=1"),
        ] {
            let read = read(name, value).unwrap();
            assert_eq!((read.len(), &read[0].setting), (1, &Setting::parse(setting).unwrap()), "{name}");
        }
    }

    #[test]
    fn one_underscore_is_refused_with_the_right_name() {
        for (name, right) in [
            ("LIMPQ_SEARCH_ALPHA", "LIMPQ__SEARCH__ALPHA"),
            ("LIMPQ_SEARCH__ALPHA", "LIMPQ__SEARCH__ALPHA"),
            ("LIMPQ_PRETRAIN_BATCH_SIZE", "LIMPQ__PRETRAIN__BATCH_SIZE"),
            ("limpq_seed", "LIMPQ__SEED"),
            ("LIMPQ_COST_SIZE", "LIMPQ__COST__SIZE"),
        ] {
            let right = right.to_owned();
            assert_eq!(read(name, "1"), Err(VariableError::Underscores { name: name.to_owned(), right }));
        }
        for name in ["LIMPQ__", "LIMPQ__SEARCH__", "LIMPQ____ALPHA"] {
            assert_eq!(read(name, "1"), Err(VariableError::Empty(name.to_owned())));
        }
    }

    #[test]
    fn what_others_use_is_left_alone() {
        let others =
            ["LIMPQ_TEST_DEVICE", "LIMPQ_REFERENCE", "LIMPQ_PYTHON", "LIMPQ_TORCH_WEIGHTS", "LIMPQ", "SEARCH_ALPHA"];
        assert!(others.iter().all(|name| read(name, "cuda:0") == Ok(vec![])));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_unicode_is_no_panic() {
        use std::os::unix::ffi::OsStringExt;
        let wild = || OsString::from_vec(vec![0xff, 0xfe]);
        assert_eq!(variables([(wild(), wild())].into_iter()), Ok(vec![]));
        let name = "LIMPQ__NAME".to_owned();
        assert_eq!(variables([(name.clone().into(), wild())].into_iter()), Err(VariableError::Unicode(name)));
    }

    #[test]
    fn the_sections_are_those_of_a_config() {
        let error = options::parse::<Config>(&"no_such_key = 1".parse().unwrap()).unwrap_err();
        let known: Vec<&str> = error.message.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, SECTIONS, "{}", error.message);
    }
}

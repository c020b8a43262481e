//! Environment variables that look like settings of this program and that a command does not read: said, never passed over.

use super::Command;
use std::ffi::OsString;

const START: &str = "LIMPQ__";

/// Those of this project's own build (`cargo run` sets them again) and tests.
const OWN: [&str; 12] = [
    "LIMPQ_BLESS",
    "LIMPQ_BURN",
    "LIMPQ_COMMIT",
    "LIMPQ_DIRTY",
    "LIMPQ_FAULTS",
    "LIMPQ_FEATURES",
    "LIMPQ_LIBTORCH",
    "LIMPQ_PYTHON",
    "LIMPQ_REFERENCE",
    "LIMPQ_RUSTC",
    "LIMPQ_TEST_DEVICE",
    "LIMPQ_TORCH_WEIGHTS",
];

impl Command {
    /// Whether it reads an experiment's config, and with it the variables that set something there.
    fn reads_variables(&self) -> bool {
        match self {
            #[cfg(feature = "train")]
            Self::Check(_) | Self::Run(_) | Self::Study(_) => true,
            _ => false,
        }
    }
}

/// A warning for each variable that the command does not read.
pub fn warnings(command: &Command, names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    let reads = command.reads_variables();
    let warning = |name: String| {
        let upper = name.to_ascii_uppercase();
        if upper.starts_with(START) {
            return (!reads).then(|| {
                format!(
                    "the environment variable {name} is not read by this command, only by `limpq run`, `check` and `study`; give \
                     the option on the command line"
                )
            });
        }
        (upper.starts_with("LIMPQ_") && !OWN.contains(&upper.as_str())).then(|| {
            format!(
                "the environment variable {name} sets nothing: those of `limpq run`, `check` and `study` begin with {START} and \
                 name a key of the config, such as LIMPQ__SEARCH__ALPHA"
            )
        })
    };
    names.into_iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn told(command: &[&str], names: &[&str]) -> Vec<String> {
        let command = super::super::Cli::try_parse_from([&["limpq"], command].concat()).unwrap().command;
        warnings(&command, names.iter().map(|name| name.into()))
    }

    #[test]
    fn what_is_not_read_is_said() {
        let all =
            ["LIMPQ__SEARCH__ALPHA", "limpq_alpha", "LIMPQ_TEST_DEVICE", "LIMPQ_COMMIT", "LIMPQ", "PATH", "LIMPQX__A"];
        let search = told(&["list"], &all);
        assert_eq!(search.len(), 2, "{search:?}");
        assert!(search[0].starts_with("the environment variable LIMPQ__SEARCH__ALPHA is not read by this command"));
        assert!(search[1].starts_with("the environment variable limpq_alpha sets nothing"), "{search:?}");
    }

    #[cfg(feature = "train")]
    #[test]
    fn what_is_read_is_not_warned_of() {
        let run = told(&["check", "config.toml"], &["LIMPQ__SEARCH__ALPHA", "LIMPQ_ALPHA"]);
        assert!(run.len() == 1 && run[0].contains("LIMPQ_ALPHA sets nothing"), "{run:?}");
    }
}

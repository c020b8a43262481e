//! The stages of a run, one file each: the built-in ones in the order of [`pipeline`], then the plugins that a config
//! asks for.

mod evaluate;
mod finetune;
mod indicators;
mod pretrain;
mod refine;
mod report;
mod search;
mod trained;

pub(super) use report::report;
pub use report::{NetworkResult, Summary};

use super::{Config, RunError, pipeline::Run};
use crate::{
    registry::{self, Entry, Kind},
    store::{Files, Layout, Leaves, artifact::Damaged},
};

crate::registry::kind!(Stage, "stage");

/// A step of a run: it reads artifacts that earlier stages have written to the run's folder, and writes artifacts. It
/// is skipped if these exist and were made from the same inputs.
///
/// A plugin registered with [`crate::plugin!`] runs after the built-in stages if a config has a section
/// `[stages.NAME]`, which holds its options:
///
/// ```
/// use limpq_core::{
///     run::{Run, RunError, Stage},
///     store::Leaves,
/// };
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Writes how many layers the search chose bits for.
/// #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct CountLayers {
///     /// What stands before the number.
///     prefix: String,
/// }
///
/// impl Stage for CountLayers {
///     fn name(&self) -> &'static str {
///         "count_layers"
///     }
///
///     fn does(&self) -> &'static str {
///         "counts the layers whose bits were searched"
///     }
///
///     fn leaves(&self) -> Leaves {
///         let (always, reads) = (vec!["layers.txt".to_owned()], vec!["policy.json".to_owned()]);
///         Leaves { always, reads, settings: vec!["stages.count_layers"], ..Leaves::default() }
///     }
///
///     fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
///         let policy = run.policy("policy.json")?;
///         let text = format!("{}{}\n", self.prefix, policy.policy.len());
///         Ok(run.folder.keep("layers.txt", key, text.as_bytes())?)
///     }
/// }
///
/// limpq_core::plugin!(limpq_core::run::Stage, "count_layers", "Counts the searched layers", CountLayers);
/// assert!(limpq_core::registry::find::<dyn Stage>("count_layers").is_ok());
/// ```
pub trait Stage: Send + Sync {
    /// Its name for users; checkpoints, metrics and plots are named after it.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn does(&self) -> &'static str;

    /// The files that it reads and writes, and the settings that it depends on.
    fn leaves(&self) -> Leaves;

    /// Whether a config asks for it.
    fn is_asked_for(&self, _config: &Config) -> bool {
        true
    }

    /// Hash of everything that its artifacts depend on; `None` if there is nothing to do. Called when everything that
    /// it reads exists. By default [`Run::key`].
    ///
    /// # Errors
    /// When what it reads cannot be used.
    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        Ok(Some(run.key(&self.leaves())))
    }

    /// Checks that existing files, in the order of [`Leaves::names`], can be output of this stage: a hash proves what
    /// was written, not by whom. By default they can.
    ///
    /// # Errors
    /// Names the file that cannot.
    fn check(&self, _run: &Run, _files: &Files) -> Result<(), Damaged> {
        Ok(())
    }

    /// Makes the artifacts and keeps them in the folder under `key`, its result last. Reports progress to the run's
    /// observer, and stops early if the run is cancelled.
    ///
    /// # Errors
    /// Whatever stops it.
    fn run(&self, run: &Run, key: &str) -> Result<(), RunError>;
}

/// All stages of a config in the order in which they run: the built-in ones, then the plugins, by name.
///
/// # Errors
/// Unknown plugins and wrong options.
pub(super) fn pipeline(config: &Config) -> Result<Vec<Box<dyn Stage>>, RunError> {
    let mut stages = built_in();
    for (name, options) in &config.stages {
        stages.push(registry::build::<dyn Stage>(name, options)?);
    }
    Ok(stages)
}

fn built_in() -> Vec<Box<dyn Stage>> {
    vec![
        Box::new(pretrain::Pretrain),
        Box::new(indicators::MeasureIndicators),
        Box::new(search::SearchPolicy),
        Box::new(refine::RefinePolicy),
        Box::new(evaluate::Evaluate),
        Box::new(finetune::FOUND),
        Box::new(finetune::REFINED),
        Box::new(finetune::UNIFORM),
    ]
}

/// Keys of the config that no result depends on.
const FREE: [&str; 4] = ["name", "checkpoints", "split.workers", "weights.path"];

/// The files that a run writes to its folder, with those of every registered stage: a folder may hold files of a stage
/// that its config no longer asks for.
pub fn layout() -> Layout {
    let default = |entry: &Entry<dyn Stage>| (entry.build)(&toml::Table::new()).ok();
    let plugins = <dyn Stage>::registered().into_iter().filter_map(default);
    Layout { stages: built_in().into_iter().chain(plugins).map(|stage| stage.leaves()).collect(), free: &FREE }
}

/// Names as owned strings.
fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// An artifact with the recorded hash whose content cannot be used.
fn damaged(name: &str, why: impl std::fmt::Display) -> Damaged {
    Damaged { path: name.to_owned(), why: why.to_string() }
}

/// An artifact called `name`, read as JSON.
fn parsed<T: serde::de::DeserializeOwned>(name: &str, file: Option<&[u8]>) -> Result<T, Damaged> {
    serde_json::from_slice(file.unwrap_or_default()).map_err(|error| damaged(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_stage_reads_what_earlier_ones_leave_and_no_two_leave_the_same() {
        let (mut there, mut stages) = (BTreeSet::new(), BTreeSet::new());
        for stage in built_in() {
            let leaves = stage.leaves();
            assert!(leaves.reads.iter().all(|name| there.contains(name)), "{}: {leaves:?}", stage.name());
            assert!(!leaves.always.is_empty() && stages.insert(stage.name()), "{}: {leaves:?}", stage.name());
            for name in leaves.names() {
                assert!(there.insert(name.to_owned()), "two stages leave {name}");
            }
        }
    }

    /// Users and other programs rely on the names of a run's files.
    #[test]
    fn the_files_of_a_run_have_the_names_that_they_always_had() {
        let mut names: Vec<String> = layout()
            .stages
            .iter()
            .flat_map(|stage| stage.names().into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        names.sort();
        let network = |name: &str| ["", ".best", ".last"].map(|which| format!("{name}{which}.safetensors"));
        let networks = ["pretrained", "finetuned", "refined", "uniform"];
        let mut known: Vec<String> = networks.iter().flat_map(|name| network(name)).collect();
        known.extend(networks.map(|name| format!("{name}.json")));
        known.extend(
            ["indicators.json", "joint.safetensors", "policy.json", "policy.yaml", "refinement.json"]
                .map(str::to_owned),
        );
        known.sort();
        assert_eq!(names, known);
    }
}

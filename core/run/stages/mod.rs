//! The stages of a run, one file each. A new stage is a file here and its line in [`pipeline`].

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
use crate::store::{Files, Layout, Leaves, artifact::Damaged};

/// A step of a run: it reads artifacts that earlier stages have left in the run's folder, and leaves artifacts. It is skipped
/// where these are there already and were made from the same inputs.
pub(super) trait Stage {
    /// What people see; checkpoints, metrics and plots go by it.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn does(&self) -> &'static str;

    /// The files that it reads and leaves, and the settings that it depends on.
    fn leaves(&self) -> Leaves;

    /// Whether a config asks for it.
    fn is_asked_for(&self, _config: &Config) -> bool {
        true
    }

    /// Hash of everything that its artifacts depend on, as [`super::record::inputs`] makes it; `None` if there is nothing to do.
    /// What it reads is there.
    ///
    /// # Errors
    /// When what it reads cannot be used.
    fn key(&self, run: &Run) -> Result<Option<String>, RunError>;

    /// Whether files that are there, in the order of [`Leaves::names`], can be what this stage left: a hash says that they were
    /// written, not by whom.
    ///
    /// # Errors
    /// Names the one that cannot.
    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged>;

    /// Makes the artifacts and keeps them in the folder under `key`, the result last. Tells the run's observer how far it is, and
    /// ends early if the run is cancelled.
    ///
    /// # Errors
    /// Whatever stops it.
    fn run(&self, run: &Run, key: &str) -> Result<(), RunError>;
}

/// All stages in the order in which they run.
pub(super) fn pipeline() -> Vec<Box<dyn Stage>> {
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

/// What a run leaves in its folder.
pub fn layout() -> Layout {
    Layout { stages: pipeline().iter().map(|stage| stage.leaves()).collect(), free: &FREE }
}

/// Names that own their text.
fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// An artifact that is what was written, and yet of no use.
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
        for stage in pipeline() {
            let leaves = stage.leaves();
            assert!(leaves.reads.iter().all(|name| there.contains(name)), "{}: {leaves:?}", stage.name());
            assert!(!leaves.always.is_empty() && stages.insert(stage.name()), "{}: {leaves:?}", stage.name());
            for name in leaves.names() {
                assert!(there.insert(name.to_owned()), "two stages leave {name}");
            }
        }
    }

    /// What users and other programs know: the names of a run's files.
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

//! Hints on the command line: errors of the libraries say what to change, and this says which option changes it.

use super::Command;
use limpq_core::store::artifact::WriteError;
use limpq_core::{
    graph::GraphError,
    ops::OpError,
    search::{FrontError, IndicatorsError, PolicyError, Reach, SearchError, SolverError},
    settings::UnreadableSetting,
};
#[cfg(feature = "train")]
use limpq_core::{
    run::{ConfigError, RunError},
    store::{FolderError, artifact::Damaged},
    train::TrainError,
};
use std::error::Error;

const SET: &str = "--set takes KEY=VALUE, for example --set search.alpha=1.5";

/// A hint on the option that helps against an error, from the first of its causes that has one.
pub fn hint(command: &Command, error: &anyhow::Error) -> Option<String> {
    let place = match command {
        #[cfg(feature = "train")]
        Command::Study(_) => "--dir",
        _ => "--out",
    };
    error.chain().find_map(|cause| of(cause, place))
}

fn of(error: &(dyn Error + 'static), place: &str) -> Option<String> {
    #[cfg(feature = "train")]
    if let Some(found) = of_run(error, place) {
        return Some(found);
    }
    if error.is::<UnreadableSetting>() {
        return Some(SET.to_owned());
    }
    if error.is::<WriteError>() {
        return Some(elsewhere(place));
    }
    if let Some(GraphError::Operator { error: OpError::ImageTooSmall(_), .. }) = error.downcast_ref() {
        return Some("--input gives the size of the images".to_owned());
    }
    if let Some(PolicyError::NeedsModel { .. }) = error.downcast_ref() {
        return Some("--model names the model; --input, --classes and --set give the rest".to_owned());
    }
    if let Some(FrontError::AllOfTwo) = error.downcast_ref() {
        return Some("--points gives their number".to_owned());
    }
    if let Some(FrontError::Axes { .. }) = error.downcast_ref() {
        return Some("--budget takes a limit or a range".to_owned());
    }
    match error.downcast_ref().or_else(|| match error.downcast_ref()? {
        FrontError::Search(error) => Some(error),
        _ => None,
    }) {
        Some(error) => of_search(error),
        None => error.downcast_ref().and_then(of_indicators),
    }
}

fn of_search(error: &SearchError) -> Option<String> {
    match error {
        SearchError::Indicators(error) => of_indicators(error),
        SearchError::Infeasible(why) if why.budgets.iter().any(|budget| budget.reach == Reach::Never) => {
            Some("--bits gives the candidate bit-widths, --budget the limits".to_owned())
        }
        SearchError::Solver(SolverError::NothingFound { option, .. }) => {
            Some(format!("--set {option}=VALUE raises it"))
        }
        _ => None,
    }
}

fn of_indicators(error: &IndicatorsError) -> Option<String> {
    match error {
        IndicatorsError::WrongModel { found, .. } => Some(format!("--model {found}")),
        IndicatorsError::Bits { .. } => Some("--bits gives the candidate bit-widths".to_owned()),
        _ => None,
    }
}

fn elsewhere(place: &str) -> String {
    format!("{place} gives the place")
}

/// Hints for errors of a run, whose settings are in its config.
#[cfg(feature = "train")]
fn of_run(error: &(dyn Error + 'static), place: &str) -> Option<String> {
    let damaged = || Some("--replace makes damaged results again".to_owned());
    if let Some(ConfigError::Set(_)) = error.downcast_ref() {
        return Some(SET.to_owned());
    }
    match error.downcast_ref::<RunError>()? {
        RunError::Folder(FolderError::Changed { .. }) => {
            Some(format!("{place} gives another folder, --replace replaces the results"))
        }
        RunError::Folder(FolderError::Gone(_)) => None,
        RunError::Folder(_) | RunError::Write(_) | RunError::Train(TrainError::Write(_)) => Some(elsewhere(place)),
        RunError::Damaged(Damaged { .. }) | RunError::Train(TrainError::Damaged(_)) => damaged(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(error: impl Error + Send + Sync + 'static) -> Option<String> {
        of(anyhow::Error::new(error).context("while searching").chain().nth(1).unwrap(), "--out")
    }

    #[test]
    fn the_option_is_named_wherever_the_error_lies() {
        let nothing = || SolverError::NothingFound { limit: "the time limit".into(), option: "solver.time_limit_s" };
        let front = FrontError::Search(SearchError::Solver(nothing()));
        assert_eq!(hinted(front).as_deref(), Some("--set solver.time_limit_s=VALUE raises it"));
        let wrong = IndicatorsError::WrongModel { found: "resnet18".into(), wanted: "resnet20".into() };
        assert_eq!(hinted(SearchError::Indicators(wrong)).as_deref(), Some("--model resnet18"));
        assert_eq!(hinted(SearchError::Alpha(-1.0)), None);
    }

    #[cfg(feature = "train")]
    #[test]
    fn a_folder_of_another_run_may_be_left_alone_or_replaced() {
        let changed = FolderError::Changed { path: "a".into(), differences: "seed".into(), replaced: String::new() };
        let hint = hinted(RunError::Folder(changed)).unwrap();
        assert_eq!(hint, "--out gives another folder, --replace replaces the results");
        assert_eq!(hinted(RunError::Folder(FolderError::Busy("a".into()))).as_deref(), Some("--out gives the place"));
    }
}

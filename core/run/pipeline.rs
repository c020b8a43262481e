//! A run as a list of stages, executed in order. A stage is skipped if its artifacts exist and were made from the same
//! inputs.

use super::{
    Config, RunError, Setup,
    checkpoint_store::CheckpointStore,
    record::{inputs, json},
    stages::{Stage, Summary, layout, pipeline, report},
};
use crate::{
    search::{Indicators, Instance, Policy, Search},
    store::{Folder, FolderError, Leaves},
    train::{CancelToken, Nowhere, Progress, State, TrainContext},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where a run keeps its files.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Folders of other runs. Artifacts there that were made from the same inputs are copied.
    pub others: &'a [PathBuf],
    /// Whether results in the folder that belong to another run, or are damaged, are replaced.
    pub replace: bool,
}

/// Runs every stage of a config in a folder; finished stages whose inputs have not changed are taken from it.
///
/// # Errors
/// A folder with results of another run; the first stage that fails. What was finished before stays.
pub fn run(config: &Config, out: &Path, progress: &dyn Progress) -> Result<Summary, RunError> {
    run_in(config, Place { folder: out, others: &[], replace: false }, progress, &CancelToken::default())
}

/// As [`run`], with more control over the folder, and with cancellation.
///
/// # Errors
/// As [`run`]; [`TrainError::Interrupted`](crate::train::TrainError::Interrupted) and
/// [`TrainError::InterruptedMeasuring`](crate::train::TrainError::InterruptedMeasuring).
pub fn run_in(
    config: &Config,
    place: Place,
    progress: &dyn Progress,
    cancel: &CancelToken,
) -> Result<Summary, RunError> {
    let folder = Folder::open(place.folder, layout())?.beside(place.others);
    let setup = Setup::new(config, progress)?;
    let folder = folder.begin(setup.origin()?, place.replace)?;
    let run = Run::new(&setup, &folder, progress, Some(cancel));
    for stage in pipeline(config)?.iter().filter(|stage| stage.is_asked_for(config)) {
        run.go(stage.as_ref())?;
    }
    let summary = report(&run)?;
    folder.finish(&json(&summary))?;
    Ok(summary)
}

/// A stage of a config, and whether it has to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// What people see.
    pub name: String,
    /// What it does, in words.
    pub does: &'static str,
    /// The files that it reads.
    pub reads: Vec<String>,
    /// The files that it always leaves, its result first.
    pub leaves: Vec<String>,
    /// Whether it has to be run.
    pub state: StageState,
}

/// Whether a stage has to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageState {
    /// What it leaves is there, made from the same inputs.
    Done,
    /// It will be run.
    ToRun,
    /// The config asks for none, or there is nothing to do.
    NotAskedFor,
    /// What it has left cannot be used, and why.
    Damaged(String),
}

/// All stages in order, with their state in a folder, which may be missing. Nothing is changed there.
///
/// # Errors
/// A damaged record, files in the folder that no run wrote.
pub fn report_stages(setup: &Setup, folder: &Path) -> Result<Vec<StageReport>, RunError> {
    let folder = Folder::look(folder, layout())?;
    let run = Run::new(setup, &folder, &(), None);
    let mut to_run: Vec<String> = vec![];
    let mut state = |stage: &dyn Stage| -> Result<StageState, RunError> {
        let leaves = stage.leaves();
        if !stage.is_asked_for(setup.config) {
            return Ok(StageState::NotAskedFor);
        }
        let waits = leaves.reads.iter().any(|name| to_run.contains(name));
        let state = match if waits { Ok(Found::Not) } else { run.find(stage) } {
            Ok(Found::All) => return Ok(StageState::Done),
            Ok(Found::NothingToDo) => return Ok(StageState::NotAskedFor),
            Ok(Found::Not | Found::Key(_)) => StageState::ToRun,
            Err(RunError::Damaged(damaged)) => StageState::Damaged(damaged.to_string()),
            Err(error) => return Err(error),
        };
        to_run.extend(leaves.names().into_iter().map(str::to_owned));
        Ok(state)
    };
    let stages = pipeline(setup.config)?.into_iter().map(|stage| {
        let leaves = stage.leaves();
        let (name, does, state) = (stage.name().to_owned(), stage.does(), state(stage.as_ref())?);
        Ok(StageReport { name, does, reads: leaves.reads, leaves: leaves.always, state })
    });
    stages.collect()
}

/// What a folder holds of a stage.
enum Found {
    /// All artifacts.
    All,
    /// Not all of them; the hash of the stage's inputs.
    Key(String),
    /// Not known yet.
    Not,
    /// The config leaves the stage nothing to do.
    NothingToDo,
}

/// A run in progress: what its stages work with.
pub struct Run<'a> {
    /// The config with everything that it names read and built.
    pub setup: &'a Setup<'a>,
    /// The config.
    pub config: &'a Config,
    /// Where artifacts are kept.
    pub folder: &'a Folder,
    /// Data, devices, seed, observer, cancellation.
    pub train: TrainContext<'a>,
    /// The artifacts that are there, with the hash of what each was made from.
    made: RefCell<BTreeMap<String, String>>,
}

impl<'a> Run<'a> {
    fn new(
        setup: &'a Setup<'a>,
        folder: &'a Folder,
        progress: &'a dyn Progress,
        cancel: Option<&'a CancelToken>,
    ) -> Self {
        let train = TrainContext {
            data: &setup.data,
            device: &setup.devices[0],
            others: &setup.devices[1..],
            seed: setup.config.seed,
            workers: setup.config.split.workers(),
            progress,
            cancel,
            checkpoints: &Nowhere,
        };
        Self { setup, config: setup.config, folder, train, made: RefCell::default() }
    }

    /// Runs a stage unless its artifacts exist.
    fn go(&self, stage: &dyn Stage) -> Result<(), RunError> {
        if let Found::Key(key) = self.find(stage)? {
            stage.run(self, &key)?;
            self.note(stage, &key);
        }
        Ok(())
    }

    fn find(&self, stage: &dyn Stage) -> Result<Found, RunError> {
        let Some(key) = stage.key(self)? else { return Ok(Found::NothingToDo) };
        let leaves = stage.leaves();
        let there =
            self.folder.stage(&leaves.names(), leaves.always.len(), &key, |files| stage.check(self, files))?.is_some();
        if !there {
            return Ok(Found::Key(key));
        }
        self.note(stage, &key);
        Ok(Found::All)
    }

    fn note(&self, stage: &dyn Stage, key: &str) {
        let leaves = stage.leaves();
        let there = leaves.names().into_iter().filter(|name| self.folder.made_from(name, key));
        self.made.borrow_mut().extend(there.map(|name| (name.to_owned(), key.to_owned())));
    }

    /// The default of [`Stage::key`]: a hash of the program, the data, the seed and the model, of the content of the files
    /// that a stage reads, and of the settings that it depends on.
    pub fn key(&self, leaves: &Leaves) -> String {
        let config = toml::Value::try_from(self.config).expect("a config is plain data");
        let at = |path: &&str| path.split('.').try_fold(&config, |table, key| table.get(key)).cloned();
        let settings: Vec<Option<toml::Value>> = leaves.settings.iter().map(at).collect();
        let reads: Vec<String> = leaves.reads.iter().map(|name| self.content_of(name)).collect();
        inputs(&[&self.setup.basis, &reads, &settings])
    }

    /// Whether an earlier stage has written a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.made.borrow().contains_key(name)
    }

    /// Hash of the inputs of an artifact of an earlier stage.
    pub fn inputs_of(&self, name: &str) -> String {
        self.made.borrow().get(name).cloned().unwrap_or_default()
    }

    /// Hash of the content of such an artifact; empty if there is none.
    pub fn content_of(&self, name: &str) -> String {
        self.folder.content(name, &self.inputs_of(name)).unwrap_or_default()
    }

    /// Reads such an artifact.
    ///
    /// # Errors
    /// When it is damaged, or was removed in the meantime.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, RunError> {
        let gone = || FolderError::Gone(self.folder.path().join(name).display().to_string());
        Ok(self.folder.find(name, &self.inputs_of(name))?.ok_or_else(gone)?)
    }

    /// Reads a network that an earlier stage has written.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn network(&self, name: &str) -> Result<State, RunError> {
        Ok(State::from_bytes(&self.read(name)?, name)?)
    }

    /// Reads a policy that an earlier stage has written.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn policy(&self, name: &str) -> Result<Policy, RunError> {
        Ok(Policy::from_bytes(&self.read(name)?, name, Some(&self.setup.graph))?)
    }

    /// Reads the indicators that an earlier stage has written. They are always read back from the file, so that a
    /// resumed run computes with the same values.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn indicators(&self) -> Result<Indicators, RunError> {
        Ok(Indicators::from_bytes(&self.read("indicators.json")?)?)
    }

    /// Calls `work` with the search and its integer program.
    ///
    /// # Errors
    /// Those of `work`; indicators that do not fit the network.
    pub(super) fn searching<R>(
        &self,
        work: impl FnOnce(&Search, &Instance) -> Result<R, RunError>,
    ) -> Result<R, RunError> {
        let indicators = self.indicators()?;
        let search = self.setup.search(&indicators);
        work(&search, &search.instance()?)
    }

    /// The checkpoints of the stage whose inputs have this hash.
    pub(super) fn checkpoints<'s>(&'s self, key: &'s str) -> CheckpointStore<'s> {
        let options = &self.config.checkpoints;
        CheckpointStore { folder: self.folder, inputs: key, options, progress: self.train.progress }
    }
}

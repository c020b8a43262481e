//! The store of checkpoints in a run's folder: one file per checkpoint, named after stage and step.

use crate::{
    store::{
        CHECKPOINTS, Folder,
        artifact::{Damaged, WriteError},
        checkpoint, checkpoints,
    },
    train::{Checkpoint, Checkpoints, Progress},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a stage saves checkpoints, besides the end of each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointOptions {
    /// Number of steps between checkpoints; 0 saves at the end of each epoch only.
    pub every_steps: usize,
    /// Number of checkpoints to keep per stage. An earlier one is used if the latest is damaged.
    pub last: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { every_steps: 1000, last: 2 }
    }
}

/// The checkpoints of the stage whose inputs have this hash.
pub(super) struct CheckpointStore<'a> {
    pub folder: &'a Folder,
    pub inputs: &'a str,
    pub options: &'a CheckpointOptions,
    /// Told about checkpoints that exist but are not used.
    pub progress: &'a dyn Progress,
}

impl CheckpointStore<'_> {
    /// Names of a stage's checkpoints, earliest first.
    fn names(&self, label: &str) -> Vec<String> {
        self.folder.names(&checkpoints(label))
    }

    /// Removes all checkpoints made from these inputs, whatever their names.
    pub fn clear_all(&self) -> Result<(), WriteError> {
        let mut names = self.folder.names(CHECKPOINTS);
        names.retain(|name| self.folder.made_from(name, self.inputs));
        self.folder.remove(&names)
    }

    /// Removes the checkpoints of a stage, once its result is kept.
    pub fn clear(&self, label: &str) -> Result<(), WriteError> {
        self.folder.remove(&self.names(label))
    }

    /// Files that look like checkpoints of a stage but are not on record: copied from elsewhere, or written just before
    /// the program was killed.
    fn strangers(&self, label: &str) -> Vec<String> {
        let known = self.names(label);
        let files = std::fs::read_dir(self.folder.path().join(CHECKPOINTS)).into_iter().flatten().flatten();
        let names = files.map(|file| format!("{CHECKPOINTS}{}", file.file_name().to_string_lossy()));
        names.filter(|name| name.starts_with(&checkpoints(label)) && !known.contains(name)).collect()
    }
}

impl Checkpoints for CheckpointStore<'_> {
    fn latest(&self, label: &str) -> Result<Option<Checkpoint>, Damaged> {
        let mut damaged: Vec<Damaged> = vec![];
        for name in self.names(label).into_iter().rev() {
            let found = match self.folder.find(&name, self.inputs) {
                Ok(None) => continue,
                Ok(Some(bytes)) => Checkpoint::from_bytes(&bytes, &name)
                    .map_err(|error| Damaged { path: name.clone(), why: error.to_string() }),
                Err(error) => Err(error),
            };
            match found {
                Ok(checkpoint) => {
                    for Damaged { path, why } in damaged {
                        self.progress.remark(&format!(
                            "{path} is not used: {why}; the earlier checkpoint {name} is used instead"
                        ));
                    }
                    return Ok(Some(checkpoint));
                }
                Err(error) => damaged.push(error),
            }
        }
        let paths: Vec<String> = damaged.iter().map(|damaged| damaged.path.clone()).collect();
        match damaged.pop() {
            Some(Damaged { why, .. }) => Err(Damaged { path: paths.join(" and "), why }),
            None => {
                for name in self.strangers(label) {
                    self.progress.remark(&format!("{name} is not on this run's record and is not used"));
                }
                Ok(None)
            }
        }
    }

    fn keep(&self, label: &str, kept: &Checkpoint) -> Result<(), WriteError> {
        let name = checkpoint(label, kept.step);
        self.folder.keep(&name, self.inputs, &kept.to_bytes())?;
        let mut names = self.names(label);
        // Checkpoints of other inputs are removed; a run that returns to those inputs trains again.
        let (mut same, other): (Vec<_>, Vec<_>) =
            names.drain(..).partition(|name| self.folder.made_from(name, self.inputs));
        same.truncate(same.len().saturating_sub(self.options.last.max(1)));
        self.folder.remove(&[other, same].concat())
    }

    fn due(&self, step: usize) -> bool {
        self.options.every_steps > 0 && step.is_multiple_of(self.options.every_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::Layout, train::State};

    #[test]
    fn keeps_the_last_ones_of_each_stage() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path(), Layout::default()).unwrap();
        let options = CheckpointOptions { every_steps: 3, last: 2 };
        let store = CheckpointStore { folder: &folder, inputs: "inputs", options: &options, progress: &() };
        let checkpoint = |step| Checkpoint { step, state: State::default(), optimizer: vec![], best: None };
        for step in [3, 6, 9, 12] {
            store.keep("pretrain", &checkpoint(step)).unwrap();
            store.keep("fine-tune found", &checkpoint(step + 1)).unwrap();
        }
        let steps = ["pretrain-0000000009", "pretrain-0000000012"];
        assert_eq!(store.names("pretrain"), steps.map(|step| format!("checkpoints/{step}.safetensors")));
        let files = std::fs::read_dir(home.path().join(CHECKPOINTS)).unwrap().count();
        assert_eq!((files, store.names("fine-tune found").len()), (4, 2));
        assert_eq!(store.latest("pretrain").unwrap().unwrap().step, 12);
        let other = CheckpointStore { inputs: "other inputs", ..store };
        assert_eq!(other.latest("pretrain"), Ok(None));
        other.keep("pretrain", &checkpoint(1)).unwrap();
        assert_eq!(other.names("pretrain").len(), 1, "those from other inputs are removed");
    }
}

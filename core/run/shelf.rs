//! Checkpoints in a run's folder: one file for each, known by stage and step.

use super::Folder;
use crate::{
    artifact::WriteError,
    train::{Checkpoint, Checkpoints},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a stage saves where it is, beside the end of each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointOptions {
    /// After every so many steps; 0 is at the end of each epoch only.
    pub every_steps: usize,
    /// How many of a stage are kept. An earlier one serves if the latest is damaged.
    pub last: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { every_steps: 1000, last: 2 }
    }
}

/// The checkpoints of the stage whose inputs have this hash.
pub(super) struct Shelf<'a> {
    pub folder: &'a Folder,
    pub inputs: &'a str,
    pub options: &'a CheckpointOptions,
}

impl Shelf<'_> {
    /// Names of a stage's checkpoints, earliest first.
    fn names(&self, label: &str) -> Vec<String> {
        self.folder.names(&prefix(label))
    }

    /// Removes all that were made from these inputs, whatever they are called.
    pub fn clear_all(&self) -> Result<(), WriteError> {
        let names = self.folder.names("checkpoints/");
        let own = names.iter().filter(|name| self.folder.made_from(name, self.inputs));
        self.folder.remove(&own.map(String::as_str).collect::<Vec<_>>())
    }

    /// Removes those of a stage, when its result is kept.
    pub fn clear(&self, label: &str) -> Result<(), WriteError> {
        let names = self.names(label);
        self.folder.remove(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl Checkpoints for Shelf<'_> {
    fn latest(&self, label: &str) -> Option<Checkpoint> {
        let names = self.names(label).into_iter().rev();
        names
            .filter_map(|name| Some((self.folder.find(&name, self.inputs)?, name)))
            .find_map(|(bytes, name)| Checkpoint::from_bytes(&bytes, &name).ok())
    }

    fn keep(&self, label: &str, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        let name = format!("{}{:010}.safetensors", prefix(label), checkpoint.step);
        self.folder.keep(&name, self.inputs, &checkpoint.to_bytes())?;
        let mut names = self.names(label);
        // What was made from other inputs is of no use to anybody; a run that goes back to them trains again.
        let (same, other): (Vec<_>, Vec<_>) =
            names.drain(..).partition(|name| self.folder.made_from(name, self.inputs));
        let old = same.len().saturating_sub(self.options.last.max(1));
        let spare: Vec<&str> = other.iter().chain(&same[..old]).map(String::as_str).collect();
        self.folder.remove(&spare)
    }

    fn due(&self, step: usize) -> bool {
        self.options.every_steps > 0 && step.is_multiple_of(self.options.every_steps)
    }
}

fn prefix(label: &str) -> String {
    format!("checkpoints/{}-", label.replace(' ', "-"))
}

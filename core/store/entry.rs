//! Where an artifact lies in a run's folder.
//!
//! Anybody may have written or damaged a record, and its entries are read, moved and removed. So its names are checked
//! once, when it is read: names of another form are refused, so that none leads out of the folder. Which names stages
//! use is up to [`super::Layout`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the checkpoints of unfinished stages lie.
pub(crate) const CHECKPOINTS: &str = "checkpoints/";
/// Where results wait until all of them exist, if another run's results are in their places.
pub(super) const NEXT: &str = "next/";

/// An artifact's path relative to the folder: `[next/]NAME` or `[next/]checkpoints/STAGE-STEP.safetensors`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Entry(String);

impl Entry {
    /// An artifact of this program; `place` is "" or [`NEXT`].
    pub fn new(place: &str, name: &str) -> Self {
        Self::try_from(format!("{place}{name}")).expect("stages name their artifacts so")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its name, whether it waits in [`NEXT`] or not.
    pub fn name(&self) -> &str {
        self.0.strip_prefix(NEXT).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Entry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix(NEXT).unwrap_or(&text);
        let known = match name.strip_prefix(CHECKPOINTS) {
            Some(checkpoint) => is_checkpoint(checkpoint),
            None => is_plain(name),
        };
        if known { Ok(Self(text)) } else { Err(no_artifact(&text)) }
    }
}

/// The error for a name that no run gives.
pub(super) fn no_artifact(name: &str) -> String {
    format!("{name:?} is not a name that a run gives to an artifact")
}

impl From<Entry> for String {
    fn from(entry: Entry) -> Self {
        entry.0
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a name can be that of a stage's result: a plain file name, not hidden.
fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    plain && !name.is_empty() && !name.starts_with('.')
}

/// Whether a name is that of a checkpoint.
pub(super) fn is_checkpoint(name: &str) -> bool {
    let stage_and_step = name.strip_suffix(".safetensors").and_then(|stem| stem.rsplit_once('-'));
    stage_and_step.is_some_and(|(stage, step)| {
        !stage.is_empty() && stage == plain(stage) && step.len() >= 10 && step.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The name of a stage's checkpoint after a number of steps.
pub(crate) fn checkpoint(label: &str, step: usize) -> String {
    format!("{}{step:010}.safetensors", checkpoints(label))
}

/// The common prefix of the names of a stage's checkpoints.
pub(crate) fn checkpoints(label: &str) -> String {
    format!("{CHECKPOINTS}{}-", plain(label))
}

/// A stage's label as part of a file's name.
fn plain(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stages_keep_has_a_name() {
        for name in ["pretrained.best.safetensors", "next/joint.safetensors", "uniform.json", "next/policy.yaml"] {
            assert_eq!(Entry::try_from(name.to_owned()).unwrap().as_str(), name);
        }
        let name = checkpoint("repeat 1 of indicators", 30);
        assert_eq!(name, "checkpoints/repeat-1-of-indicators-0000000030.safetensors");
        assert_eq!(Entry::new(NEXT, &name).as_str(), format!("next/{name}"));
        assert_eq!(Entry::new("", &checkpoint("../x/Ä", 1)).as_str(), "checkpoints/---x---0000000001.safetensors");
    }

    #[test]
    fn nothing_else_gets_onto_a_record() {
        for name in [
            "",
            "../victim",
            "/etc/passwd",
            "next/../../victim",
            "next/next/joint.safetensors",
            "next//joint.safetensors",
            "./joint.safetensors",
            "checkpoints/../joint.safetensors",
            "checkpoints/../x-0000000001.safetensors",
            "checkpoints/-0000000001.safetensors",
            "checkpoints/pretrain-1.safetensors",
            "checkpoints/pretrain-0000000001",
            "joint.safetensors/",
            "joint.safetensors\0",
            "..\\victim",
            ".lock",
        ] {
            let error = Entry::try_from(name.to_owned()).unwrap_err();
            assert!(error.contains("is not a name that a run gives to an artifact"), "{name}: {error}");
            assert!(serde_json::from_value::<Entry>(name.into()).is_err());
        }
    }
}

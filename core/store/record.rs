//! `artifacts.json`: the artifacts in a run's folder and the hashes of their inputs.

use super::{
    FolderError, Layout,
    artifact::{self, Damaged, WriteError},
    entry::{Entry, no_artifact},
    hash,
};
use crate::input;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::Path,
};

/// Version of the layout. The first one only had the artifacts; it is read too.
pub(super) const RECORD_SCHEMA: u32 = 2;
pub(super) const RECORD: &str = "artifacts.json";

/// One artifact on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    /// Hash of all its inputs.
    pub inputs: String,
    /// Hash of the file.
    pub content: String,
}

/// An artifact that is about to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Writing {
    pub entry: Entry,
    #[serde(flatten)]
    pub made: Made,
}

/// All artifacts, by path in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    schema: u32,
    /// Hashes of `config.toml` as runs wrote it, to detect later edits.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub configs: BTreeSet<String>,
    /// Recorded before an artifact is written, so that a file is on record even if the run is killed in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writing: Option<Writing>,
    pub artifacts: BTreeMap<Entry, Made>,
}

/// The contents of a stage's artifacts, in the order in which they were requested; `None` if one does not exist.
pub type Files = Vec<Option<Vec<u8>>>;

impl Record {
    /// The record of a folder; empty if it has none.
    pub fn read(folder: &Path, layout: &Layout) -> Result<Self, FolderError> {
        let file = folder.join(RECORD);
        let shown = file.display().to_string();
        let wrong = |why: String| FolderError::Record { path: shown.clone(), why };
        let bytes = match artifact::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (configs, artifacts) = (BTreeSet::new(), BTreeMap::new());
                return Ok(Self { schema: RECORD_SCHEMA, configs, writing: None, artifacts });
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        // Some editors put a byte order mark at the start of a file.
        let bytes = input::unmarked(&bytes);
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !(1..=RECORD_SCHEMA).contains(&version.schema) {
            return Err(FolderError::Schema { path: shown, found: version.schema });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let entries = record.artifacts.keys().chain(record.writing.iter().map(|writing| &writing.entry));
        if let Some(unknown) = entries.into_iter().find(|entry| !layout.knows(entry)) {
            return Err(wrong(no_artifact(unknown.as_str())));
        }
        Ok(Self { schema: RECORD_SCHEMA, ..record })
    }

    /// Writes it into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        artifact::write_json(&folder.join(RECORD), self)
    }

    /// Records the file that was being written when the run was killed, if it exists.
    pub fn adopt(&mut self, folder: &Path) {
        let Some(Writing { entry, made }) = self.writing.take() else { return };
        if artifact::read(&folder.join(entry.as_str())).is_ok_and(|bytes| hash::of_bytes(&bytes) == made.content) {
            self.artifacts.insert(entry, made);
        }
    }

    /// The artifacts of a stage that were made from these inputs, if the first `always` of them exist, and every other
    /// one that is recorded with them: if one is gone, the stage must run again.
    pub fn find_all(
        &self,
        folder: &Path,
        places: &[&str],
        names: &[&str],
        always: usize,
        inputs: &str,
    ) -> Result<Option<Files>, Damaged> {
        let mut files = vec![];
        for (index, name) in names.iter().enumerate() {
            let of = |place: &&str| self.artifacts.get(&Entry::new(place, name));
            let on_record = places.iter().filter_map(of).any(|made| made.inputs == inputs);
            let file = self.find(folder, places, name, inputs)?;
            if file.is_none() && (index < always || on_record) {
                return Ok(None);
            }
            files.push(file);
        }
        Ok(Some(files))
    }

    /// An artifact that was made from these inputs. It is not damaged if it is gone, or was made from others.
    pub fn find(&self, folder: &Path, places: &[&str], name: &str, inputs: &str) -> Result<Option<Vec<u8>>, Damaged> {
        for place in places {
            let entry = Entry::new(place, name);
            let Some(made) = self.artifacts.get(&entry).filter(|made| made.inputs == inputs) else { continue };
            let path = folder.join(entry.as_str());
            let read = match artifact::read(&path) {
                // A run that was killed while it moved its results may have moved this one already.
                Err(error) if error.kind() == ErrorKind::NotFound => match artifact::read(&folder.join(name)) {
                    Ok(bytes) if hash::of_bytes(&bytes) == made.content => return Ok(Some(bytes)),
                    _ => continue,
                },
                read => read,
            };
            let why = match read {
                Ok(bytes) if hash::of_bytes(&bytes) == made.content => return Ok(Some(bytes)),
                Ok(_) => "it is not what this run wrote there, but damaged or from another run".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(Damaged { path: path.display().to_string(), why });
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Leaves, *};

    fn layout() -> Layout {
        let always = ["indicators.json", "joint.safetensors"].map(str::to_owned).to_vec();
        Layout { stages: vec![Leaves { always, ..Leaves::default() }], free: &[] }
    }

    fn read(text: &str) -> Result<Record, String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(RECORD), text).unwrap();
        Record::read(home.path(), &layout()).map_err(|error| error.to_string())
    }

    #[test]
    fn says_that_it_is_damaged() {
        for text in ["{", "", "[]", r#"{"schema": 2}"#, r#"{"schema": 2, "artifacts": {"joint.safetensors": 3}}"#] {
            let error = read(text).unwrap_err();
            assert!(error.contains("artifacts.json is damaged"), "{text}: {error}");
        }
    }

    /// A record decides which files are read, moved and removed.
    #[test]
    fn has_no_names_that_lead_out_of_the_folder() {
        let made = r#"{"inputs": "i", "content": "c"}"#;
        for name in [
            "notes.json",
            "config.toml",
            "versions.json",
            "../victim",
            "/etc/passwd",
            "next/../../victim",
            "checkpoints/../../x-0000000001.safetensors",
        ] {
            let error = read(&format!(r#"{{"schema": 2, "artifacts": {{{name:?}: {made}}}}}"#)).unwrap_err();
            assert!(error.contains("artifacts.json is damaged") && error.contains(name), "{error}");
            let writing = format!(r#"{{"entry": {name:?}, "inputs": "i", "content": "c"}}"#);
            let error = read(&format!(r#"{{"schema": 2, "writing": {writing}, "artifacts": {{}}}}"#)).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn an_earlier_layout_is_read_and_a_later_one_refused_with_what_to_do() {
        let made = Made { inputs: "i".into(), content: "c".into() };
        let old = read(r#"{"schema": 1, "artifacts": {"indicators.json": {"inputs": "i", "content": "c"}}}"#).unwrap();
        assert_eq!((old.schema, &old.artifacts[&Entry::new("", "indicators.json")]), (RECORD_SCHEMA, &made));
        assert!(read("\u{feff}{\"schema\": 1, \"artifacts\": {}}").unwrap().artifacts.is_empty());
        let error = read(r#"{"schema": 3, "artifacts": [], "more": 1}"#).unwrap_err();
        assert!(error.contains("was written with layout 3, this program uses 2; start in another folder"), "{error}");
    }
}

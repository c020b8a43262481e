//! `artifacts.json`: which artifacts a run's folder holds, and what each was made from.

use super::FolderError;
use crate::{
    artifact::{self, Damaged, WriteError},
    hash, input,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::ErrorKind, path::Path};

pub(super) const RECORD_SCHEMA: u32 = 1;
const RECORD: &str = "artifacts.json";

/// One artifact on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    /// Hash of everything that went in.
    pub inputs: String,
    /// Hash of the file.
    pub content: String,
}

/// All of them, by place in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    schema: u32,
    pub artifacts: BTreeMap<String, Made>,
}

impl Record {
    /// That of a folder; empty if it has none.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let file = folder.join(RECORD);
        let shown = file.display().to_string();
        let wrong = |why: String| FolderError::Record { path: shown.clone(), why };
        let record = match std::fs::read(&file) {
            Ok(bytes) => {
                serde_json::from_slice::<Self>(input::unmarked(&bytes)).map_err(|error| wrong(error.to_string()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Self { schema: RECORD_SCHEMA, artifacts: BTreeMap::new() }
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        match record.schema {
            RECORD_SCHEMA => Ok(record),
            found => Err(FolderError::Schema { path: shown, found }),
        }
    }

    /// Writes it into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        artifact::write_json(&folder.join(RECORD), self)
    }

    /// An artifact that was made from these inputs. That it is gone, or was made from others, is no damage.
    pub fn find(&self, folder: &Path, places: &[&str], name: &str, inputs: &str) -> Result<Option<Vec<u8>>, Damaged> {
        for place in places {
            let entry = format!("{place}{name}");
            let Some(made) = self.artifacts.get(&entry).filter(|made| made.inputs == inputs) else { continue };
            let path = folder.join(&entry);
            let read = match std::fs::read(&path) {
                // A run that was killed while it put its results in their places may have moved it already.
                Err(error) if error.kind() == ErrorKind::NotFound => match std::fs::read(folder.join(name)) {
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
    use super::*;

    #[test]
    fn says_that_it_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(RECORD), "{").unwrap();
        let error = Record::read(home.path()).unwrap_err().to_string();
        assert!(error.contains("artifacts.json is damaged"), "{error}");
        // Some editors put a byte order mark before what they save.
        std::fs::write(home.path().join(RECORD), "\u{feff}{\"schema\": 1, \"artifacts\": {}}").unwrap();
        assert!(Record::read(home.path()).unwrap().artifacts.is_empty());
    }
}

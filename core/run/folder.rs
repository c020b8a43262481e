//! A run's folder. Every artifact is kept with the hash of what went into it, so that a stage is skipped exactly when its
//! result is there and its inputs have not changed.

use crate::{
    artifact::{self, WriteError},
    hash,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The record of what is in the folder cannot be read.
    #[error("{path} is damaged: {why}. Remove the folder, or start in another one with --out")]
    Record {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Another run has it.
    #[error("another run is at work in {0}. Wait for it, or start in another folder with --out")]
    Busy(String),
    /// An artifact that was made by another version of the layout.
    #[error(
        "{path} was written with layout {found}, this program uses {RECORD_SCHEMA}; start in another folder with --out"
    )]
    Schema {
        /// The file.
        path: String,
        /// The layout's version.
        found: u32,
    },
}

const RECORD_SCHEMA: u32 = 1;
const RECORD: &str = "artifacts.json";
const LOCK: &str = ".lock";

/// One artifact on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    /// Hash of everything that went in.
    inputs: String,
    /// Hash of the file.
    content: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u32,
    artifacts: BTreeMap<String, Made>,
}

impl Record {
    fn read(folder: &Path) -> Result<Self, FolderError> {
        let file = folder.join(RECORD);
        let shown = file.display().to_string();
        let wrong = |why: String| FolderError::Record { path: shown.clone(), why };
        let record = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Self { schema: RECORD_SCHEMA, artifacts: BTreeMap::new() }
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        match record.schema {
            RECORD_SCHEMA => Ok(record),
            found => Err(FolderError::Schema { path: shown, found }),
        }
    }

    fn find(&self, folder: &Path, name: &str, inputs: &str) -> Option<Vec<u8>> {
        let made = self.artifacts.get(name).filter(|made| made.inputs == inputs)?;
        let bytes = std::fs::read(folder.join(name)).ok()?;
        (hash::of_bytes(&bytes) == made.content).then_some(bytes)
    }
}

/// An open run folder. Nobody else can open it meanwhile.
pub struct Folder {
    path: PathBuf,
    record: RefCell<Record>,
    /// Folders of other runs, which artifacts may be copied from.
    others: Vec<PathBuf>,
    /// Held until the folder is dropped; the system lets go of it when the program dies, however it dies.
    _lock: File,
}

impl Folder {
    /// Opens a folder, new or of an earlier run.
    ///
    /// # Errors
    /// A damaged or foreign record, a folder that cannot be written to, another run that is at work in it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let lock = lock(path)?;
        let record = RefCell::new(Record::read(path)?);
        Ok(Self { path: path.to_owned(), record, others: vec![], _lock: lock })
    }

    /// Looks for artifacts in the folders of other runs too. Inputs of equal hash give equal artifacts, so one that is there
    /// need not be made again; it is copied, and this folder still holds everything.
    pub fn beside(mut self, others: &[PathBuf]) -> Self {
        self.others = others.to_vec();
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An artifact's bytes, if it is there, unharmed, and made from these inputs; here or beside.
    pub fn find(&self, name: &str, inputs: &str) -> Option<Vec<u8>> {
        let own = self.record.borrow().find(&self.path, name, inputs);
        own.or_else(|| {
            let found = |other: &PathBuf| Record::read(other).ok()?.find(other, name, inputs);
            let bytes = self.others.iter().find_map(found)?;
            // One that cannot be copied is made anew; that will say what is wrong with the folder.
            self.keep(name, inputs, &bytes).is_ok().then_some(bytes)
        })
    }

    /// Writes an artifact, then puts it on record.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to.
    pub fn keep(&self, name: &str, inputs: &str, bytes: &[u8]) -> Result<(), WriteError> {
        artifact::write(&self.path.join(name), bytes)?;
        let made = Made { inputs: inputs.to_owned(), content: hash::of_bytes(bytes) };
        self.record.borrow_mut().artifacts.insert(name.to_owned(), made);
        artifact::write_json(&self.path.join(RECORD), &*self.record.borrow())?;
        Ok(())
    }

    /// Removes results that are about to be made anew, so that the folder never shows those of another config.
    ///
    /// # Errors
    /// When a file is there and cannot be removed.
    pub fn remove(&self, names: &[&str]) -> Result<(), WriteError> {
        for name in names {
            let path = self.path.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(WriteError { path: path.display().to_string(), error }),
            }
            self.record.borrow_mut().artifacts.remove(*name);
        }
        Ok(())
    }

    /// Whether an artifact on record was made from these inputs.
    pub fn made_from(&self, name: &str, inputs: &str) -> bool {
        self.record.borrow().artifacts.get(name).is_some_and(|made| made.inputs == inputs)
    }

    /// Names on record that start so.
    pub fn names(&self, start: &str) -> Vec<String> {
        self.record.borrow().artifacts.keys().filter(|name| name.starts_with(start)).cloned().collect()
    }

    /// Writes a file that no stage reads again.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        artifact::write(&self.path.join(name), bytes)
    }
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let file = path.join(LOCK);
    let made = std::fs::create_dir_all(path).and_then(|()| File::create(&file));
    let made = made.map_err(|error| WriteError { path: file.display().to_string(), error })?;
    match made.try_lock() {
        Ok(()) => Ok(made),
        Err(TryLockError::WouldBlock) => Err(FolderError::Busy(path.display().to_string())),
        // Some network file systems know no locks; a run there must be trusted to be the only one.
        Err(TryLockError::Error(_)) => Ok(made),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_kept_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        folder.keep("a.json", "inputs", b"{}").unwrap();
        let busy = Folder::open(home.path()).err().unwrap().to_string();
        assert!(busy.starts_with("another run is at work in "), "{busy}");
        drop(folder);
        let folder = Folder::open(home.path()).unwrap();
        assert_eq!(folder.find("a.json", "inputs").as_deref(), Some(&b"{}"[..]));
        assert_eq!(folder.find("a.json", "other inputs"), None);
        std::fs::write(home.path().join("a.json"), "{ }").unwrap();
        assert_eq!(folder.find("a.json", "inputs"), None, "a changed file is not what was kept");
    }

    #[test]
    fn copies_what_another_folder_has_from_the_same_inputs() {
        let home = tempfile::tempdir().unwrap();
        let (a, b) = (home.path().join("a"), home.path().join("b"));
        Folder::open(&a).unwrap().keep("x.json", "inputs", b"{}").unwrap();
        assert_eq!(Folder::open(&b).unwrap().find("x.json", "inputs"), None);
        let nowhere = home.path().join("nowhere");
        let beside = Folder::open(&b).unwrap().beside(&[nowhere, a.clone()]);
        assert_eq!(beside.find("x.json", "other inputs"), None);
        std::fs::write(a.join("x.json"), "[]").unwrap();
        assert_eq!(beside.find("x.json", "inputs"), None, "a changed file is not what was kept");
        std::fs::write(a.join("x.json"), "{}").unwrap();
        assert_eq!(beside.find("x.json", "inputs").as_deref(), Some(&b"{}"[..]));
        drop(beside);
        assert_eq!(Folder::open(&b).unwrap().find("x.json", "inputs").as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn says_that_its_record_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(RECORD), "{").unwrap();
        let error = Folder::open(home.path()).err().unwrap().to_string();
        assert!(error.contains("artifacts.json is damaged"), "{error}");
    }
}

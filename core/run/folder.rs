//! A run's folder. Every artifact is kept with the hash of what went into it, so that a stage is skipped exactly when its
//! result is there and its inputs have not changed.
//!
//! Results of another run are not touched until all those of this one are there. So the folder never mixes two runs, and a
//! run that fails leaves what was there before.

use super::{
    artifacts::{Made, RECORD_SCHEMA, Record},
    origin::{CONFIG, Origin, VERSIONS},
};
use crate::{
    artifact::{self, Damaged, WriteError},
    hash,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It holds what was trained in another way.
    #[error(
        "{path} holds results of a run that differs from this one:\n  {differences}\nStart in another folder with --out, or give \
         --replace: what still fits is kept, the rest made anew, and earlier results stay until the new ones are all there"
    )]
    Changed {
        /// The folder.
        path: String,
        /// What differs, line by line.
        differences: String,
    },
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

const LOCK: &str = ".lock";
const SUMMARY: &str = "summary.json";
/// Where the checkpoints of unfinished stages lie.
pub(super) const CHECKPOINTS: &str = "checkpoints/";
/// Where results wait until all of them are there, if another run's are in their places.
const NEXT: &str = "next/";

/// An open run folder. Nobody else can open it meanwhile.
pub struct Folder {
    path: PathBuf,
    record: RefCell<Record>,
    /// Folders of other runs, which artifacts may be copied from.
    others: Vec<PathBuf>,
    /// What the run is made from, once it has begun.
    origin: Option<Origin>,
    /// Whether another run's results are here. They stay, and those of this run wait, until all are there.
    waits: bool,
    /// Whether what is damaged is made anew.
    replace: bool,
    /// Artifacts that the run found or made, with their inputs.
    used: RefCell<BTreeMap<String, String>>,
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
        tidy(path);
        Ok(Self {
            path: path.to_owned(),
            record: RefCell::new(Record::read(path)?),
            others: vec![],
            origin: None,
            waits: false,
            replace: false,
            used: RefCell::default(),
            _lock: lock,
        })
    }

    /// Looks for artifacts in the folders of other runs too. Inputs of equal hash give equal artifacts, so one that is there
    /// need not be made again; it is copied, and this folder still holds everything.
    pub fn beside(mut self, others: &[PathBuf]) -> Self {
        self.others = others.to_vec();
        self
    }

    /// Begins a run, or goes on with it. If another run's results are here they stay until [`Self::finish`], and what is new
    /// waits in `next/`. With `replace` they may differ in more than the search, and what is damaged is made anew.
    ///
    /// # Errors
    /// Results that were trained in another way; a folder that cannot be written to. Nothing is changed then.
    pub(super) fn begin(mut self, origin: Origin, replace: bool) -> Result<Self, FolderError> {
        let occupied = !self.record.borrow().artifacts.is_empty() || self.path.join(SUMMARY).exists();
        let (here, waiting) = (Origin::read(&self.path), Origin::read(&self.path.join(NEXT)));
        let same = |other: &Option<Origin>| other.as_ref().is_some_and(|other| other.is(&origin));
        self.waits = occupied && (same(&waiting) || !same(&here));
        if self.waits && !replace {
            let missing = || vec![format!("{CONFIG} or {VERSIONS}: missing there")];
            let differences = here.map_or_else(missing, |here| here.differences(&origin));
            let goes_on = waiting.is_some_and(|waiting| waiting.differences(&origin).is_empty());
            if !(goes_on || differences.is_empty()) {
                let (path, differences) = (self.path.display().to_string(), differences.join("\n  "));
                return Err(FolderError::Changed { path, differences });
            }
        }
        self.replace = replace;
        // The config last: without it nothing has begun.
        self.write(VERSIONS, origin.versions.as_bytes())?;
        self.write(CONFIG, origin.config.as_bytes())?;
        self.origin = Some(origin);
        Ok(self)
    }

    /// All results are there. They take the places of another run's, of which nothing is left: its summary goes first, and
    /// that of this run comes last, so that a summary never stands beside results of another run. `files` are those that no
    /// stage reads again.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to. The same run puts the rest in place when it is started again.
    pub(super) fn finish(self, files: &[(&str, &[u8])], summary: &[u8]) -> Result<(), WriteError> {
        if self.waits {
            self.erase(SUMMARY)?;
            let used = self.used.borrow();
            for (name, inputs) in used.iter() {
                let waiting = format!("{NEXT}{name}");
                let Some(made) = self.made(&waiting, inputs) else { continue };
                match std::fs::rename(self.path.join(&waiting), self.path.join(name)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.error(name, error)),
                    _ => {}
                }
                self.record.borrow_mut().artifacts.remove(&waiting);
                self.record.borrow_mut().artifacts.insert(name.clone(), made);
                self.write_record()?;
            }
            let all: Vec<String> = self.record.borrow().artifacts.keys().cloned().collect();
            for entry in all {
                if used.get(&entry).and_then(|inputs| self.made(&entry, inputs)).is_none() {
                    self.erase(&entry)?;
                    self.record.borrow_mut().artifacts.remove(&entry);
                }
            }
        }
        // A run that was killed between keeping a result and clearing up after it has left some.
        self.remove(&self.names(CHECKPOINTS))?;
        self.write_record()?;
        for (name, bytes) in files {
            artifact::write(&self.path.join(name), bytes)?;
        }
        if let (true, Some(origin)) = (self.waits, &self.origin) {
            artifact::write(&self.path.join(VERSIONS), origin.versions.as_bytes())?;
            artifact::write(&self.path.join(CONFIG), origin.config.as_bytes())?;
        }
        artifact::write(&self.path.join(SUMMARY), summary)?;
        if self.waits {
            for name in files.iter().map(|(name, _)| *name).chain([CONFIG, VERSIONS]) {
                self.erase(&format!("{NEXT}{name}"))?;
            }
            for emptied in [format!("{NEXT}{CHECKPOINTS}").as_str(), NEXT] {
                // What somebody else has put there stays.
                let _ = std::fs::remove_dir(self.path.join(emptied));
            }
        }
        Ok(())
    }

    /// Where artifacts may be, the newest first.
    fn places(&self) -> &'static [&'static str] {
        if self.waits { &[NEXT, ""] } else { &[""] }
    }

    /// Where this run writes.
    fn place(&self, name: &str) -> String {
        format!("{}{name}", self.places()[0])
    }

    fn error(&self, name: &str, error: std::io::Error) -> WriteError {
        WriteError { path: self.path.join(name).display().to_string(), error }
    }

    /// The record of a file, if it was made from these inputs.
    fn made(&self, entry: &str, inputs: &str) -> Option<Made> {
        self.record.borrow().artifacts.get(entry).filter(|made| made.inputs == inputs).cloned()
    }

    fn write_record(&self) -> Result<(), WriteError> {
        self.record.borrow().write(&self.path)
    }

    fn erase(&self, file: &str) -> Result<(), WriteError> {
        match std::fs::remove_file(self.path.join(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.error(file, error)),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An artifact's bytes, if it is there and made from these inputs; here or beside.
    ///
    /// # Errors
    /// One that is damaged, unless the run replaces it.
    pub fn find(&self, name: &str, inputs: &str) -> Result<Option<Vec<u8>>, Damaged> {
        let own = match self.record.borrow().find(&self.path, self.places(), name, inputs) {
            Err(_) if self.replace => None,
            own => own?,
        };
        let found = own.or_else(|| {
            // What is damaged there is that run's concern.
            let found = |other: &PathBuf| Record::read(other).ok()?.find(other, &[NEXT, ""], name, inputs).ok()?;
            let bytes = self.others.iter().find_map(found)?;
            // One that cannot be copied is made anew; that will say what is wrong with the folder.
            self.keep(name, inputs, &bytes).is_ok().then_some(bytes)
        });
        if found.is_some() {
            self.used.borrow_mut().insert(name.to_owned(), inputs.to_owned());
        }
        Ok(found)
    }

    /// Writes an artifact, then puts it on record.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to.
    pub fn keep(&self, name: &str, inputs: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let place = self.place(name);
        artifact::write(&self.path.join(&place), bytes)?;
        let made = Made { inputs: inputs.to_owned(), content: hash::of_bytes(bytes) };
        self.record.borrow_mut().artifacts.insert(place, made);
        self.used.borrow_mut().insert(name.to_owned(), inputs.to_owned());
        self.write_record()
    }

    /// Removes what this run does not need any more. What another run has left stays until all results are there.
    ///
    /// # Errors
    /// When a file is there and cannot be removed.
    pub fn remove(&self, names: &[String]) -> Result<(), WriteError> {
        for name in names {
            let place = self.place(name);
            self.erase(&place)?;
            self.record.borrow_mut().artifacts.remove(&place);
            self.used.borrow_mut().remove(name);
        }
        Ok(())
    }

    /// Whether an artifact on record was made from these inputs.
    pub fn made_from(&self, name: &str, inputs: &str) -> bool {
        self.places().iter().any(|place| self.made(&format!("{place}{name}"), inputs).is_some())
    }

    /// Names on record that start so, in order.
    pub fn names(&self, start: &str) -> Vec<String> {
        let record = self.record.borrow();
        let named = |place: &&str| -> Vec<String> {
            let names = record.artifacts.keys().filter_map(|entry| entry.strip_prefix(*place));
            names.filter(|name| name.starts_with(start)).map(str::to_owned).collect()
        };
        let names: BTreeSet<String> = self.places().iter().flat_map(named).collect();
        names.into_iter().collect()
    }

    /// Writes a file that no stage reads again.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        artifact::write(&self.path.join(self.place(name)), bytes)
    }
}

/// Removes half-written files of runs that were killed; nobody else is at work here.
fn tidy(path: &Path) {
    for folder in ["", CHECKPOINTS, NEXT, &format!("{NEXT}{CHECKPOINTS}")] {
        for file in std::fs::read_dir(path.join(folder)).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(artifact::TEMPORARY) {
                let _ = std::fs::remove_file(file.path());
            }
        }
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
mod tests;

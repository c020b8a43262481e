//! A run's folder. Every artifact is kept with the hash of its inputs, so that a stage is skipped exactly if its result
//! exists and its inputs have not changed.
//!
//! Results of another run are not touched until all results of this one exist. So the folder never mixes two runs, and
//! a run that fails leaves the earlier results unchanged.

mod error;
mod guard;

pub use error::FolderError;

use super::{
    Files, Layout,
    artifact::{self, Damaged, WriteError},
    entry::{CHECKPOINTS, Entry, NEXT},
    hash,
    origin::{CONFIG, Origin, VERSIONS},
    record::{Made, Record, Writing},
};
use guard::Lock;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::{Path, PathBuf},
};

const SUMMARY: &str = "summary.json";

/// An open run folder, locked against other processes.
pub struct Folder {
    path: PathBuf,
    layout: Layout,
    record: RefCell<Record>,
    /// Folders of other runs, from which artifacts may be copied.
    others: Vec<PathBuf>,
    /// Config and versions of the run, once it has begun.
    origin: Option<Origin>,
    /// Whether another run's results are here. They stay, and the results of this run wait in `next/`, until all exist.
    waits: bool,
    /// Whether damaged artifacts are made again.
    replace: bool,
    /// Artifacts that the run found or made, with the hash of their inputs.
    used: RefCell<BTreeMap<String, String>>,
    /// Held until the folder is dropped; the system releases it when the program dies, however it dies. `None` for a
    /// folder that is only looked at, which is never written to.
    lock: Option<Lock>,
}

impl Folder {
    /// Opens a folder, new or of an earlier run, and cleans up after runs that were killed.
    ///
    /// # Errors
    /// A damaged or foreign record; foreign files, or links, where a run writes its own; a folder that cannot be
    /// written to; another run in progress in it.
    pub fn open(path: &Path, layout: Layout) -> Result<Self, FolderError> {
        guard::check(path, &layout)?;
        let lock = Lock::take(path)?;
        let mut record = Record::read(path, &layout)?;
        record.adopt(path);
        guard::tidy(path, &record);
        Ok(Self::new(path, layout, record, Some(lock)))
    }

    /// Looks into a folder, which may be missing, without changing anything, even while a run is in progress there.
    ///
    /// # Errors
    /// A damaged or foreign record; foreign files, or links, where a run writes its own.
    pub fn look(path: &Path, layout: Layout) -> Result<Self, FolderError> {
        guard::check(path, &layout)?;
        let mut record = Record::read(path, &layout)?;
        record.adopt(path);
        // Waiting results may belong to the run that asks, too.
        Ok(Self { waits: true, ..Self::new(path, layout, record, None) })
    }

    fn new(path: &Path, layout: Layout, record: Record, lock: Option<Lock>) -> Self {
        Self {
            path: path.to_owned(),
            layout,
            record: RefCell::new(record),
            others: vec![],
            origin: None,
            waits: false,
            replace: false,
            used: RefCell::default(),
            lock,
        }
    }

    /// Also looks for artifacts in the folders of other runs. Equal hashes of inputs mean equal artifacts, so one that
    /// exists there need not be made again; it is copied, so that this folder still holds everything.
    pub fn beside(mut self, others: &[PathBuf]) -> Self {
        self.others = others.to_vec();
        self
    }

    /// Begins a run, or resumes it. If another run's results are here they stay until [`Self::finish`], and new results
    /// wait in `next/`. `replace` allows results of another run and makes damaged ones again.
    ///
    /// # Errors
    /// Results of another run; a config that was edited here; a folder that cannot be written to. Then nothing is
    /// changed.
    pub(crate) fn begin(mut self, origin: Origin, replace: bool) -> Result<Self, FolderError> {
        let occupied = !self.record.borrow().artifacts.is_empty() || self.path.join(SUMMARY).exists();
        let (here, waiting) = (Origin::read(&self.path), Origin::read(&self.path.join(NEXT)));
        for (place, there) in [("", &here), (NEXT, &waiting)] {
            let configs = &self.record.borrow().configs;
            let known = |there: &Origin| configs.is_empty() || configs.contains(&config_hash(there));
            if there.as_ref().is_some_and(|there| !known(there)) {
                let path = self.path.join(place).join(CONFIG).display().to_string();
                return Err(FolderError::Edited(path));
            }
        }
        let same = |other: &Option<Origin>| other.as_ref().is_some_and(|other| other.is(&origin));
        self.waits = occupied && (same(&waiting) || !same(&here));
        if self.waits && !replace {
            let free = self.layout.free;
            let missing = || vec![format!("{CONFIG} or {VERSIONS}: missing there")];
            let differences = here.as_ref().map_or_else(missing, |here| here.differences(&origin, free));
            let goes_on = waiting.as_ref().is_some_and(|waiting| waiting.differences(&origin, free).is_empty());
            if !(goes_on || differences.is_empty()) {
                let replaced = here.as_ref().map_or_else(String::new, |here| self.replaced(here, &origin));
                let (path, differences) = (self.path.display().to_string(), differences.join("\n  "));
                return Err(FolderError::Changed { path, differences, replaced });
            }
        }
        self.replace = replace;
        // The config last: without it the run has not begun. The record first: it says to which run these files belong.
        let there = here.iter().chain(&waiting).chain([&origin]).map(config_hash);
        self.record.borrow_mut().configs.extend(there);
        self.write_record()?;
        self.write(VERSIONS, origin.versions.as_bytes())?;
        self.write(CONFIG, origin.config.as_bytes())?;
        self.origin = Some(origin);
        Ok(self)
    }

    /// Which results of an earlier run a new one would replace, in words; empty if none would stay.
    fn replaced(&self, here: &Origin, new: &Origin) -> String {
        let Some(depending) = self.layout.depending_on(&here.differing(new, self.layout.free)) else {
            return String::new();
        };
        let record = self.record.borrow();
        let names = record.artifacts.keys().map(Entry::as_str).filter(|name| self.layout.is_result(name));
        let (found, stays): (Vec<&str>, Vec<&str>) = names.partition(|name| depending.contains(name));
        match here.has_the_data_of(new) && !found.is_empty() && !stays.is_empty() {
            true => format!(" (to be replaced: {})", found.join(", ")),
            false => String::new(),
        }
    }

    /// Ends a run: all results exist. They replace those of another run: its summary is removed first, and the summary
    /// of this run is written last, so that a summary never stands next to results of another run.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to, results that somebody has removed in the meantime. Started
    /// again, the same run puts the rest in place.
    pub(crate) fn finish(self, summary: &[u8]) -> Result<(), FolderError> {
        self.still_here(SUMMARY)?;
        if self.waits {
            self.put_in_place()?;
        }
        // Left by a run that was killed between keeping a result and removing its checkpoints.
        self.remove(&self.names(CHECKPOINTS))?;
        let gone = |name: &&String| !self.path.join(name).is_file();
        if let Some(gone) = self.used.borrow().keys().find(gone) {
            return Err(FolderError::Gone(self.path.join(gone).display().to_string()));
        }
        if let Some(origin) = self.origin.as_ref().filter(|_| self.waits) {
            artifact::write(&self.path.join(VERSIONS), origin.versions.as_bytes())?;
            artifact::write(&self.path.join(CONFIG), origin.config.as_bytes())?;
        }
        artifact::write(&self.path.join(SUMMARY), summary)?;
        if self.waits {
            // The config first: without it nothing waits there, and the rest is removed at the next start.
            for name in [CONFIG, VERSIONS] {
                self.erase(&format!("{NEXT}{name}"))?;
            }
            guard::remove_if_empty(&self.path, &[&format!("{NEXT}{CHECKPOINTS}"), NEXT]);
        }
        self.forget_configs();
        self.write_record()?;
        Ok(self.still_here(SUMMARY)?)
    }

    /// Moves waiting results to their places, and removes those of another run.
    fn put_in_place(&self) -> Result<(), WriteError> {
        self.erase(SUMMARY)?;
        let used = self.used.borrow();
        for (name, inputs) in used.iter() {
            let waiting = Entry::new(NEXT, name);
            let Some(made) = self.made(&waiting, inputs) else { continue };
            match std::fs::rename(self.path.join(waiting.as_str()), self.path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.error(name, error)),
                _ => {}
            }
            self.record.borrow_mut().artifacts.remove(&waiting);
            self.record.borrow_mut().artifacts.insert(Entry::new("", name), made);
            self.write_record()?;
        }
        let all: Vec<Entry> = self.record.borrow().artifacts.keys().cloned().collect();
        for entry in all {
            if used.get(entry.as_str()).and_then(|inputs| self.made(&entry, inputs)).is_none() {
                self.erase(entry.as_str())?;
                self.record.borrow_mut().artifacts.remove(&entry);
            }
        }
        self.write_record()
    }

    /// Removes from the record the configs that no longer exist.
    fn forget_configs(&self) {
        let there = [self.path.clone(), self.path.join(NEXT)].map(|place| Origin::read(&place));
        self.record.borrow_mut().configs = there.iter().flatten().map(config_hash).collect();
    }

    /// The places of artifacts, the newest first.
    fn places(&self) -> &'static [&'static str] {
        if self.waits { &[NEXT, ""] } else { &[""] }
    }

    fn error(&self, name: &str, error: std::io::Error) -> WriteError {
        WriteError { path: self.path.join(name).display().to_string(), error }
    }

    /// Checks that the folder is still where it was when it was opened. What is written after it was moved would be
    /// lost.
    fn still_here(&self, name: &str) -> Result<(), WriteError> {
        let only_looked = || std::io::Error::new(ErrorKind::PermissionDenied, "the folder was opened to look into it");
        let held = self.lock.as_ref().ok_or_else(only_looked).and_then(Lock::holds);
        held.map_err(|error| self.error(name, error))
    }

    /// The record of a file, if it was made from these inputs.
    fn made(&self, entry: &Entry, inputs: &str) -> Option<Made> {
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

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An artifact's bytes, if it exists here or in another run's folder and was made from these inputs.
    ///
    /// # Errors
    /// One that is damaged, unless the run replaces it.
    pub fn find(&self, name: &str, inputs: &str) -> Result<Option<Vec<u8>>, Damaged> {
        let bytes = |files: &Files| Ok(files[0].clone());
        Ok(self.stage(&[name], 1, inputs, bytes)?.flatten())
    }

    /// A stage's artifacts, if they exist here or in another run's folder and were made from these inputs. The first is
    /// the stage's result, which is kept last; the first `always` must exist, and each of the others if it was kept
    /// with them. If one is gone, the stage must run again. `read` parses them, and names the one that cannot be used.
    /// # Errors
    /// One that is damaged, unless the run replaces it.
    pub(crate) fn stage<T>(
        &self,
        names: &[&str],
        always: usize,
        inputs: &str,
        read: impl Fn(&Files) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        let own = self.record.borrow().find_all(&self.path, self.places(), names, always, inputs);
        let read_here = |files: Files| {
            let found = read(&files).map_err(|damaged| self.located(damaged, inputs))?;
            let there = names.iter().zip(&files).filter(|(_, file)| file.is_some());
            self.used.borrow_mut().extend(there.map(|(name, _)| ((*name).to_owned(), inputs.to_owned())));
            Ok(found)
        };
        match own.and_then(|files| files.map(read_here).transpose()) {
            Ok(Some(found)) => return Ok(Some(found)),
            Err(damaged) if !self.replace => return Err(damaged),
            _ => {}
        }
        // A damaged artifact there concerns only that run. One that cannot be copied is made again; that will report
        // what is wrong with the folder.
        let beside = |other: &PathBuf| {
            let files =
                Record::read(other, &self.layout).ok()?.find_all(other, &[NEXT, ""], names, always, inputs).ok()??;
            let found = read(&files).ok()?;
            let there = names.iter().zip(&files).rev().filter_map(|(name, file)| Some((name, file.as_ref()?)));
            let mut copied = there.map(|(name, bytes)| self.keep(name, inputs, bytes));
            copied.all(|copied| copied.is_ok()).then_some(found)
        };
        Ok(self.others.iter().find_map(beside))
    }

    /// The same error with the path of the artifact.
    fn located(&self, damaged: Damaged, inputs: &str) -> Damaged {
        let here = |place: &&&str| self.made(&Entry::new(place, &damaged.path), inputs).is_some();
        let place = self.places().iter().find(here).copied().unwrap_or_default();
        Damaged { path: self.path.join(place).join(&damaged.path).display().to_string(), ..damaged }
    }

    /// Writes an artifact and records it.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to.
    pub fn keep(&self, name: &str, inputs: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.still_here(name)?;
        let entry = Entry::new(self.places()[0], name);
        let made = Made { inputs: inputs.to_owned(), content: hash::of_bytes(bytes) };
        self.record.borrow_mut().writing = Some(Writing { entry: entry.clone(), made: made.clone() });
        self.write_record()?;
        artifact::write(&self.path.join(entry.as_str()), bytes)?;
        let mut record = self.record.borrow_mut();
        record.writing = None;
        record.artifacts.insert(entry, made);
        drop(record);
        self.used.borrow_mut().insert(name.to_owned(), inputs.to_owned());
        self.write_record()
    }

    /// Removes artifacts that this run no longer needs. Those of another run stay until all results exist.
    ///
    /// # Errors
    /// When a file exists and cannot be removed.
    pub fn remove(&self, names: &[String]) -> Result<(), WriteError> {
        for name in names {
            let entry = Entry::new(self.places()[0], name);
            self.erase(entry.as_str())?;
            self.record.borrow_mut().artifacts.remove(&entry);
            self.used.borrow_mut().remove(name);
        }
        Ok(())
    }

    /// Whether a recorded artifact was made from these inputs.
    pub fn made_from(&self, name: &str, inputs: &str) -> bool {
        self.places().iter().any(|place| self.made(&Entry::new(place, name), inputs).is_some())
    }

    /// Hash of an artifact's content, if it is recorded and was made from these inputs.
    pub fn content(&self, name: &str, inputs: &str) -> Option<String> {
        let made = |place: &&str| self.made(&Entry::new(place, name), inputs);
        Some(self.places().iter().find_map(made)?.content)
    }

    /// Recorded names with this prefix, in order.
    pub fn names(&self, start: &str) -> Vec<String> {
        let record = self.record.borrow();
        let named = |place: &&str| -> Vec<String> {
            let names = record.artifacts.keys().filter_map(|entry| entry.as_str().strip_prefix(*place));
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
        self.still_here(name)?;
        artifact::write(&self.path.join(self.places()[0]).join(name), bytes)
    }
}

fn config_hash(origin: &Origin) -> String {
    hash::of_bytes(origin.config.as_bytes())
}

#[cfg(test)]
mod tests;

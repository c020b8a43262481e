//! A run's folder. Every artifact is kept with the hash of what went into it, so that a stage is skipped exactly when its
//! result is there and its inputs have not changed.
//!
//! Results of another run are not touched until all those of this one are there. So the folder never mixes two runs, and a
//! run that fails leaves what was there before.

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

/// An open run folder. Nobody else can open it meanwhile.
pub struct Folder {
    path: PathBuf,
    layout: Layout,
    record: RefCell<Record>,
    /// Folders of other runs, which artifacts may be copied from.
    others: Vec<PathBuf>,
    /// What the run is made from, once it has begun.
    origin: Option<Origin>,
    /// Whether another run's results are here. They stay, and those of this run wait, until all are there.
    waits: bool,
    /// Whether what is damaged is made again.
    replace: bool,
    /// Artifacts that the run found or made, with their inputs.
    used: RefCell<BTreeMap<String, String>>,
    /// Held until the folder is dropped; the system lets go of it when the program dies, however it dies. Whoever only looks
    /// into a folder has none, and writes nothing.
    lock: Option<Lock>,
}

impl Folder {
    /// Opens a folder, new or of an earlier run. What a run that was killed left half done is cleared away.
    ///
    /// # Errors
    /// A damaged or foreign record; files of somebody else, or links, where a run writes its own; a folder that cannot be
    /// written to; another run that is at work in it.
    pub fn open(path: &Path, layout: Layout) -> Result<Self, FolderError> {
        guard::check(path, &layout)?;
        let lock = Lock::take(path)?;
        let mut record = Record::read(path, &layout)?;
        record.adopt(path);
        guard::tidy(path, &record);
        Ok(Self::new(path, layout, record, Some(lock)))
    }

    /// Looks into a folder, which may be missing, without changing anything, even while a run is at work in it.
    ///
    /// # Errors
    /// A damaged or foreign record; files of somebody else, or links, where a run writes its own.
    pub fn look(path: &Path, layout: Layout) -> Result<Self, FolderError> {
        guard::check(path, &layout)?;
        let mut record = Record::read(path, &layout)?;
        record.adopt(path);
        // What waits there may be of the run that asks, too.
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

    /// Looks for artifacts in the folders of other runs too. Inputs of equal hash give equal artifacts, so one that is there
    /// need not be made again; it is copied, and this folder still holds everything.
    pub fn beside(mut self, others: &[PathBuf]) -> Self {
        self.others = others.to_vec();
        self
    }

    /// Begins a run, or goes on with it. If another run's results are here they stay until [`Self::finish`], and what is new
    /// waits in `next/`. With `replace` they may be of another run, and what is damaged is made again.
    ///
    /// # Errors
    /// Results of another run; a config that was edited here; a folder that cannot be written to. Nothing is changed then.
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
        // The config last: without it nothing has begun. The record first: it says whose files these are.
        let there = here.iter().chain(&waiting).chain([&origin]).map(config_hash);
        self.record.borrow_mut().configs.extend(there);
        self.write_record()?;
        self.write(VERSIONS, origin.versions.as_bytes())?;
        self.write(CONFIG, origin.config.as_bytes())?;
        self.origin = Some(origin);
        Ok(self)
    }

    /// What a new run would replace of an earlier one's, in words; empty when nothing would stay.
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

    /// All results are there. They take the places of another run's, of which nothing is left: its summary goes first, and
    /// that of this run comes last, so that a summary never stands beside results of another run.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to, results that somebody has removed meanwhile. The same run puts the
    /// rest in place when it is started again.
    pub(crate) fn finish(self, summary: &[u8]) -> Result<(), FolderError> {
        self.still_here(SUMMARY)?;
        if self.waits {
            self.put_in_place()?;
        }
        // A run that was killed between keeping a result and clearing up after it has left some.
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
            // The config first: without it nothing waits there, and what is left is cleared away at the next start.
            for name in [CONFIG, VERSIONS] {
                self.erase(&format!("{NEXT}{name}"))?;
            }
            guard::remove_if_empty(&self.path, &[&format!("{NEXT}{CHECKPOINTS}"), NEXT]);
        }
        self.forget_configs();
        self.write_record()?;
        Ok(self.still_here(SUMMARY)?)
    }

    /// Moves what waits to where it belongs, and removes what another run has left.
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

    /// Leaves on record only the configs that are there.
    fn forget_configs(&self) {
        let there = [self.path.clone(), self.path.join(NEXT)].map(|place| Origin::read(&place));
        self.record.borrow_mut().configs = there.iter().flatten().map(config_hash).collect();
    }

    /// Where artifacts may be, the newest first.
    fn places(&self) -> &'static [&'static str] {
        if self.waits { &[NEXT, ""] } else { &[""] }
    }

    fn error(&self, name: &str, error: std::io::Error) -> WriteError {
        WriteError { path: self.path.join(name).display().to_string(), error }
    }

    /// That the folder is still where it was when it was opened. What is written after it was moved would be lost.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An artifact's bytes, if it is there and made from these inputs; here or beside.
    ///
    /// # Errors
    /// One that is damaged, unless the run replaces it.
    pub fn find(&self, name: &str, inputs: &str) -> Result<Option<Vec<u8>>, Damaged> {
        let bytes = |files: &Files| Ok(files[0].clone());
        Ok(self.stage(&[name], 1, inputs, bytes)?.flatten())
    }

    /// What a stage left, if it is there and made from these inputs; here or beside. Of its artifacts the first is its
    /// result, kept last; the first `always` are there in any case, and each of the others if it was kept with them. Where one is
    /// gone the stage is to be made again. `read` makes sense of them, and names the one that it cannot use.
    ///
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
        // What is damaged there is that run's concern. One that cannot be copied is made again; that will say what is wrong
        // with the folder.
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

    /// The same with the path of the artifact that is named.
    fn located(&self, damaged: Damaged, inputs: &str) -> Damaged {
        let here = |place: &&&str| self.made(&Entry::new(place, &damaged.path), inputs).is_some();
        let place = self.places().iter().find(here).copied().unwrap_or_default();
        Damaged { path: self.path.join(place).join(&damaged.path).display().to_string(), ..damaged }
    }

    /// Writes an artifact and puts it on record.
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

    /// Removes what this run does not need any more. What another run has left stays until all results are there.
    ///
    /// # Errors
    /// When a file is there and cannot be removed.
    pub fn remove(&self, names: &[String]) -> Result<(), WriteError> {
        for name in names {
            let entry = Entry::new(self.places()[0], name);
            self.erase(entry.as_str())?;
            self.record.borrow_mut().artifacts.remove(&entry);
            self.used.borrow_mut().remove(name);
        }
        Ok(())
    }

    /// Whether an artifact on record was made from these inputs.
    pub fn made_from(&self, name: &str, inputs: &str) -> bool {
        self.places().iter().any(|place| self.made(&Entry::new(place, name), inputs).is_some())
    }

    /// Hash of an artifact's content, if it is on record and was made from these inputs.
    pub fn content(&self, name: &str, inputs: &str) -> Option<String> {
        let made = |place: &&str| self.made(&Entry::new(place, name), inputs);
        Some(self.places().iter().find_map(made)?.content)
    }

    /// Names on record that start so, in order.
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

//! What a run may touch in its folder: its own files, while it has the folder for itself.

use super::{
    super::{
        Layout,
        artifact::{self, WriteError},
        entry::{CHECKPOINTS, NEXT, is_checkpoint},
        origin::{CONFIG, VERSIONS},
        record::{RECORD, Record},
    },
    FolderError, SUMMARY,
};
use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const LOCK: &str = ".lock";
/// How often a lock that is held is tried. A process that somebody starts holds the open files of its parent for a moment, and
/// with them the lock of a run that is over.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// What those who watch a run write into its folder: metrics, plots and event files.
const METRICS: &str = "metrics.jsonl";
const PLOTS: &str = "plots/";
const EVENTS: &str = "tensorboard/";

/// The folders that a run makes in its own.
const FOLDERS: [&str; 5] = [CHECKPOINTS, NEXT, "next/checkpoints/", PLOTS, EVENTS];

/// Looks over what is there before anything is touched.
///
/// # Errors
/// Links and pipes in the places of a run's files and folders; files there that no run wrote.
pub(super) fn check(path: &Path, layout: &Layout) -> Result<(), FolderError> {
    let folders = FOLDERS.iter().map(|folder| path.join(folder.trim_end_matches('/')));
    for place in folders.chain([path.join(LOCK), path.join(RECORD)]) {
        plain(&place)?;
    }
    let begun = path.join(RECORD).exists() || written_by_a_run(&path.join(VERSIONS));
    for folder in [""].into_iter().chain(FOLDERS) {
        for name in names(&path.join(folder)) {
            let place = path.join(folder).join(&name);
            let text = name.to_string_lossy();
            if folder == EVENTS {
                plain(&place)?;
                names(&place).into_iter().try_for_each(|file| plain(&place.join(file)))?;
            } else if is_own(layout, folder, &text) {
                plain(&place)?;
                if !begun && place.is_file() {
                    return Err(FolderError::Foreign { path: place.display().to_string() });
                }
            }
        }
    }
    Ok(())
}

/// Whether a run writes a file of this name into this folder of its own.
fn is_own(layout: &Layout, folder: &str, name: &str) -> bool {
    match folder {
        "" => layout.is_result(name) || [CONFIG, VERSIONS, SUMMARY, METRICS].contains(&name),
        NEXT => layout.is_result(name) || [CONFIG, VERSIONS].contains(&name),
        PLOTS => ["loss", "step-sizes"].iter().any(|what| {
            let stage = name.strip_suffix(".svg").or_else(|| name.strip_suffix(".png"));
            stage.is_some_and(|stage| stage.ends_with(&format!("-{what}")))
        }),
        _ => is_checkpoint(name),
    }
}

fn plain(path: &Path) -> Result<(), FolderError> {
    match artifact::not_plain(path) {
        Some(what) => Err(FolderError::NotPlain { path: path.display().to_string(), what }),
        None => Ok(()),
    }
}

/// Folders of earlier versions have no record before their first artifact, but `versions.json`.
fn written_by_a_run(versions: &Path) -> bool {
    let read = artifact::read(versions).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    read.is_some_and(|versions| versions["limpq"].is_string() && versions["program_sha256"].is_string())
}

/// What is in a folder; nothing if it is none.
fn names(folder: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// Removes what runs that were killed have left behind: half-written files, and the first words of a run that never began in
/// `next/`. Nobody else is at work here.
pub(super) fn tidy(path: &Path, record: &Record) {
    for folder in ["", CHECKPOINTS, NEXT, "next/checkpoints/", PLOTS] {
        for name in names(&path.join(folder)) {
            let file = path.join(folder).join(&name);
            if artifact::is_temporary(&name.to_string_lossy()) && file.symlink_metadata().is_ok_and(|it| it.is_file()) {
                let _ = std::fs::remove_file(file);
            }
        }
    }
    let next = path.join(NEXT);
    let waits = next.join(CONFIG).exists() || record.artifacts.keys().any(|entry| entry.as_str().starts_with(NEXT));
    if !waits && next.exists() {
        if written_by_a_run(&next.join(VERSIONS)) {
            let _ = std::fs::remove_file(next.join(VERSIONS));
        }
        remove_if_empty(path, &["next/checkpoints/", NEXT]);
    }
}

/// Removes folders of a run's; what somebody else has put there stays.
pub(super) fn remove_if_empty(path: &Path, folders: &[&str]) {
    for folder in folders {
        let _ = std::fs::remove_dir(path.join(folder.trim_end_matches('/')));
    }
}

/// A lock on a folder, held by an open file in it.
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Makes the folder if need be and takes its lock.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(LOCK);
        let open = || File::options().write(true).create(true).truncate(false).open(&path);
        // In these words the system's own ("File exists") would send its reader after the wrong fault.
        if folder.metadata().is_ok_and(|found| !found.is_dir()) {
            let error = io::Error::new(io::ErrorKind::NotADirectory, "that is a file, and a run needs a folder");
            return Err(WriteError { path: folder.display().to_string(), error }.into());
        }
        let made = std::fs::create_dir_all(folder).and_then(|()| open());
        let file = made.map_err(|error| WriteError { path: path.display().to_string(), error })?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                // Some network file systems know no locks; a run there must be trusted to be the only one.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { path, file }),
            }
        }
        Err(FolderError::Busy(folder.display().to_string()))
    }

    /// That the locked file is still the one in the folder: neither that nor the folder was moved, removed or replaced.
    pub fn holds(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let held = self.file.metadata()?;
            let there = self.path.symlink_metadata().ok();
            if there.is_none_or(|there| (there.dev(), there.ino()) != (held.dev(), held.ino())) {
                let why =
                    "the run's folder, or the file .lock in it, was moved or removed while the run was at work there";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
        }
        Ok(())
    }
}

//! What a run may touch in its folder: its own files, while it holds the lock.

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
/// How often a held lock is tried. A new process briefly inherits the open files of its parent, and with them the lock
/// of a run that has ended.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// What observers of a run write to its folder: metrics, plots and event files.
const METRICS: &str = "metrics.jsonl";
const PLOTS: &str = "plots/";
const EVENTS: &str = "tensorboard/";

/// The folders that a run creates in its own.
const FOLDERS: [&str; 5] = [CHECKPOINTS, NEXT, "next/checkpoints/", PLOTS, EVENTS];

/// Checks what exists before anything is touched.
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

/// Whether a run writes a file of this name to this folder of its own.
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

/// Folders of earlier versions have no record before their first artifact, only `versions.json`.
fn written_by_a_run(versions: &Path) -> bool {
    let read = artifact::read(versions).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    read.is_some_and(|versions| versions["limpq"].is_string() && versions["program_sha256"].is_string())
}

/// The names in a folder; none if it is not a folder.
fn names(folder: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// Removes what killed runs have left: half-written files, and the config of a run in `next/` that never began. The
/// lock is held.
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

/// Removes a run's folders if they are empty; files of others stay.
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
    /// Creates the folder if necessary and locks it.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(LOCK);
        let open = || File::options().write(true).create(true).truncate(false).open(&path);
        let made = std::fs::create_dir_all(folder).and_then(|()| open());
        let file = made.map_err(|error| WriteError { path: path.display().to_string(), error })?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                // Some network file systems have no locks; there, a run is trusted to be the only one.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { path, file }),
            }
        }
        Err(FolderError::Busy(folder.display().to_string()))
    }

    /// Checks that the locked file is still the one in the folder: neither of them was moved, removed or replaced.
    pub fn holds(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let held = self.file.metadata()?;
            let there = self.path.symlink_metadata().ok();
            if there.is_none_or(|there| (there.dev(), there.ino()) != (held.dev(), held.ino())) {
                let why = "the run's folder, or the file .lock in it, was moved or removed during the run";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
        }
        Ok(())
    }
}

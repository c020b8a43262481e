//! Files that hold results: written to a temporary file beside their place and renamed, so that a reader (or a run that
//! was killed) sees the old file or the new one, never half of one.

use serde::Serialize;
use std::{
    fs::FileType,
    io::{self, Write},
    path::Path,
};

/// How the names of files that are being written start.
const TEMPORARY: &str = ".limpq-";

/// A file could not be written. Nothing at its path was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {error}. Nothing there was changed; free some space or choose another place")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// What the system said.
    pub error: std::io::Error,
}

/// A file is there, but it is not what was written.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "cannot use {path}: {why}. Put it back from a copy, delete it to have it made again, or have the run replace all that is \
     damaged"
)]
pub struct Damaged {
    /// The file, or several.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// What lies at a path, in words, if it is neither a plain file or folder nor nothing. Links are not followed.
pub fn not_plain(path: &Path) -> Option<&'static str> {
    path.symlink_metadata().ok().and_then(|found| in_words(found.file_type()))
}

fn in_words(kind: FileType) -> Option<&'static str> {
    match (kind.is_symlink(), kind.is_file() || kind.is_dir()) {
        (true, _) => Some("a symbolic link"),
        (_, true) => None,
        _ => Some("a pipe, a socket or a device"),
    }
}

/// A file's content. Links are not followed, since they may lead anywhere, and pipes are not read, since that may never end.
///
/// # Errors
/// When it is not there, not a plain file, or cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    match in_words(path.symlink_metadata()?.file_type()) {
        Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a file"))),
        None => std::fs::read(path),
    }
}

/// Whether a file's name is one that [`write()`] gives while it writes.
pub fn is_temporary(name: &str) -> bool {
    // The library behind it draws six letters and digits.
    let drawn = name.strip_prefix(TEMPORARY);
    drawn.is_some_and(|drawn| drawn.len() == 6 && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Replaces a file's content in one step; makes its folder if need be.
///
/// # Errors
/// A full disk, a folder that cannot be written to.
pub fn write(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    let attempt = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // Results are for others too; temporary files are private unless told otherwise. The umask still applies.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let temporary = file.into_temp_path();
        std::fs::rename(&temporary, path)?;
        // It has another name now; there is nothing to clear away.
        let _ = temporary.keep();
        Ok(())
    };
    attempt().map_err(|error| WriteError { path: path.display().to_string(), error })
}

/// Writes a value as indented JSON, as [`write()`] does.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), WriteError> {
    let mut text = serde_json::to_vec_pretty(value).expect("artifacts are plain data with text keys");
    text.push(b'\n');
    write(path, &text)
}

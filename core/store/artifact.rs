//! Files that hold results. They are written to a temporary file next to their final path and renamed, so that a
//! reader, or a run after a kill, sees the old file or the new one, never half of one.

use serde::Serialize;
use std::{
    fs::FileType,
    io::{self, Write},
    path::Path,
};

/// Prefix of the names of temporary files.
const TEMPORARY: &str = ".limpq-";

/// A file could not be written. Nothing at its path was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {error}. Nothing there was changed; free some space or choose another place")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// The system's error.
    pub error: std::io::Error,
}

/// A file exists, but is not what was written.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "cannot use {path}: {why}. Put it back from a copy, delete it to have it made again, or have the run replace all that is \
     damaged"
)]
pub struct Damaged {
    /// The file or files.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// What is at a path, in words, if it exists and is neither a plain file nor a folder. Links are not followed.
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

/// A file's content. Links are not followed, since they may lead anywhere; pipes are not read, since that may never
/// end.
///
/// # Errors
/// When it does not exist, is not a plain file, or cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    match in_words(path.symlink_metadata()?.file_type()) {
        Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a file"))),
        None => std::fs::read(path),
    }
}

/// Whether [`write()`] can have given this name to a temporary file.
pub fn is_temporary(name: &str) -> bool {
    // The library appends six random letters and digits.
    let drawn = name.strip_prefix(TEMPORARY);
    drawn.is_some_and(|drawn| drawn.len() == 6 && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Replaces a file's content atomically; creates its folder if necessary.
///
/// # Errors
/// A full disk, a folder that cannot be written to.
pub fn write(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    let attempt = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // Results are for others too, while temporary files are private by default. The umask still applies.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let temporary = file.into_temp_path();
        std::fs::rename(&temporary, path)?;
        // It has been renamed; there is nothing to clean up.
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

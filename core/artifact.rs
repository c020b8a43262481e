//! Files that hold results: written to a temporary file beside their place and renamed, so that a reader (or a run that
//! was killed) sees the old file or the new one, never half of one.

use serde::Serialize;
use std::{io::Write, path::Path};

/// How the names of files that are being written start.
pub(crate) const TEMPORARY: &str = ".limpq-";

/// A file could not be written. Nothing at its path was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {error}. Nothing there was changed; free some space or choose another place with --out")]
pub struct WriteError {
    /// The file.
    pub path: String,
    /// What the system said.
    pub error: std::io::Error,
}

/// A file is there, but it is not what was written.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "cannot use {path}: {why}. Put it back from a copy, delete it to have it made anew, or give --replace to have all that is \
     damaged made anew"
)]
pub struct Damaged {
    /// The file, or several.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
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
        file.persist(path).map_err(|error| error.error)?;
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

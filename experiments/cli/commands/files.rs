//! Writes results to files, in the format of their extension.

use crate::plot::{Picture, available};
use anyhow::Context;
use limpq_core::store::artifact;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Json,
    Csv,
    Svg,
    Png,
}

/// The files that a command was asked to write.
pub struct Files<'a>(Vec<(&'a Path, Form)>);

impl<'a> Files<'a> {
    /// From the arguments of `--out`.
    ///
    /// # Errors
    /// An unknown extension; a picture, in a program without the feature `plots`.
    pub fn new(paths: &'a [PathBuf]) -> anyhow::Result<Self> {
        let form = |path: &'a PathBuf| {
            let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
            let form = match extension.as_deref() {
                Some("json") => Form::Json,
                Some("csv") => Form::Csv,
                Some("svg") => Form::Svg,
                Some("png") => Form::Png,
                _ => anyhow::bail!(
                    "--out {}: the name must end in .json (everything), .csv (a table), .svg or .png (a picture)",
                    path.display()
                ),
            };
            if matches!(form, Form::Svg | Form::Png) {
                available().with_context(|| format!("--out {}", path.display()))?;
            }
            Ok((path.as_path(), form))
        };
        Ok(Self(paths.iter().map(form).collect::<anyhow::Result<_>>()?))
    }

    /// Writes all files.
    ///
    /// # Errors
    /// A picture that cannot be drawn, a file that cannot be written.
    pub fn write(
        &self,
        json: &impl Serialize,
        csv: impl Fn() -> anyhow::Result<String>,
        picture: impl Fn() -> anyhow::Result<Picture>,
    ) -> anyhow::Result<()> {
        for &(path, form) in &self.0 {
            match form {
                Form::Json => write_json(path, json)?,
                Form::Csv => write(path, csv()?.as_bytes())?,
                Form::Svg => write(path, picture()?.svg()?.as_bytes())?,
                Form::Png => write(path, &picture()?.png()?)?,
            }
        }
        Ok(())
    }
}

/// Writes a file that the user has named, atomically. If it is a symbolic link, the link stays and its target is
/// replaced.
///
/// # Errors
/// A full disk, a folder that cannot be written to, a path that is not a regular file.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    Ok(artifact::write(&behind_links(path)?, content)?)
}

/// Writes a value as indented JSON, as [`write()`] does.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    Ok(artifact::write_json(&behind_links(path)?, value)?)
}

/// Resolves symbolic links. A file is replaced by a rename, which would replace a link itself, or a device.
fn behind_links(path: &Path) -> anyhow::Result<PathBuf> {
    /// As many as Linux follows.
    const MOST: usize = 40;
    let shown = path.display();
    let mut place = path.to_owned();
    for _ in 0..MOST {
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&place).with_context(|| format!("cannot write {shown}"))?;
                place = place.parent().unwrap_or(Path::new("")).join(target);
            }
            Ok(found) if !found.is_file() => {
                let what = if found.is_dir() { "a directory" } else { "not a regular file" };
                anyhow::bail!("cannot write {shown}: {} is {what}; choose another name", place.display())
            }
            // Nothing is there yet, or it cannot be examined; writing will show.
            _ => return Ok(place),
        }
    }
    anyhow::bail!("cannot write {shown}: too many symbolic links lead on from it")
}

/// Rows as CSV.
///
/// # Errors
/// Rows of different lengths.
pub fn csv(headings: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut csv = csv::Writer::from_writer(vec![]);
    csv.write_record(headings)?;
    for row in rows {
        csv.write_record(row)?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("there")).unwrap();
        fs::write(at("there/old.csv"), "old").unwrap();
        symlink("there/old.csv", at("near.csv")).unwrap();
        symlink("../near.csv", at("there/around.csv")).unwrap();
        symlink(at("there/new.csv"), at("dangling.csv")).unwrap();
        for (link, target) in
            [("near.csv", "there/old.csv"), ("there/around.csv", "there/old.csv"), ("dangling.csv", "there/new.csv")]
        {
            write(&at(link), link.as_bytes()).unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert!(fs::symlink_metadata(at(target)).unwrap().is_file(), "{target}");
            assert_eq!(fs::read_to_string(at(target)).unwrap(), link);
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        symlink("loop.csv", at("loop.csv")).unwrap();
        symlink("/dev/null", at("null.csv")).unwrap();
        fs::create_dir(at("folder.csv")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.csv")).unwrap();
        for (name, why) in [
            ("loop.csv", "too many symbolic links"),
            ("null.csv", "/dev/null is not a regular file"),
            ("folder.csv", "is a directory"),
            ("socket.csv", "is not a regular file"),
        ] {
            let error = write(&at(name), b"x").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("cannot write {}", at(name).display())) && error.contains(why),
                "{error}"
            );
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 4, "all are still there, and nothing else");
    }
}

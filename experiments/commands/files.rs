//! Results as files, in the form that a file's extension asks for.

use crate::plot::Picture;
use limpq_core::artifact;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a file holds.
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
    /// An extension that is none of these forms.
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
            Ok((path.as_path(), form))
        };
        Ok(Self(paths.iter().map(form).collect::<anyhow::Result<_>>()?))
    }

    /// Writes them all.
    ///
    /// # Errors
    /// Whatever cannot be drawn or written.
    pub fn write(
        &self,
        json: &impl Serialize,
        csv: impl Fn() -> anyhow::Result<String>,
        picture: impl Fn() -> anyhow::Result<Picture>,
    ) -> anyhow::Result<()> {
        for &(path, form) in &self.0 {
            match form {
                Form::Json => artifact::write_json(path, json)?,
                Form::Csv => artifact::write(path, csv()?.as_bytes())?,
                Form::Svg => artifact::write(path, picture()?.svg()?.as_bytes())?,
                Form::Png => artifact::write(path, &picture()?.png()?)?,
            }
        }
        Ok(())
    }
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

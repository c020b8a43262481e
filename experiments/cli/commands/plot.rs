//! `limpq plot`: plots a run again from its metrics.

use crate::{
    observers::{plots, tell},
    plot::available,
};
use clap::Args;
use std::{io::Write, path::PathBuf};

/// Plot loss and step sizes of a run.
///
/// `limpq run` does the same at the end of each stage. Use this for stages that are still running, and for runs with
/// --no-plots.
#[derive(Args, Debug)]
pub struct Plot {
    /// The run's folder.
    run: PathBuf,
}

impl Plot {
    /// Plots each stage in metrics.jsonl.
    ///
    /// # Errors
    /// A program without the feature `plots`; a folder without metrics; metrics that no run writes; files that cannot
    /// be read or written.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        available()?;
        let (written, odd) = plots::draw(&self.run)?;
        if let Some(odd) = odd {
            tell(&format!("warning: {odd}"));
        }
        for path in written {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }
}

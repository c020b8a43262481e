//! `limpq plot`: the plots of a run, drawn anew from its metrics.

use crate::watch::plots;
use clap::Args;
use std::{io::Write, path::PathBuf};

/// Draw loss and step sizes of a run over its steps.
///
/// `limpq run` does the same at the end of each stage. This is for stages that are still at work, and for runs with --no-plots.
#[derive(Args, Debug)]
pub struct Plot {
    /// The run's folder.
    run: PathBuf,
}

impl Plot {
    /// Draws what metrics.jsonl has of each stage.
    ///
    /// # Errors
    /// A folder without metrics; files that cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        for stage in plots::stages(&self.run)? {
            for path in plots::draw(&self.run, &stage)? {
                writeln!(out, "written: {}", path.display())?;
            }
        }
        Ok(())
    }
}

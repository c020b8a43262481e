//! `limpq latency-template`: writes the file to fill in with measurements on a device.

use super::{Network, Settings, files};
use limpq_core::search::{Candidates, Precision};
use limpq_plugins::costs::measured::{Format, Quantity, template};
use std::{io::Write, path::PathBuf};

/// Arguments of `limpq latency-template`.
#[derive(Debug, clap::Args)]
pub struct LatencyTemplate {
    /// Name of the model (see `limpq list model`)
    model: String,
    #[command(flatten)]
    network: Network,
    /// Bit-widths that will be searched; every pair of them has an entry
    #[arg(long, default_value = "8,4")]
    bits: Candidates,
    /// One entry for all layers that are alike (kind, shapes, kernel, stride, groups), without their names
    #[arg(long)]
    by_signature: bool,
    /// A table for the cost `energy`, in picojoules
    #[arg(long)]
    energy: bool,
    /// An option of the model, such as width=8 (see `limpq show model NAME`)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The file, .csv or .json; an existing one is kept, since it may hold measurements [default: CSV on standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl LatencyTemplate {
    /// Writes the file.
    ///
    /// # Errors
    /// An unknown model or option, a file that exists already or cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut settings = Settings::new(&self.set)?;
        let mut options = settings.take("model")?;
        options.extend(settings.into_table());
        let graph = self.network.graph(&self.model, &options)?;
        let precisions: Vec<Precision> = self.bits.pairs().collect();
        let quantity = if self.energy { Quantity::Picojoules } else { Quantity::Microseconds };
        let text = |format| template(&graph, &precisions, self.by_signature, quantity, format);
        let Some(path) = &self.out else {
            write!(out, "{}", text(Format::Csv))?;
            return Ok(());
        };
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let format = match extension.as_deref() {
            Some("csv") => Format::Csv,
            Some("json") => Format::Json,
            _ => anyhow::bail!("--out {}: the name must end in .csv or .json", path.display()),
        };
        anyhow::ensure!(
            !path.exists(),
            "{} exists already and may hold measurements; give another name, or remove it first",
            path.display()
        );
        files::write(path, text(format).as_bytes())?;
        let (shown, column) = (path.display(), quantity.column());
        writeln!(out, "wrote {shown}: fill in the column {column}; empty entries are layers and bits not measured")?;
        Ok(())
    }
}

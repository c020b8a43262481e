//! `limpq latency-check`: checks a file of measurements against a network.

use super::{Network, Settings, table::table};
use anyhow::Context;
use limpq_core::options::parse;
use limpq_core::search::{Candidates, Precision};
use limpq_plugins::costs::measured::{Audit, Interpolate, Measured, MeasuredOptions, Quantity};
use std::{io::Write, path::PathBuf};

/// Arguments of `limpq latency-check`.
#[derive(Debug, clap::Args)]
pub struct LatencyCheck {
    /// The file, .csv or .json
    file: PathBuf,
    /// Name of the model that was measured (see `limpq list model`)
    #[arg(long, value_name = "NAME")]
    model: String,
    #[command(flatten)]
    network: Network,
    /// Bit-widths that will be searched
    #[arg(long, default_value = "8,4")]
    bits: Candidates,
    /// Count pairs of bits between measured ones as known, as the option `interpolate = "linear"` does
    #[arg(long)]
    interpolate: bool,
    /// The file is for the cost `energy`, in picojoules
    #[arg(long)]
    energy: bool,
    /// An option of the model, such as width=8 (see `limpq show model NAME`), or of the cost as a search takes it, such as
    /// cost.latency_table.allow_unused=true or cost.energy.fixed_layers=false
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl LatencyCheck {
    /// Reads the file and lists layers that are missing, unused, measured on another shape, or whose values fall.
    ///
    /// # Errors
    /// A file that cannot be read, or that a search over these bits with these options could not use: something is
    /// missing, unused or measured on another shape. Values that fall while bits rise are listed, but are an error only
    /// if the options say so.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut settings = Settings::new(&self.set)?;
        let mut options = settings.take("model")?;
        let measured = self.options(settings.take("cost")?)?;
        options.extend(settings.into_table());
        let graph = self.network.graph(&self.model, &options)?;
        let precisions: Vec<Precision> = self.bits.pairs().collect();
        let quantity = if self.energy { Quantity::Picojoules } else { Quantity::Microseconds };
        let (allow_unused, require_monotone) = (measured.allow_unused, measured.require_monotone);
        let measured = Measured::read(measured, quantity)?;
        let audit = measured.audit(&graph, &precisions);
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&audit)?)?,
            false => self.print(out, &audit)?,
        }
        let wrong = [
            (audit.missing.len(), "missing"),
            (if allow_unused { 0 } else { audit.unused.len() }, "unused"),
            (audit.mismatched.len(), "measured on another shape"),
            (if require_monotone { audit.falling.len() } else { 0 }, "falling"),
        ];
        let counts: Vec<String> = wrong.iter().map(|(count, what)| format!("{count} {what}")).collect();
        anyhow::ensure!(
            wrong.iter().all(|(count, _)| *count == 0),
            "{} cannot be used for bits {} of {} yet: {}",
            self.file.display(),
            self.bits,
            self.model,
            counts.join(", ")
        );
        Ok(())
    }

    /// The options of the cost, with the file and the flags of this command.
    fn options(&self, costs: toml::Table) -> anyhow::Result<MeasuredOptions> {
        let name = if self.energy { "energy" } else { "latency_table" };
        let mut costs = Settings::from(costs);
        let set = costs.take(name)?;
        costs.finish(&[name]).context("the file is checked for another cost")?;
        let mut options: MeasuredOptions = parse(&set).with_context(|| format!("--set cost.{name}"))?;
        let path = self.file.display().to_string();
        anyhow::ensure!(
            options.path.is_empty() || options.path == path,
            "--set cost.{name}.path={}: the file to check is {path}; leave the path out",
            options.path
        );
        options.path = path;
        if self.interpolate {
            options.interpolate = Interpolate::Linear;
        }
        Ok(options)
    }

    fn print(&self, out: &mut dyn Write, audit: &Audit) -> anyhow::Result<()> {
        let mut rows = table(&["", ">entries"]);
        rows.add_row(["with a value", &audit.measured.to_string()]);
        rows.add_row(["without a value", &audit.blank.to_string()]);
        rows.add_row(["needed by the network (layers x bits)", &audit.needed.to_string()]);
        rows.add_row(["  of them known", &(audit.needed - audit.missing.len()).to_string()]);
        writeln!(out, "{rows}")?;
        let lists = [
            ("missing", &audit.missing),
            ("unused: they fit no layer", &audit.unused),
            ("measured on another shape", &audit.mismatched),
            ("falling while bits rise (check whether this is noise)", &audit.falling),
        ];
        for (what, entries) in lists.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            writeln!(out, "\n{what}:")?;
            for entry in entries {
                writeln!(out, "  {entry}")?;
            }
        }
        Ok(())
    }
}

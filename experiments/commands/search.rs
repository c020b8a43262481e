//! `limpq search`: from an indicator file and constraints to a policy with its proof.

mod report;

use super::question::Question;
use limpq_core::artifact;
use limpq_core::search::Found;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `limpq search`.
#[derive(Debug, clap::Args)]
pub struct Search {
    #[command(flatten)]
    question: Question,
    /// Print what each layer may have, what is shared and the limits, without solving
    #[arg(long, conflicts_with_all = ["out", "json"])]
    dry_run: bool,
    /// Also write the policy to this file: .json, .csv, or .yaml for LIMPQ's bit lists; may be repeated
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Search {
    /// Solves, writes the files asked for, prints. Nothing is written unless there is an answer.
    ///
    /// # Errors
    /// Arguments that do not fit together, indicators that do not fit the model, constraints that cannot be kept.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let formats = self.out.iter().map(|path| format_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(
            !self.question.budgets.is_empty(),
            "no budget is given, and without one the answer is always the highest bits; \
             give at least one --budget, for example --budget bitops=w3a4 or --budget size=12.2x"
        );
        let asked = self.question.ask(&self.question.budgets)?;
        let search = asked.search();
        if self.dry_run {
            return report::constraints(out, &search);
        }
        let (mut instance, solved, mut found) = asked.solve()?;
        search
            .shadow_prices(&mut instance, &solved, asked.solver(), &mut found.budgets)
            .map_err(|error| asked.explained(error))?;
        for (path, format) in self.out.iter().zip(formats) {
            format(&found, path)?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
            return Ok(());
        }
        report::print(out, &search, &found)?;
        for path in &self.out {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }
}

type Format = fn(&Found, &Path) -> Result<(), artifact::WriteError>;

/// How a file is written, by its extension.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("json") => Ok(|found, path| artifact::write_json(path, found)),
        Some("yaml" | "yml") => Ok(|found, path| artifact::write(path, found.policy.to_limpq_yaml().as_bytes())),
        Some("csv") => Ok(|found, path| artifact::write(path, found.policy.to_csv().as_bytes())),
        _ => anyhow::bail!(
            "--out {}: the name must end in .json (policy and proof), .yaml (LIMPQ's bit lists) or .csv (bits of each layer)",
            path.display()
        ),
    }
}

//! `limpq search`: from indicators and constraints to a policy with its proof.

mod report;

use super::{
    belongs::{print_warnings, tell_warnings},
    files,
    question::{Asked, Question},
};
use limpq_core::search::{BudgetUse, Changed, Found, Instance, LayerBits, Ranked, Solved, changed};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `limpq search`.
#[derive(Debug, clap::Args)]
pub struct Search {
    #[command(flatten)]
    question: Question,
    /// Print the allowed bits of each layer, shared bits and limits, without solving
    #[arg(long, conflicts_with_all = ["out", "json"])]
    dry_run: bool,
    /// Also write the policy to this file: .json, .csv, or .yaml for LIMPQ's bit lists; may be repeated
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Find the K best distinct policies instead of one
    #[arg(long, value_name = "K", conflicts_with = "dry_run", value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Search {
    /// Solves, writes the requested files, prints. Nothing is written unless there is an answer.
    ///
    /// # Errors
    /// Arguments that do not fit together, indicators that do not fit the model, constraints that cannot be kept.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let formats = self.out.iter().map(|path| format_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        self.question.some_budget()?;
        let asked = self.question.ask(&self.question.budgets)?;
        let search = asked.search();
        if self.dry_run {
            report::constraints(out, &search)?;
            let warnings: Vec<String> = asked.assumed.clone().into_iter().chain(asked.indicators.audit()).collect();
            tell_warnings(&warnings);
            return Ok(());
        }
        let (mut instance, solved, mut found) = asked.solve()?;
        search.shadow_prices(&mut instance, &solved, asked.solver(), &mut found.budgets);
        let alternatives = self.top.map(|count| alternatives(&asked, &instance, solved, &found, count));
        let answer = Answer { found, alternatives: alternatives.transpose()? };
        for (path, format) in self.out.iter().zip(formats) {
            format(&answer, path)?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
            tell_warnings(&answer.found.warnings);
            return Ok(());
        }
        report::print(out, &search, &instance, &answer.found)?;
        if let Some(alternatives) = &answer.alternatives {
            report::alternatives(out, &answer.found, alternatives, self.top.map_or(0, usize::from))?;
        }
        print_warnings(out, &answer.found.warnings)?;
        for path in &self.out {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }
}

/// The JSON output.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    found: Found,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternatives: Option<Vec<Alternative>>,
}

/// One of the K best policies.
#[derive(Serialize)]
struct Alternative {
    rank: usize,
    objective: f64,
    /// How much higher its objective is than the best one's.
    difference: f64,
    /// Whether it is proven that every better or equally good policy is before it in the list.
    proven: bool,
    /// Layers whose bits differ from the best policy.
    changed: Vec<Changed>,
    policy: Vec<LayerBits>,
    budgets: Vec<BudgetUse>,
}

fn alternatives(
    asked: &Asked,
    instance: &Instance,
    solved: Solved,
    best: &Found,
    count: u16,
) -> anyhow::Result<Vec<Alternative>> {
    let search = asked.search();
    let ranked = search.top(instance, solved, asked.solver(), count.into()).map_err(|error| asked.explained(error))?;
    let alternative = |(place, Ranked { solved, proven }): (usize, Ranked)| {
        let found = search.found(instance, &solved, asked.solver().name);
        Alternative {
            rank: place + 1,
            objective: found.objective,
            difference: found.objective - best.objective,
            proven,
            changed: changed(&best.policy, &found.policy),
            policy: found.policy.policy,
            budgets: found.budgets,
        }
    };
    Ok(ranked.into_iter().enumerate().map(alternative).collect())
}

type Format = fn(&Answer, &Path) -> anyhow::Result<()>;

/// The format of a file, by its extension.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("json") => Ok(|answer, path| files::write_json(path, answer)),
        Some("yaml" | "yml") => Ok(|answer, path| files::write(path, answer.found.policy.to_limpq_yaml().as_bytes())),
        Some("csv") => Ok(|answer, path| files::write(path, answer.found.policy.to_csv().as_bytes())),
        _ => anyhow::bail!(
            "--out {}: the name must end in .json (policy and proof), .yaml (LIMPQ's bit lists) or .csv (bits of each layer)",
            path.display()
        ),
    }
}

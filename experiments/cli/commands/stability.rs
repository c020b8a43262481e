//! `limpq stability`: finds the layers whose bits a little noise in the indicators, or another seed's indicators, would
//! change.

use super::{
    belongs::{print_warnings, tell_warnings},
    question::Question,
    table::table,
};
use limpq_core::search::{Accounting, Flips, Indicators, RisingIndicators, Stability as Judged, noisy};
use serde::Serialize;
use std::{io::Write, path::PathBuf};

/// Arguments of `limpq stability`.
#[derive(Debug, clap::Args)]
pub struct Stability {
    #[command(flatten)]
    question: Question,
    /// Multiply each indicator by a lognormal factor; 0.05 is about five percent [default: 0.05, unless --with is given]
    #[arg(long, conflicts_with = "with", allow_negative_numbers = true)]
    noise: Option<f64>,
    /// Number of noisy searches
    #[arg(long, default_value_t = 100, conflicts_with = "with", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Seed of the noise
    #[arg(long, default_value_t = 0, conflicts_with = "with")]
    seed: u64,
    /// Indicators to search with instead of noisy ones, such as another seed's; may be repeated
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    alpha: f64,
    accounting: Accounting,
    rising_indicators: RisingIndicators,
    solver: &'a str,
    objective_of_policy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    with: &'a [PathBuf],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(flatten)]
    stability: &'a Judged,
}

impl Stability {
    /// Repeats the search, prints.
    ///
    /// # Errors
    /// Arguments that do not fit together; indicators that do not fit the model; budgets that no policy is within.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let noise = self.noise.unwrap_or(0.05);
        anyhow::ensure!(
            noise.is_finite() && (0.0..=10.0).contains(&noise),
            "--noise must be a number from 0 to 10, got {noise}"
        );
        self.question.some_budget()?;
        let asked = self.question.ask(&self.question.budgets)?;
        let read = |path| Indicators::read(path)?.in_names_of(&asked.graph);
        let others = self.with.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let (instance, solved, found) = asked.solve()?;
        let search = asked.search();
        let mut warnings = found.warnings.clone();
        for (path, other) in self.with.iter().zip(&others) {
            warnings.extend(other.audit().into_iter().map(|warning| format!("{}: {warning}", path.display())));
        }
        let judged = match others.is_empty() {
            true => {
                let noisy = (0..self.samples).map(|sample| noisy(&asked.indicators, noise, self.seed, sample.into()));
                search.stability(&instance, &solved, noisy, asked.solver())
            }
            false => search.stability(&instance, &solved, others, asked.solver()),
        };
        let judged = judged.map_err(|error| asked.explained(error))?.expect("there is at least one search");
        let noise = self.with.is_empty().then_some(noise);
        if self.json {
            let report = Report {
                model: &asked.graph.model,
                alpha: asked.alpha,
                accounting: found.accounting,
                rising_indicators: asked.rising,
                solver: &found.solver,
                objective_of_policy: found.objective,
                noise,
                seed: noise.map(|_| self.seed),
                with: &self.with,
                warnings: &warnings,
                stability: &judged,
            };
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            tell_warnings(&warnings);
            return Ok(());
        }
        layers(out, &judged)?;
        match noise {
            Some(noise) => writeln!(
                out,
                "{} searches with lognormal noise of {noise} on every indicator, seed {}",
                judged.searches, self.seed
            )?,
            None => writeln!(out, "{} searches with other indicator files", judged.searches)?,
        }
        let Judged { searches, unproven, same, mean_flipped_layers, objective, regret, .. } = &judged;
        let all = judged.layers.len();
        writeln!(
            out,
            "layers that change: {mean_flipped_layers:.2} of {all} on average; none in {same} of {searches}"
        )?;
        let spread = |least, mean, most| format!("{mean:.6} on average, from {least:.6} to {most:.6}");
        writeln!(out, "objective of the policy: {:.9}", found.objective)?;
        writeln!(out, "objectives found: {}", spread(objective.least, objective.mean, objective.most))?;
        writeln!(
            out,
            "regret (how much worse those policies are under the original indicators): {}",
            spread(regret.least, regret.mean, regret.most)
        )?;
        if *unproven > 0 {
            writeln!(out, "{unproven} answers are not proven optimal; their changes may be due to the solver")?;
        }
        writeln!(out, "accounting: {}", found.accounting)?;
        writeln!(out, "alpha: {}", asked.alpha)?;
        writeln!(out, "rising indicators: {}", asked.rising)?;
        print_warnings(out, &warnings)?;
        Ok(())
    }
}

/// Prints the layers that changed, most often changed first.
fn layers(out: &mut dyn Write, judged: &Judged) -> anyhow::Result<()> {
    let mut flipped: Vec<&Flips> = judged.layers.iter().filter(|layer| layer.flips > 0).collect();
    flipped.sort_by_key(|layer| std::cmp::Reverse(layer.flips));
    if flipped.is_empty() {
        writeln!(out, "no layer changes in any search\n")?;
        return Ok(());
    }
    let share = |times: usize| format!("{:.1} %", 100.0 * times as f64 / judged.searches as f64);
    let mut rows = table(&["layer", "bits", ">changes", ">weights change", ">activations change", "to, how often"]);
    for layer in flipped {
        let to: Vec<String> = layer.to.iter().take(4).map(|(bits, times)| format!("{bits} {times}")).collect();
        let more = if layer.to.len() > 4 { ", ..." } else { "" };
        rows.add_row([
            layer.layer.clone(),
            layer.base.to_string(),
            share(layer.flips),
            share(layer.weight_flips),
            share(layer.act_flips),
            to.join(", ") + more,
        ]);
    }
    writeln!(out, "{rows}\n")?;
    Ok(())
}

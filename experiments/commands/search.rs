//! `limpq search`: from an indicator file and budgets to a policy with its proof.

mod report;

use super::{Network, Settings, accounting};
use anyhow::Context;
use limpq_core::artifact;
use limpq_core::registry;
use limpq_core::search::{
    Accounting, Budget, BudgetText, Candidates, CostModel, Found, Indicators, Solver, SolverError,
};
use limpq_core::search::{Search as Problem, SearchError};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Solvers in order of preference when none is asked for.
const PREFERRED: [&str; 3] = ["highs", "cbc", "brute_force"];

/// Arguments of `limpq search`.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// Importance indicators: this program's JSON or LIMPQ's pickle
    #[arg(long, value_name = "FILE")]
    indicators: PathBuf,
    /// Name of the model that they belong to (see `limpq list model`)
    #[arg(long, value_name = "NAME")]
    model: String,
    #[command(flatten)]
    network: Network,
    /// Bit-widths to choose from, such as 6,5,4,3,2, in any order [default: those of the file]
    #[arg(long)]
    bits: Option<Candidates>,
    /// What must be kept, for example bitops=w3a4, bitops=48.3G, size=12.2x, size=8MiB or average_weight_bits=3
    #[arg(long = "budget", value_name = "COST=LIMIT")]
    budgets: Vec<BudgetText>,
    /// Weight of the weights' indicators against the activations'
    #[arg(long, default_value_t = 2.0, allow_negative_numbers = true)]
    alpha: f64,
    /// How costs are counted
    #[arg(long, default_value = "exact", value_parser = accounting())]
    accounting: Accounting,
    /// Name of the solver [default: the best of highs, cbc and brute_force that is built in]
    #[arg(long, value_name = "NAME")]
    solver: Option<String>,
    /// An option of the solver, the model or a cost, such as solver.time_limit_s=5, model.width=8 or
    /// cost.average_bits.of=activations
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Also write the policy to this file: .json, or .yaml for LIMPQ's bit lists; may be repeated
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--set` gave for each part.
struct Options {
    model: toml::Table,
    solver: toml::Table,
    cost: Settings,
}

impl Search {
    /// Solves, writes the files asked for, prints. Nothing is written unless there is an answer.
    ///
    /// # Errors
    /// Arguments that do not fit together, indicators that do not fit the model, budgets that cannot be kept.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let formats = self.out.iter().map(|path| format_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(
            !self.budgets.is_empty(),
            "no budget is given, and without one the answer is always the highest bits; \
             give at least one --budget, for example --budget bitops=w3a4 or --budget size=12.2x"
        );
        let options = self.options()?;
        let graph = self.network.graph(&self.model, &options.model)?;
        let budgets = self.budgets(options.cost)?;
        let solver_name = self.solver_name()?;
        let solver = registry::build::<dyn Solver>(solver_name, &options.solver)?;
        let indicators = Indicators::read(&self.indicators)?;
        let problem = Problem {
            graph: &graph,
            indicators: &indicators,
            candidates: self.bits.as_ref().unwrap_or(&indicators.candidates),
            alpha: self.alpha,
            accounting: self.accounting,
            budgets: &budgets,
        };
        let found = self.solve(&problem, solver_name, solver.as_ref())?;
        for (path, format) in self.out.iter().zip(formats) {
            format(&found, path)?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
            return Ok(());
        }
        report::print(out, &problem, &found)?;
        for path in &self.out {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut settings = Settings::new(&self.set)?;
        let options = Options {
            model: settings.take("model")?,
            solver: settings.take("solver")?,
            cost: Settings::from(settings.take("cost")?),
        };
        settings.finish(&["model", "solver", "cost.NAME"])?;
        Ok(options)
    }

    fn budgets(&self, mut options: Settings) -> anyhow::Result<Vec<Budget>> {
        let mut budgets = vec![];
        for text in &self.budgets {
            // Two budgets on one cost read the same options.
            let table = options.clone().take(&text.name)?;
            let cost = registry::build::<dyn CostModel>(&text.name, &table)?;
            budgets.push(Budget { text: text.clone(), cost });
        }
        for text in &self.budgets {
            options.take(&text.name)?;
        }
        let names: Vec<&str> = self.budgets.iter().map(|text| text.name.as_str()).collect();
        options.finish(&names).context("an option is set for a cost that no --budget is on")?;
        Ok(budgets)
    }

    fn solver_name(&self) -> anyhow::Result<&str> {
        if let Some(name) = &self.solver {
            return Ok(name);
        }
        let registered = registry::entries::<dyn Solver>()?;
        let best = PREFERRED.into_iter().find(|name| registered.iter().any(|entry| entry.name == *name));
        Ok(best.unwrap_or(registered[0].name))
    }

    fn solve(&self, problem: &Problem, name: &str, solver: &dyn Solver) -> anyhow::Result<Found> {
        problem.run(name, solver).map_err(|error| {
            let chosen = self.solver.is_none();
            match error {
                SearchError::Solver(SolverError::TooLarge { .. }) if chosen => anyhow::Error::new(error)
                    .context("this problem needs a real solver: build with --features highs (or cbc)"),
                other => other.into(),
            }
        })
    }
}

type Format = fn(&Found, &Path) -> Result<(), artifact::WriteError>;

/// How a file is written, by its extension.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("json") => Ok(|found, path| artifact::write_json(path, found)),
        Some("yaml" | "yml") => Ok(|found, path| artifact::write(path, found.policy.to_limpq_yaml().as_bytes())),
        _ => anyhow::bail!(
            "--out {}: the name must end in .json (policy and proof) or .yaml (LIMPQ's bit lists)",
            path.display()
        ),
    }
}

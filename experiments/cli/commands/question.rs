//! The input of a search, which several commands take from the command line: indicators, network, constraints, solver.

use super::{Network, Settings, accounting, belongs::assumption, named, rising_indicators};
use anyhow::Context;
use limpq_core::graph::{Graph, Model};
use limpq_core::registry;
use limpq_core::search::{
    Accounting, Budget, BudgetText, Candidates, Constraints, DEFAULT_ALPHA, Deadline, Found, Indicators, Instance,
    NamedSolver, RisingIndicators, Rule, Rules, Search, SearchError, Share, Solved, Solver, SolverError,
};
use limpq_plugins::solvers::PREFERRED;
use std::path::PathBuf;

/// Arguments that define a search.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// Importance indicators: this program's JSON or LIMPQ's pickle
    #[arg(long, value_name = "FILE")]
    indicators: PathBuf,
    /// Name of the model that they belong to (see `limpq list model`), or the path of an ONNX file
    /// [default: from the file; LIMPQ's pickle has none]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    network: Network,
    /// Bit-widths to choose from, such as 6,5,4,3,2, in any order [default: those of the file]
    #[arg(long)]
    bits: Option<Candidates>,
    /// A limit, for example bitops=w3a4, bitops=48.3G, size=12.2x, size=6MiB..8MiB or average_weight_bits=3; may be
    /// repeated
    #[arg(long = "budget", value_name = "COST=LIMIT")]
    pub budgets: Vec<BudgetText>,
    /// Bits that layers may have, for example layer1.0.conv1=w8a8, 'layer4.*=w4,3,2' or '*=a8'; may be repeated
    #[arg(long = "layer", value_name = "LAYERS=BITS")]
    rules: Vec<Rule>,
    /// Layers that share their bits: a glob, @residual (all layers whose outputs are summed into one residual stream,
    /// identity shortcuts included), @concat (outputs joined by one concatenation), @depthwise (a depthwise layer with
    /// its readers) or @inputs (readers of one tensor); with the prefix weights: or acts:, only those bits; may be
    /// repeated
    #[arg(long = "share", value_name = "LAYERS")]
    shares: Vec<Share>,
    /// Weight of the weights' indicators relative to the activations'; with 0, weights do not count [default: from the
    /// file, else 2]
    #[arg(long, allow_negative_numbers = true)]
    alpha: Option<f64>,
    /// Whether a bit-width may be chosen whose indicator is below that of the next higher one in the file [default: forbid with
    /// --accounting limpq, else allow]
    #[arg(long, value_name = "RULE", value_parser = rising_indicators())]
    rising_indicators: Option<RisingIndicators>,
    /// How costs are counted
    #[arg(long, default_value = "exact", value_parser = accounting())]
    accounting: Accounting,
    /// Name of the solver [default: the best one that is built in]
    #[arg(long, value_name = "NAME")]
    solver: Option<String>,
    /// An option of the solver, the model or a cost, such as solver.time_limit_s=5, model.width=8 or
    /// cost.average_bits.of=activations
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A search with everything that it names read and built.
pub struct Asked {
    /// The network.
    pub graph: Graph,
    /// Its indicators.
    pub indicators: Indicators,
    candidates: Candidates,
    accounting: Accounting,
    budgets: Vec<Budget>,
    rules: Rules,
    /// Weight of the weights' indicators.
    pub alpha: f64,
    /// Whether bit-widths may be chosen whose indicator is below that of the next higher one.
    pub rising: RisingIndicators,
    /// Values that were assumed, because neither the file nor the command line gives them.
    pub assumed: Option<String>,
    solver_name: String,
    solver: Box<dyn Solver>,
    /// Deadline of everything that the command solves.
    deadline: Deadline,
    solver_was_chosen: bool,
}

impl Question {
    /// Checks that there is a budget.
    ///
    /// # Errors
    /// There is none.
    pub fn some_budget(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.budgets.is_empty(),
            "no budget is given, and without one the answer is always the highest bits; \
             give at least one --budget, for example --budget bitops=w3a4 or --budget size=12.2x"
        );
        Ok(())
    }

    /// Reads and builds everything. `budgets` may differ from those on the command line.
    ///
    /// # Errors
    /// Arguments that do not fit together, files that cannot be read.
    pub fn ask(&self, budgets: &[BudgetText]) -> anyhow::Result<Asked> {
        let mut settings = Settings::new(&self.set)?;
        let (model, solver) = (settings.take("model")?, settings.take("solver")?);
        let costs = Settings::from(settings.take("cost")?);
        settings.finish(&["model", "solver", "cost.NAME"])?;
        if let Some(name) = &self.model {
            registry::find::<dyn Model>(named(name).0)?;
        }
        let indicators = Indicators::read(&self.indicators)?;
        let file = self.indicators.display().to_string();
        let (graph, mut assumed) = self.network.recorded(&file, self.model.as_deref(), &model, (&indicators).into())?;
        let indicators = indicators.in_names_of(&graph)?;
        let alpha = self.alpha.or(indicators.provenance.alpha).unwrap_or_else(|| {
            assumed.push(format!("alpha {DEFAULT_ALPHA}"));
            DEFAULT_ALPHA
        });
        let budgets = built(budgets, costs)?;
        let solver_name = self.solver_name()?.to_owned();
        let solver = registry::build::<dyn Solver>(&solver_name, &solver)?;
        let deadline = NamedSolver::new(&solver_name, solver.as_ref()).deadline;
        Ok(Asked {
            candidates: self.bits.clone().unwrap_or_else(|| indicators.candidates.clone()),
            graph,
            indicators,
            accounting: self.accounting,
            budgets,
            rules: Rules { rules: self.rules.clone(), shares: self.shares.clone() },
            alpha,
            rising: self.rising_indicators.unwrap_or(RisingIndicators::with(self.accounting)),
            assumed: assumption(&file, &assumed),
            solver_name,
            solver,
            deadline,
            solver_was_chosen: self.solver.is_some(),
        })
    }

    fn solver_name(&self) -> anyhow::Result<&str> {
        if let Some(name) = &self.solver {
            return Ok(name);
        }
        let registered = registry::entries::<dyn Solver>()?;
        let best = PREFERRED.into_iter().find(|name| registered.iter().any(|entry| entry.name == *name));
        Ok(best.unwrap_or(registered[0].name))
    }
}

fn built(texts: &[BudgetText], mut options: Settings) -> anyhow::Result<Vec<Budget>> {
    let mut budgets = vec![];
    for text in texts {
        // Two budgets on one cost read the same options.
        let table = options.clone().take(&text.name)?;
        budgets.push(Budget::new(text.clone(), &table)?);
    }
    for text in texts {
        options.take(&text.name)?;
    }
    let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
    options.finish(&names).context("an option is set for a cost that no --budget is on")?;
    Ok(budgets)
}

impl Asked {
    /// The search.
    pub fn search(&self) -> Search<'_> {
        let constraints = Constraints {
            graph: &self.graph,
            candidates: &self.candidates,
            accounting: self.accounting,
            budgets: &self.budgets,
            rules: &self.rules,
        };
        Search { constraints, indicators: &self.indicators, alpha: self.alpha, rising: self.rising }
    }

    /// The solver.
    pub fn solver(&self) -> NamedSolver<'_> {
        NamedSolver { name: &self.solver_name, solver: self.solver.as_ref(), deadline: self.deadline }
    }

    /// The best policy, with the integer program.
    ///
    /// # Errors
    /// Constraints that no policy satisfies, a solver that fails.
    pub fn solve(&self) -> anyhow::Result<(Instance, Solved, Found)> {
        let search = self.search();
        let instance = search.instance()?;
        let solved = search.solve(&instance, self.solver(), None).map_err(|error| self.explained(error))?;
        let mut found = search.found(&instance, &solved, &self.solver_name);
        found.warnings.splice(0..0, self.assumed.clone());
        Ok((instance, solved, found))
    }

    /// An error of the search, with a hint if a better solver is not built in.
    pub fn explained(&self, error: SearchError) -> anyhow::Error {
        match error {
            SearchError::Solver(SolverError::TooLarge { .. }) if !self.solver_was_chosen => anyhow::Error::new(error)
                .context("this problem needs another solver: leave --solver out, or build with --features highs"),
            other => other.into(),
        }
    }
}

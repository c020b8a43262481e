//! One search: indicators, costs and budgets become a [`Problem`]; a solver's answer becomes a policy with its proof.

use super::{
    Accounting, BudgetError, BudgetText, Candidates, Choice, CostModel, CostTable, Group, Indicators, IndicatorsError,
    Policy, Precision, Problem, Proof, Row, Solver, SolverError, Status, solve,
};
use crate::graph::Graph;
use serde::Serialize;
use std::fmt;

/// A budget with the cost model that it is on.
pub struct Budget {
    /// Name and limit as written.
    pub text: BudgetText,
    /// What it limits.
    pub cost: Box<dyn CostModel>,
}

/// Everything that a search depends on.
pub struct Search<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// How sensitive its layers are.
    pub indicators: &'a Indicators,
    /// The bit-widths to choose from.
    pub candidates: &'a Candidates,
    /// Weight of the weights' indicators against the activations'; the most influential setting.
    pub alpha: f64,
    /// How costs are counted.
    pub accounting: Accounting,
    /// What must be kept; may be empty.
    pub budgets: &'a [Budget],
}

/// How much of a budget a policy uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetUse {
    /// Name of the budget.
    pub name: String,
    /// The limit as written.
    pub asked: String,
    /// The limit, in `unit`.
    pub limit: f64,
    /// What the policy uses, in `unit`.
    pub used: f64,
    /// The same for the network at 32 bits.
    pub at_32_bits: f64,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether it stands in the way of lowering the objective by changing one layer.
    pub binding: bool,
}

/// A found policy with everything needed to judge it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The bits, in graph order.
    #[serde(flatten)]
    pub policy: Policy,
    /// Sum of activation indicators plus alpha times sum of weight indicators.
    pub objective: f64,
    /// How far the answer can be trusted.
    pub proof: Proof,
    /// Use of each budget.
    pub budgets: Vec<BudgetUse>,
    /// How costs were counted.
    pub accounting: Accounting,
    /// Name of the solver.
    pub solver: String,
    /// Weight of the weights' indicators.
    pub alpha: f64,
    /// The candidates it chose from.
    pub candidates: Candidates,
}

/// A uniform policy, for comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Uniform {
    /// The bits of every searchable layer.
    pub bits: Precision,
    /// Its objective.
    pub objective: f64,
    /// Use of each budget, in the budget's printed unit.
    pub used: Vec<f64>,
    /// Whether it keeps every budget.
    pub fits: bool,
}

/// A budget that was asked for and the least that can be reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The budget as written.
    pub asked: String,
    /// Its limit, in `unit`.
    pub limit: f64,
    /// The least any policy uses, in `unit`.
    pub least: f64,
    /// The least as a compression against 32 bits.
    pub most_compression: f64,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether this budget alone is out of reach.
    pub out_of_reach: bool,
}

/// Why no policy keeps all budgets.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasible(pub Vec<Refused>);

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no policy keeps every budget:")?;
        for budget in &self.0 {
            let verdict = if budget.out_of_reach { "out of reach" } else { "reachable alone" };
            writeln!(
                f,
                "  {}: asked {:.6} {unit}, least achievable {:.6} {unit} ({:.2}x) - {verdict}",
                budget.asked,
                budget.limit,
                budget.least,
                budget.most_compression,
                unit = budget.unit
            )?;
        }
        if self.0.iter().any(|budget| budget.out_of_reach) {
            write!(f, "raise the budgets that are out of reach, or add lower bit-widths to --bits")
        } else {
            write!(f, "each budget can be kept alone, but not all of them together: raise at least one")
        }
    }
}

/// Why a search gave no policy.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The indicators do not fit.
    #[error(transparent)]
    Indicators(#[from] IndicatorsError),
    /// A budget cannot be read.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// Alpha is not a positive number.
    #[error("alpha must be a positive number, got {0}")]
    Alpha(f64),
    /// The accounting leaves a layer without options.
    #[error("layer {layer:?} has no bit-width left under the {accounting} accounting")]
    NoChoice {
        /// The layer.
        layer: String,
        /// The accounting.
        accounting: Accounting,
    },
    /// No policy keeps every budget.
    #[error("{0}")]
    Infeasible(Infeasible),
    /// The solver gave up or failed.
    #[error(transparent)]
    Solver(SolverError),
}

impl Search<'_> {
    /// Whether every budget can be read and kept alone: what can be said before there are indicators.
    ///
    /// # Errors
    /// Budgets that cannot be read, or that no choice of bits keeps.
    pub fn preflight(
        graph: &Graph,
        candidates: &Candidates,
        accounting: Accounting,
        budgets: &[Budget],
    ) -> Result<(), SearchError> {
        let tables = tables(graph, candidates, accounting, budgets);
        let layers = graph.searchable();
        let mut refused = vec![];
        for (table, budget) in tables.iter().zip(budgets) {
            let limit = budget.text.limit(table)?;
            let least_of = |layer| candidates.pairs().map(|bits| table.of(layer, bits)).min().unwrap_or_default();
            let least = table.fixed + (0..layers.len()).map(least_of).sum::<u64>();
            refused.push(Refused {
                asked: budget.text.to_string(),
                limit: table.printed(limit),
                least: table.printed(least),
                most_compression: table.at_32_bits() as f64 / least.max(1) as f64,
                unit: table.unit.symbol(),
                out_of_reach: least > limit,
            });
        }
        match refused.iter().any(|budget| budget.out_of_reach) {
            true => Err(SearchError::Infeasible(Infeasible(refused))),
            false => Ok(()),
        }
    }

    /// The integer program and the cost tables behind its rows.
    ///
    /// # Errors
    /// Indicators that do not fit, budgets that cannot be read.
    pub fn problem(&self) -> Result<(Problem, Vec<CostTable>), SearchError> {
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(SearchError::Alpha(self.alpha));
        }
        self.indicators.check(self.graph, self.candidates)?;
        let tables = tables(self.graph, self.candidates, self.accounting, self.budgets);
        let rows = tables.iter().zip(self.budgets).map(|(table, budget)| {
            let limit = i128::from(budget.text.limit(table)?) - i128::from(table.fixed);
            Ok(Row { name: budget.text.to_string(), limit })
        });
        let rows = rows.collect::<Result<_, BudgetError>>()?;
        let groups = self.graph.searchable().into_iter().enumerate().map(|(index, layer)| {
            let choices = self.choices(index, &layer.name, &tables);
            match choices.is_empty() {
                true => Err(SearchError::NoChoice { layer: layer.name, accounting: self.accounting }),
                false => Ok(Group { layer: layer.name, choices }),
            }
        });
        Ok((Problem { groups: groups.collect::<Result<_, _>>()?, rows }, tables))
    }

    fn choices(&self, index: usize, layer: &str, tables: &[CostTable]) -> Vec<Choice> {
        let indicators = &self.indicators.layers[layer];
        let allowed = |values: &std::collections::BTreeMap<_, f64>, bits| {
            let higher = self.candidates.iter().take_while(|&other| other > bits).last();
            !self.accounting.forbids(values[&bits], higher.map(|bits| values[&bits]))
        };
        let open = |bits: &Precision| allowed(&indicators.weight, bits.weight) && allowed(&indicators.act, bits.act);
        let choice = |bits: Precision| Choice {
            bits,
            loss: indicators.act[&bits.act] + self.alpha * indicators.weight[&bits.weight],
            costs: tables.iter().map(|table| table.of(index, bits)).collect(),
        };
        self.candidates.pairs().filter(open).map(choice).collect()
    }

    /// Finds the best policy.
    ///
    /// # Errors
    /// As [`Self::problem`]; budgets that cannot be kept; a solver that fails.
    pub fn run(&self, solver_name: &str, solver: &dyn Solver) -> Result<Found, SearchError> {
        let (problem, tables) = self.problem()?;
        let infeasible = || SearchError::Infeasible(self.refused(&problem, &tables));
        if (0..problem.rows.len()).any(|row| problem.least(row) > problem.rows[row].limit) {
            return Err(infeasible());
        }
        let (picks, objective, proof) = solve(solver_name, solver, &problem).map_err(|error| match error {
            SolverError::Infeasible => infeasible(),
            other => SearchError::Solver(other),
        })?;
        let bits = problem.groups.iter().zip(&picks).map(|(group, &pick)| group.choices[pick].bits);
        Ok(Found {
            policy: Policy::new(self.graph, bits),
            objective,
            proof,
            budgets: self.uses(&problem, &tables, &picks),
            accounting: self.accounting,
            solver: solver_name.to_owned(),
            alpha: self.alpha,
            candidates: self.candidates.clone(),
        })
    }

    /// The uniform policy of smallest objective that keeps every budget: the same weight bits and the same activation
    /// bits in every layer. `None` when no uniform policy keeps them.
    ///
    /// # Errors
    /// As [`Self::problem`].
    pub fn best_uniform(&self) -> Result<Option<Uniform>, SearchError> {
        let all = self.uniforms()?.into_iter().filter(|uniform| uniform.fits);
        Ok(all.min_by(|a, b| a.objective.total_cmp(&b.objective)))
    }

    /// Every uniform policy, highest weight bits first. The accounting's forbidden bit-widths are not forbidden here: a
    /// uniform policy needs no indicators.
    ///
    /// # Errors
    /// As [`Self::problem`].
    pub fn uniforms(&self) -> Result<Vec<Uniform>, SearchError> {
        let (problem, tables) = self.problem()?;
        let layers = self.graph.searchable();
        let uniform = |bits: Precision| {
            let loss = |name: &String| {
                let indicators = &self.indicators.layers[name];
                indicators.act[&bits.act] + self.alpha * indicators.weight[&bits.weight]
            };
            let costs: Vec<u64> = tables.iter().map(|table| table.uniform(bits)).collect();
            let keeps = |(table, (row, &cost)): (&CostTable, (&Row, &u64))| {
                i128::from(cost) - i128::from(table.fixed) <= row.limit
            };
            Uniform {
                bits,
                objective: layers.iter().map(|layer| loss(&layer.name)).sum(),
                fits: tables.iter().zip(problem.rows.iter().zip(&costs)).all(keeps),
                used: tables.iter().zip(costs).map(|(table, cost)| table.printed(cost)).collect(),
            }
        };
        Ok(self.candidates.pairs().map(uniform).collect())
    }

    fn uses(&self, problem: &Problem, tables: &[CostTable], picks: &[usize]) -> Vec<BudgetUse> {
        let rows = tables.iter().zip(&problem.rows).zip(self.budgets).enumerate();
        rows.map(|(index, ((table, row), budget))| {
            let used = problem.used(picks, index);
            let whole = |searched: i128| table.printed((searched + i128::from(table.fixed)).max(0) as u64);
            BudgetUse {
                name: budget.text.name.clone(),
                asked: budget.text.to_string(),
                limit: whole(row.limit),
                used: whole(used),
                at_32_bits: table.printed(table.at_32_bits()),
                unit: table.unit.symbol(),
                binding: binds(problem, picks, index, row.limit - used),
            }
        })
        .collect()
    }

    fn refused(&self, problem: &Problem, tables: &[CostTable]) -> Infeasible {
        let rows = tables.iter().zip(&problem.rows).zip(self.budgets).enumerate();
        let refused = rows.map(|(index, ((table, row), budget))| {
            let least = problem.least(index);
            let whole = |searched: i128| (searched + i128::from(table.fixed)).max(0) as u64;
            Refused {
                asked: budget.text.to_string(),
                limit: table.printed(whole(row.limit)),
                least: table.printed(whole(least)),
                most_compression: table.at_32_bits() as f64 / whole(least).max(1) as f64,
                unit: table.unit.symbol(),
                out_of_reach: least > row.limit,
            }
        });
        Infeasible(refused.collect())
    }
}

fn tables(graph: &Graph, candidates: &Candidates, accounting: Accounting, budgets: &[Budget]) -> Vec<CostTable> {
    let table = |Budget { text, cost }: &Budget| {
        let precisions = candidates.pairs().chain(text.precision());
        CostTable::new(&text.name, cost.as_ref(), graph, precisions, accounting)
    };
    budgets.iter().map(table).collect()
}

/// Whether some layer has an option of smaller loss that does not fit into what is left of this budget.
fn binds(problem: &Problem, picks: &[usize], row: usize, left: i128) -> bool {
    problem.groups.iter().zip(picks).any(|(group, &pick)| {
        let now = &group.choices[pick];
        group
            .choices
            .iter()
            .any(|choice| choice.loss < now.loss && i128::from(choice.costs[row]) - i128::from(now.costs[row]) > left)
    })
}

impl Found {
    /// Whether the answer is proven to be the best.
    pub fn is_optimal(&self) -> bool {
        self.proof.status == Status::Optimal
    }
}

//! The search problem as a 0-1 program for a library: x(g, c) = 1 when layer g takes choice c.
//!
//! Minimise the sum of loss(g, c) x(g, c), with sum over c of x(g, c) = 1 for each layer and one row for each budget.
//! What is handed over is an equivalent program in numbers that suit a library's absolute tolerances (about 1e-9):
//!
//! - choices that cannot be part of any policy are left out, by integer arithmetic: cost of the choice plus the least
//!   of all other layers is above a limit. A layer that loses every choice proves infeasibility, exactly;
//! - each row is over what choices cost above their layer's least, divided by the greatest common divisor. Numbers up
//!   to 10^4 stay integers, larger ones are scaled to that size, so that a tolerance of 1e-9 is 1e-13 of the budget;
//! - losses count from their layer's least and are scaled so that the largest is 10^3. Two policies whose losses differ
//!   by less than about 1e-12 of the largest are equally good to such a library. Where that is not small beside the
//!   objective found, choices whose loss alone is above it are left out too, and the smaller program is solved again.

use super::seconds::Seconds;
use good_lp::{Expression, ProblemVariables, Solver, SolverModel, variable};
use limpq_core::search::{Answer, Beside, Deadline, Problem, SolverError, Status};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Largest coefficient of a budget's row.
const ROW_SCALE: f64 = 1e4;
/// Largest coefficient of the objective.
const LOSS_SCALE: f64 = 1e3;
/// How close to 1 the chosen variable of a layer must be.
const INTEGRAL: f64 = 1e-5;

/// Tolerance that the libraries are set to, and with which they compare objectives of this program.
pub(super) const TOLERANCE: f64 = 1e-9;

/// A proof must tell objectives apart that differ by this share.
const RESOLUTION: f64 = 1e-10;

/// Nodes of a library's tree; one at least, as many as fit into 31 bits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct NodeLimit(NonZeroU32);

impl Default for NodeLimit {
    /// Some ten seconds of work, on networks of published size.
    fn default() -> Self {
        Self(NonZeroU32::new(20_000).expect("it is not zero"))
    }
}

/// When a library is to stop.
pub(super) struct Limits {
    nodes: NodeLimit,
    pub deadline: Deadline,
}

impl Limits {
    pub(super) fn new(nodes: NodeLimit, seconds: Option<Seconds>, beside: Beside) -> Self {
        let own = seconds.map_or(Deadline::NEVER, |seconds| Deadline::after(seconds.get()));
        Self { nodes, deadline: own.or(beside.deadline) }
    }

    /// Nodes that it may look at, as libraries count.
    pub(super) fn nodes(&self) -> i32 {
        i32::try_from(self.nodes.0.get()).unwrap_or(i32::MAX)
    }

    /// Seconds that are left to it. A moment, if there are none, so that it says so itself.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.deadline.left_s().map(|seconds| seconds.max(1e-3))
    }

    /// What to say when nothing was found within them.
    pub(super) fn nothing_found(&self) -> SolverError {
        match self.deadline.passed() {
            true => SolverError::NothingFound { limit: "the time limit".into(), option: "solver.time_limit_s" },
            false => SolverError::NothingFound {
                limit: format!("the limit of {} nodes (or one of the library's own)", self.nodes.0),
                option: "solver.node_limit",
            },
        }
    }
}

/// Solves a problem with a library, given as a function that solves a program.
///
/// # Errors
/// Those of the function, and [`SolverError::Infeasible`] when integer arithmetic proves it.
pub(super) fn solve(
    problem: &Problem,
    run: impl Fn(&Program<'_>) -> Result<Answer, SolverError>,
) -> Result<Answer, SolverError> {
    let mut program = Program::new(problem, f64::INFINITY)?;
    let mut before: Option<Answer> = None;
    loop {
        if let Some(answer) = program.decided() {
            return Ok(answer);
        }
        let answer = match (run(&program), before.take()) {
            (Ok(answer), None) => answer,
            (Err(error), None) => return Err(error),
            // A finer look that proves nothing takes nothing away from the policy that is there already.
            (Ok(answer), Some(before)) if answer.status != Status::Optimal => {
                let better = problem.objective(&answer.picks) < problem.objective(&before.picks);
                let picks = if better && problem.feasible(&answer.picks) { answer.picks } else { before.picks };
                return Ok(Answer { picks, status: Status::Stopped, ..answer });
            }
            (Ok(answer), Some(_)) => answer,
            (Err(_), Some(before)) => return Ok(Answer { status: Status::Stopped, bound: None, ..before }),
        };
        let objective = problem.objective(&answer.picks);
        let resolved = 2.0 * TOLERANCE * program.spread <= RESOLUTION * objective.abs();
        // A policy that overruns a budget is no reason to leave choices out; whoever called will refuse it.
        if answer.status != Status::Optimal || resolved || !problem.feasible(&answer.picks) {
            return Ok(answer);
        }
        let narrower = Program::new(problem, objective)?;
        if narrower.losses.len() == program.losses.len() {
            return Ok(answer);
        }
        program = narrower;
        before = Some(answer);
    }
}

/// What the variables may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// 0 or 1: the problem itself.
    Binary,
    /// Anything between: a relaxation, whose optimum bounds that of the problem.
    Between,
}

/// A search problem made ready for a library.
pub(super) struct Program<'p> {
    problem: &'p Problem,
    /// For each layer the choices that can be part of a policy. Variables are in this order.
    open: Vec<Vec<usize>>,
    /// For each budget that can be overrun at all: its limit and its coefficients, in the order of the variables.
    rows: Vec<(f64, Vec<f64>)>,
    /// Coefficients of the objective.
    losses: Vec<f64>,
    /// Objective of the problem = `least` + objective of the program * `spread`.
    least: f64,
    spread: f64,
}

impl<'p> Program<'p> {
    /// The program of a problem, for policies whose objective is `most` or less.
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] when integer arithmetic proves it without a search.
    pub(super) fn new(problem: &'p Problem, most: f64) -> Result<Self, SolverError> {
        let open = open_choices(problem, most)?;
        let mut rows = Vec::new();
        for (index, row) in problem.rows.iter().enumerate() {
            let least: Vec<u64> = least_costs(problem, &open, index);
            let slack = (row.limit - sum(&least)).cast_unsigned();
            let excess: Vec<u64> = columns(&open).map(|(g, c)| cost(problem, g, c, index) - least[g]).collect();
            let unit = excess.iter().copied().fold(0, gcd).max(1);
            let units = (slack / u128::from(unit)) as f64;
            // Single choices fit, so no coefficient is above the limit.
            let worst: f64 = open.iter().zip(&least).enumerate().fold(0.0, |total, (g, (choices, least))| {
                let most = choices.iter().map(|&c| cost(problem, g, c, index)).max();
                total + ((most.unwrap_or(*least) - least) / unit) as f64
            });
            if worst > units {
                let scale = (ROW_SCALE / units).min(1.0);
                rows.push((units * scale, excess.iter().map(|&cost| (cost / unit) as f64 * scale).collect()));
            }
        }
        let loss = |(g, c): (usize, usize)| problem.groups[g].choices[c].loss;
        let floors: Vec<f64> =
            (0..open.len()).map(|g| open[g].iter().map(|&c| loss((g, c))).fold(f64::INFINITY, f64::min)).collect();
        let losses: Vec<f64> = columns(&open).map(|(g, c)| loss((g, c)) - floors[g]).collect();
        let largest = losses.iter().copied().fold(0.0, f64::max);
        let spread = if largest > 0.0 { largest / LOSS_SCALE } else { 1.0 };
        let losses = losses.iter().map(|loss| loss / spread).collect();
        Ok(Self { problem, open, rows, losses, least: floors.iter().sum(), spread })
    }

    /// The answer, when there is one policy left at most or no budget can be overrun: no library is needed.
    pub(super) fn decided(&self) -> Option<Answer> {
        if !self.rows.is_empty() && self.open.iter().any(|choices| choices.len() > 1) {
            return None;
        }
        let loss = |g: usize, c: usize| self.problem.groups[g].choices[c].loss;
        let best = |(g, choices): (usize, &Vec<usize>)| {
            choices.iter().copied().min_by(|&a, &b| loss(g, a).total_cmp(&loss(g, b)))
        };
        let picks: Vec<usize> = self.open.iter().enumerate().filter_map(best).collect();
        let bound = Some(self.problem.objective(&picks));
        Some(Answer { picks, status: Status::Optimal, bound, nodes: None })
    }

    /// The program as a model of the given library.
    pub(super) fn model<S: Solver>(&self, values: Values, solver: S) -> S::Model {
        let mut variables = ProblemVariables::new();
        let kind = match values {
            Values::Binary => variable().binary(),
            Values::Between => variable().clamp(0, 1),
        };
        let x = variables.add_vector(kind, self.losses.len());
        let weighted = |coefficients: &[f64]| -> Expression {
            coefficients.iter().zip(&x).filter(|(weight, _)| **weight != 0.0).map(|(&weight, &x)| weight * x).sum()
        };
        let mut model = variables.minimise(weighted(&self.losses)).using(solver);
        let mut first = 0;
        for choices in &self.open {
            let group = &x[first..first + choices.len()];
            model.add_constraint(group.iter().copied().sum::<Expression>().eq(1));
            first += choices.len();
        }
        for (limit, costs) in &self.rows {
            model.add_constraint(weighted(costs).leq(*limit));
        }
        model
    }

    /// The policy in a library's values, `None` when they are not integral. Libraries return 0.9999999: the largest
    /// value of a layer counts.
    pub(super) fn picks(&self, values: &[f64]) -> Option<Vec<usize>> {
        let mut first = 0;
        let mut picks = Vec::with_capacity(self.open.len());
        for choices in &self.open {
            let values = values.get(first..first + choices.len())?;
            let (largest, value) = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            if (value - 1.0).abs() > INTEGRAL {
                return None;
            }
            picks.push(choices[largest]);
            first += choices.len();
        }
        Some(picks)
    }

    /// A bound on the objective of the problem from one on the objective of the program; `None` when there is none.
    pub(super) fn bound(&self, scaled: f64) -> Option<f64> {
        (scaled.abs() < 1e20).then_some(self.least + scaled * self.spread)
    }

    /// Whether a library's bound leaves a policy no room but for its tolerance and for rounding.
    pub(super) fn closed(&self, picks: &[usize], bound: f64) -> bool {
        let objective = self.scaled(picks);
        objective - bound <= 2.0 * TOLERANCE + 1e-12 * objective.abs()
    }

    /// Objective of a policy in the program.
    fn scaled(&self, picks: &[usize]) -> f64 {
        (self.problem.objective(picks) - self.least) / self.spread
    }

    /// Number of layers.
    pub(super) fn groups(&self) -> usize {
        self.open.len()
    }

    /// The bound of budget prices: the sum over layers of the least of loss + price * cost, less price * limit. It
    /// holds for any prices that are not negative, whatever tolerance they were computed with. Prices are in the order
    /// of the model's last constraints.
    #[cfg(feature = "highs")]
    pub(super) fn priced(&self, prices: &[f64]) -> Option<f64> {
        let prices = prices.get(self.groups()..)?;
        let mut total: f64 = self.rows.iter().zip(prices).map(|((limit, _), price)| -price.abs() * limit).sum();
        let mut first = 0;
        for choices in &self.open {
            let priced = (first..first + choices.len()).map(|column| {
                let costs = self.rows.iter().zip(prices).map(|((_, costs), price)| price.abs() * costs[column]);
                self.losses[column] + costs.sum::<f64>()
            });
            total += priced.fold(f64::INFINITY, f64::min);
            first += choices.len();
        }
        self.bound(total)
    }
}

/// Choices that fit beside the least of all other layers, in every budget and in the objective; repeated until nothing
/// changes.
fn open_choices(problem: &Problem, most: f64) -> Result<Vec<Vec<usize>>, SolverError> {
    let mut open: Vec<Vec<usize>> = problem.groups.iter().map(|group| (0..group.choices.len()).collect()).collect();
    loop {
        if open.iter().any(Vec::is_empty) {
            return Err(SolverError::Infeasible);
        }
        let before: usize = open.iter().map(Vec::len).sum();
        for (index, row) in problem.rows.iter().enumerate() {
            let least = least_costs(problem, &open, index);
            let slack = row.limit - sum(&least);
            if slack < 0 {
                return Err(SolverError::Infeasible);
            }
            for (g, choices) in open.iter_mut().enumerate() {
                choices.retain(|&c| i128::from(cost(problem, g, c, index)) - i128::from(least[g]) <= slack);
            }
        }
        let floors = least_losses(problem, &open);
        let doubt =
            f64::EPSILON * open.len() as f64 * (most.abs() + floors.iter().map(|floor| floor.abs()).sum::<f64>());
        let spare = most - floors.iter().sum::<f64>() + doubt;
        if spare.is_finite() {
            for ((choices, group), floor) in open.iter_mut().zip(&problem.groups).zip(&floors) {
                choices.retain(|&c| group.choices[c].loss - floor <= spare);
            }
        }
        if open.iter().map(Vec::len).sum::<usize>() == before {
            return Ok(open);
        }
    }
}

fn least_costs(problem: &Problem, open: &[Vec<usize>], row: usize) -> Vec<u64> {
    let least =
        |(g, choices): (usize, &Vec<usize>)| choices.iter().map(|&c| cost(problem, g, c, row)).min().unwrap_or(0);
    open.iter().enumerate().map(least).collect()
}

fn least_losses(problem: &Problem, open: &[Vec<usize>]) -> Vec<f64> {
    let loss = |g: usize, c: usize| problem.groups[g].choices[c].loss;
    let least = |(g, choices): (usize, &Vec<usize>)| choices.iter().map(|&c| loss(g, c)).fold(f64::INFINITY, f64::min);
    open.iter().enumerate().map(least).collect()
}

fn columns(open: &[Vec<usize>]) -> impl Iterator<Item = (usize, usize)> {
    open.iter().enumerate().flat_map(|(g, choices)| choices.iter().map(move |&c| (g, c)))
}

/// What a choice costs in a row. Peaks are memory, of which nobody has 2^64 bits.
fn cost(problem: &Problem, g: usize, c: usize, row: usize) -> u64 {
    u64::try_from(problem.cost(&problem.groups[g].choices[c], row)).unwrap_or(u64::MAX)
}

fn sum(costs: &[u64]) -> i128 {
    costs.iter().map(|&cost| i128::from(cost)).sum()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract::{self, Written};

    const GROUP: &[Written<'_>] = &[(2, 5.0, &[100]), (3, 3.0, &[160]), (4, 1.0, &[1000])];

    #[test]
    fn rows_count_units_above_the_least() {
        let problem = contract::problem(&[GROUP, GROUP], &[300]);
        let program = Program::new(&problem, f64::INFINITY).unwrap();
        assert_eq!(program.open, [[0, 1], [0, 1]]);
        // 300 - 2 * 100 = 100; the unit is 60, of which one fits.
        assert_eq!(program.rows, [(1.0, vec![0.0, 1.0, 0.0, 1.0])]);
        assert_eq!(program.losses, [1000.0, 0.0, 1000.0, 0.0]);
        assert_eq!(program.bound(1000.0), Some(8.0));
        assert_eq!(program.scaled(&[0, 1]), 1000.0);
    }

    #[test]
    fn rows_that_nothing_overruns_are_dropped() {
        let problem = contract::problem(&[GROUP, GROUP], &[2000]);
        assert_eq!(Program::new(&problem, f64::INFINITY).unwrap().decided().unwrap().picks, [2, 2]);
        let problem = contract::problem(&[GROUP, GROUP], &[1999]);
        assert!(Program::new(&problem, f64::INFINITY).unwrap().decided().is_none());
    }

    #[test]
    fn infeasible_without_a_search() {
        for limit in [199, 0, -1] {
            let problem = contract::problem(&[GROUP, GROUP], &[limit]);
            assert!(matches!(Program::new(&problem, f64::INFINITY), Err(SolverError::Infeasible)));
        }
    }

    #[test]
    fn picks_are_the_largest_values_and_only_integral_ones() {
        let problem = contract::problem(&[GROUP, GROUP], &[1999]);
        let program = Program::new(&problem, f64::INFINITY).unwrap();
        assert_eq!(program.picks(&[0.0, 0.9999999, 1e-7, 1.0, 0.0, 0.0]), Some(vec![1, 0]));
        assert_eq!(program.picks(&[0.0, 0.6, 0.4, 1.0, 0.0, 0.0]), None);
        assert_eq!(program.picks(&[0.0, 1.0]), None);
    }

    #[test]
    fn a_known_objective_leaves_choices_out() {
        let problem = contract::problem(&[GROUP, GROUP], &[1999]);
        // The least losses are 1 and 1: beside one of them, 3 is within 4 and 5 is not.
        assert_eq!(Program::new(&problem, 4.0).unwrap().open, [[1, 2], [1, 2]]);
    }
}

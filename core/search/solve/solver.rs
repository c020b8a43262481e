//! The solver boundary: a problem in, a policy with its proof or an honest refusal out.

use super::scale::solve_scaled;
use crate::search::{Deadline, Problem};
use serde::{Deserialize, Serialize};

/// How far an answer can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// No policy within the budgets is better.
    Optimal,
    /// A limit ended the search; the gap says how much better a policy could still be.
    Stopped,
    /// Found without a proof.
    Heuristic,
}

/// Evidence that comes with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// How far it goes.
    pub status: Status,
    /// No policy within the budgets has a smaller objective than this.
    pub bound: f64,
    /// (objective - bound) / |objective|; 0 when optimal, at most 1 when the objective is 0.
    pub gap: f64,
    /// Time the solver took, in seconds; not written if it is 0, as in what a run keeps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
    /// How many parts of the problem it looked at, where the solver counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u64>,
}

fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// What a solver found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Index of the chosen option of each group.
    pub picks: Vec<usize>,
    /// How far it goes.
    pub status: Status,
    /// No feasible policy has a smaller objective; `None` when the solver knows none.
    pub bound: Option<f64>,
    /// How many parts of the problem were looked at; `None` when the solver does not count.
    pub nodes: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SolverError {
    /// Proven: no policy keeps every budget.
    #[error("no policy keeps every budget")]
    Infeasible,
    /// A limit ended the search before any policy was found.
    #[error("{limit} ended the search before a policy was found; raise it: {option}")]
    NothingFound {
        /// The limit, in words.
        limit: String,
        /// The option that raises it.
        option: &'static str,
    },
    /// Too large for this solver.
    #[error("{solver} handles up to {allowed} policies, this problem has {found}; use another solver")]
    TooLarge {
        /// Name of the solver.
        solver: &'static str,
        /// How many policies there are, in words.
        found: String,
        /// How many it tries.
        allowed: u64,
    },
    /// The library behind the solver failed.
    #[error("{solver} failed: {message}")]
    Library {
        /// Name of the solver.
        solver: &'static str,
        /// What it said.
        message: String,
    },
    /// An answer that does not survive the check in exact arithmetic.
    #[error(
        "{solver} returned a policy that overruns budget {budget} by {excess} units in exact arithmetic; \
         this is a numerical fault of that solver, use another one"
    )]
    Overrun {
        /// Name of the solver.
        solver: String,
        /// Which budget.
        budget: String,
        /// By how much, in the budget's integer unit.
        excess: i128,
    },
}

/// Solves multiple-choice problems.
///
/// ```
/// # use limpq_core::search::{Answer, Choice, Group, Named, Problem, Row, Solver, SolverError, Status, solve};
/// /// The option of each group that costs least in the first row: within that budget if anything is, and rarely good.
/// struct Cheapest;
///
/// impl Solver for Cheapest {
///     fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
///         let cost = |group: &Group, choice: usize| problem.cost(&group.choices[choice], 0);
///         let cheapest = |group: &Group| {
///             (0..group.choices.len()).min_by_key(|&choice| cost(group, choice)).expect("a group has options")
///         };
///         let picks = problem.groups.iter().map(cheapest).collect();
///         // Without a proof, and without a bound of its own.
///         Ok(Answer { picks, status: Status::Heuristic, bound: None, nodes: None })
///     }
/// }
///
/// let choice = |bits: &str, loss: f64, cost: u64| {
///     Choice { bits: vec![bits.parse().unwrap()], loss, costs: vec![cost].into() }
/// };
/// let choices = vec![choice("w4a4", 1.0, 4), choice("w2a2", 3.0, 2)];
/// let group = |layer: &str| Group { layers: vec![layer.into()], choices: choices.clone() };
/// let problem = Problem { groups: vec![group("conv1"), group("conv2")], rows: vec![Row::new("size", 6)] };
/// // What it returns is checked in exact arithmetic; budgets ignored, two is the least that could be lost.
/// let solved = solve(Named::new("cheapest", &Cheapest), &problem, None)?;
/// assert_eq!((solved.picks, solved.objective, solved.proof.bound), (vec![1, 1], 6.0, 2.0));
/// # Ok::<(), SolverError>(())
/// ```
pub trait Solver: Send + Sync {
    /// The best policy with its proof. Deterministic unless a limit of time ends it: one problem, one answer.
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] only when that is proven.
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError>;

    /// The same, told what the caller knows besides. That may save time and must not change the answer, but for the deadline:
    /// when it is over, the best policy found so far is the answer, with what is proven of it.
    ///
    /// # Errors
    /// As [`Self::solve`].
    fn solve_beside(&self, problem: &Problem, _beside: Beside) -> Result<Answer, SolverError> {
        self.solve(problem)
    }

    /// Seconds that a command may take for all that it solves; `None` for as long as it takes.
    fn time_limit_s(&self) -> Option<f64> {
        None
    }
}

/// What a caller knows beside the problem.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The answer of a similar problem, which may or may not keep the budgets of this one.
    pub near: Option<&'a [usize]>,
    /// When to stop, beside the solver's own limits.
    pub deadline: Deadline,
}

/// A solver at work for a command: its name in answers, and the one deadline of all that the command solves.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// Its registered name.
    pub name: &'a str,
    /// The solver.
    pub solver: &'a dyn Solver,
    /// When the command's time is over.
    pub deadline: Deadline,
}

impl<'a> Named<'a> {
    /// A solver whose time for a command starts now.
    pub fn new(name: &'a str, solver: &'a dyn Solver) -> Self {
        Self { name, solver, deadline: solver.time_limit_s().map_or(Deadline::NEVER, Deadline::after) }
    }
}

/// A checked answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// Index of the chosen option of each group.
    pub picks: Vec<usize>,
    /// Total loss.
    pub objective: f64,
    /// How far it can be trusted.
    pub proof: Proof,
}

/// Runs a solver on losses of a size that it computes well with, checks what it returns in exact arithmetic and times it. `near`
/// is the answer of a similar problem.
///
/// # Errors
/// Those of the solver, and an answer that overruns a budget.
pub fn solve(solver: Named, problem: &Problem, near: Option<&[usize]>) -> Result<Solved, SolverError> {
    let start = std::time::Instant::now();
    let answer = solve_scaled(solver.solver, problem, Beside { near, deadline: solver.deadline })?;
    let seconds = start.elapsed().as_secs_f64();
    for (used, row) in problem.uses(&answer.picks).iter().zip(&problem.rows) {
        let excess = used - row.limit;
        if excess > 0 {
            return Err(SolverError::Overrun { solver: solver.name.to_owned(), budget: row.name.clone(), excess });
        }
    }
    let objective = problem.objective(&answer.picks);
    let bound = match (answer.status, answer.bound) {
        (Status::Optimal, _) => objective,
        // A gap of nothing is for what is proven: rounding may bring a bound up to the objective.
        (_, Some(bound)) if bound.is_finite() => bound.min(objective.next_down()),
        _ => relaxed(problem).min(objective.next_down()),
    };
    let gap = match objective {
        _ if objective == bound => 0.0,
        0.0 => 1.0,
        _ => ((objective - bound) / objective.abs()).min(f64::MAX),
    };
    let proof = Proof { status: answer.status, bound, gap, seconds, nodes: answer.nodes };
    Ok(Solved { picks: answer.picks, objective, proof })
}

/// The bound that needs no solver: every layer at its least loss, budgets ignored.
fn relaxed(problem: &Problem) -> f64 {
    let least =
        |group: &crate::search::Group| group.choices.iter().map(|choice| choice.loss).fold(f64::INFINITY, f64::min);
    problem.groups.iter().map(least).sum()
}

//! An exact solver for multiple-choice knapsack problems with several budgets, in pure Rust.
//!
//! # The problem
//!
//! Given groups of options, choose exactly one option of each group so that the sum of the chosen options' losses is
//! least and every budget is kept:
//!
//! ```text
//! minimise   sum over groups g of loss[g][x[g]]
//! so that    sum over groups g of cost[r][g][x[g]] <= limit[r]    for every row r
//! ```
//!
//! In the literature this is the multiple-choice knapsack problem (MCKP; Sinha & Zoltners, Operations Research 27,
//! 1979) with one budget and the multidimensional one (MMKP; Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004,
//! ch. 11) with several.
//!
//! ```
//! use mmkp::{Choice, Group, Limits, Problem, Row, Status, solve};
//!
//! // Two groups; the costs of an option are those in row 0 and row 1.
//! let one = [Choice::new(9.0, [1, 2]), Choice::new(4.0, [2, 2]), Choice::new(1.0, [3, 4])];
//! let two = [Choice::new(8.0, [1, 1]), Choice::new(2.0, [2, 3])];
//! let groups: Vec<Group> = vec![one.into_iter().collect(), two.into_iter().collect()];
//! let problem = Problem::new(groups, vec![Row::new(5), Row::new(5)])?;
//! let solution = solve(&problem, &Limits::default())?;
//! assert_eq!((solution.picks, solution.objective, solution.status), (vec![1, 1], 6.0, Status::Optimal));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - **Budgets are kept exactly.** Costs are integers (`u64`), limits are `i128`, sums are exact: no budget is overrun
//!   by a unit.
//! - **Losses are compared exactly.** They are turned into fixed-point integers that hold the given floats to the last
//!   bit, as long as all of them fit into 126 bits at once (1e-9 and 1e9 together do). Where they do not, the solver
//!   removes options that are out of the question and solves again, and never calls proven what it could not tell
//!   apart.
//! - **Ties are broken in one way.** Of equally good solutions the one with the smallest sum of tiebreaks wins, then
//!   the one whose options come first. Only where more than 16384 partial solutions tie with the optimum is it the best
//!   found among them.
//! - **`Optimal` and `Infeasible` are proven.** Bounds are floats; each carries an allowance for its own rounding, and
//!   nothing is cut within it.
//! - **A limit is honest.** A limit of nodes or of time gives the best solution found so far, with a dual bound. A
//!   limit of nodes gives the same solution on every machine. Memory is bounded: a gigabyte at worst.
//!
//! # Limits
//!
//! The problem is NP-hard. Instances whose costs are nearly the negated losses, with two budgets or more, are not
//! solved in any reasonable time by anybody; there the limit of nodes ends the search with a gap. Up to 256 rows may
//! bind at once, of any number; a row that can bind spans less than 2^63 units.
//!
//! # Method
//!
//! Problems of few rows are solved by branch and bound in the form of dynamic programming with a beam that widens,
//! bounded by Lagrangian multipliers, with reduced-cost fixing (`few_rows`). Many rows join in when they are overrun,
//! as lazy constraints (`lazy_rows`), the problem falls into the components that rows join (`components`), and
//! components whose rows know few groups each are paths through a layered graph (`layered`).

mod components;
mod few_rows;
mod fixed_point;
mod layered;
mod lazy_rows;
mod limits;
mod magnitudes;
mod master;
mod problem;
mod repair;
mod slack;
mod solution;
#[cfg(test)]
mod tests;

pub use limits::Limits;
pub use problem::{Choice, Costs, Group, InvalidProblem, Problem, Row};
pub use solution::{Error, Solution, Status};

use limits::Settings;

/// Solves a problem.
///
/// # Errors
/// [`Error::Infeasible`] when no choice of options keeps every budget; a limit that ends the search before there is any
/// solution; and a row whose numbers are too large.
pub fn solve(problem: &Problem, limits: &Limits) -> Result<Solution, Error> {
    run(problem, None, &Settings::new(*limits))
}

/// The same, with the solution of a similar problem to start from: an option of each group, which may or may not keep
/// the budgets. That may save time and does not change an optimal solution. What does not fit the groups is ignored.
///
/// # Errors
/// As [`solve`].
pub fn solve_from(problem: &Problem, start: &[usize], limits: &Limits) -> Result<Solution, Error> {
    run(problem, Some(start), &Settings::new(*limits))
}

fn run(problem: &Problem, start: Option<&[usize]>, settings: &Settings) -> Result<Solution, Error> {
    let found = magnitudes::solve(problem, |problem, nodes| {
        // Options that were left out leave others in their places.
        let start = start.filter(|_| nodes == 0);
        lazy_rows::solve(problem, start, &settings.after(nodes))
    });
    let found = found.map_err(|error| match error {
        // Parts are told what is left of the limit.
        Error::NodeLimitReached { .. } => Error::NodeLimitReached { nodes: settings.limits.nodes },
        other => other,
    })?;
    let objective = problem.objective(&found.picks);
    let bound = match found.status {
        Status::Optimal => objective,
        // Rounding may bring a bound up to the objective.
        Status::Stopped => found.bound.unwrap_or(f64::NEG_INFINITY).min(objective),
    };
    Ok(Solution { picks: found.picks, objective, status: found.status, bound, nodes: found.nodes })
}

//! An exact solver for multiple-choice knapsack problems with several budgets, in pure Rust.
//!
//! # The problem
//!
//! Given groups of options, choose exactly one option of each group so that the sum of the chosen options' losses is
//! minimal and every budget is respected:
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
//! - **Budgets hold exactly.** Costs are integers (`u64`), limits are `i128`, sums are exact: no budget is exceeded by
//!   even a unit.
//! - **Losses are compared exactly.** They are converted to fixed-point integers that represent the given floats
//!   exactly, as long as all of them fit into 126 bits at once (1e-9 and 1e9 together do). If they do not, the solver
//!   removes options that cannot be in an optimal solution and solves again, and never calls a result proven that it
//!   could not resolve.
//! - **Ties are broken deterministically.** Of equally good solutions the one with the smallest sum of tiebreaks wins,
//!   then the one whose options come first. If more than 16384 partial solutions tie with the optimum, it is the best
//!   one found among them.
//! - **`Optimal` and `Infeasible` are proven.** Bounds are floats; each carries an allowance for its own rounding, and
//!   nothing is cut within it.
//! - **Limits are reported.** With a node limit or a time limit the result is the best solution found so far, with a
//!   dual bound. With a node limit it is the same on every machine. Memory is bounded: a gigabyte at worst.
//!
//! # Limits
//!
//! The problem is NP-hard. Instances whose costs are nearly the negated losses, with two budgets or more, are out of
//! reach of any known method; there the node limit stops the search with a gap. Up to 256 rows may bind at once; the
//! number of rows is not limited. A row that can bind may span at most 2^63 units.
//!
//! # Method
//!
//! Problems with few rows are solved by branch and bound in the form of dynamic programming with a beam that widens,
//! bounded by Lagrangian multipliers, with reduced-cost fixing (`few_rows`). With many rows, violated ones are added as
//! lazy constraints (`lazy_rows`), the problem is divided into its connected components (`components`), and components
//! whose rows involve few groups each are paths through a layered graph (`layered`).

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
/// [`Error::Infeasible`] if no choice of options is within every budget; a limit that stops the search before there is
/// any solution; and a row whose range is too large.
/// solution; and a row whose numbers are too large.
pub fn solve(problem: &Problem, limits: &Limits) -> Result<Solution, Error> {
    run(problem, None, &Settings::new(*limits))
}

/// The same, starting from the solution of a similar problem: an option of each group, which may or may not be
/// feasible. It may save time and does not change an optimal solution. It is ignored if it does not fit the groups.
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

//! Exact: proven optima of the search problem in pure Rust, in about a millisecond for a network like ResNet-50.
//!
//! The problem is a multiple-choice knapsack with one row per budget (Sinha & Zoltners, Operations Research 27, 1979;
//! Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004, ch. 11). The algorithm is in the crate [`mmkp`], in
//! `plugins/solvers/exact`: branch and bound in the form of dynamic programming with a beam that widens, Lagrangian
//! bounds and reduced-cost fixing. Of equally good policies the one with the fewest bits wins, then the one whose
//! options come first.
//!
//! With a node limit or a time limit the result is the best policy so far, with the gap that the dual bound certifies.

use super::Seconds;
use limpq_core::search::{Answer, Beside, Deadline, Problem, Solver, SolverError, Status};
use mmkp::{Choice, Costs, Group, Limits, Row};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// Options of the exact solver.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exact {
    /// Maximum number of nodes (partial policies); the result is then the best policy so far, with its certified gap,
    /// and the same on every machine.
    pub node_limit: NonZeroU64,
    /// Time limit in seconds for everything that one command solves. The result is the best policy found by then, which
    /// may differ between runs. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<Seconds>,
}

impl Default for Exact {
    fn default() -> Self {
        let nodes = NonZeroU64::new(Limits::default().nodes).expect("the default limit is not zero");
        Self { node_limit: nodes, time_limit_s: None }
    }
}

limpq_core::plugin!(
    Solver,
    "exact",
    "our own: Lagrangian bounds, then dynamic programming; proven optima in milliseconds",
    Exact
);

impl Solver for Exact {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        self.solve_beside(problem, Beside::default())
    }

    fn solve_beside(&self, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
        let own = self.time_limit_s().map_or(Deadline::NEVER, Deadline::after);
        let limits = Limits { nodes: self.node_limit.get(), deadline: own.or(beside.deadline).end() };
        let knapsack = knapsack(problem)?;
        let solved = match beside.near {
            Some(near) => mmkp::solve_from(&knapsack, near, &limits),
            None => mmkp::solve(&knapsack, &limits),
        };
        let solution = solved.map_err(|error| self.error(error, problem))?;
        let status = match solution.status {
            mmkp::Status::Optimal => Status::Optimal,
            mmkp::Status::Stopped => Status::Stopped,
        };
        Ok(Answer { picks: solution.picks, status, bound: Some(solution.bound), nodes: Some(solution.nodes) })
    }

    fn time_limit_s(&self) -> Option<f64> {
        self.time_limit_s.map(Seconds::get)
    }
}

impl Exact {
    fn error(&self, error: mmkp::Error, problem: &Problem) -> SolverError {
        match error {
            mmkp::Error::Infeasible => SolverError::Infeasible,
            mmkp::Error::DeadlinePassed => {
                SolverError::NothingFound { limit: "the time limit".into(), option: "solver.time_limit_s" }
            }
            mmkp::Error::NodeLimitReached { nodes } => SolverError::NothingFound {
                limit: format!("the limit of {nodes} nodes (or of memory)"),
                option: "solver.node_limit",
            },
            mmkp::Error::TooWide { row } => library(format!(
                "{} spans more than 2^63 units between its ends; use a coarser unit",
                problem.rows[row].name
            )),
        }
    }
}

fn library(message: String) -> SolverError {
    SolverError::Library { solver: "exact", message }
}

/// The same problem without layers and names. Costs are borrowed.
fn knapsack(problem: &Problem) -> Result<mmkp::Problem<'_>, SolverError> {
    let mut groups = Vec::with_capacity(problem.groups.len());
    for group in &problem.groups {
        groups.push(Group { choices: group.choices.iter().map(option).collect() });
    }
    let rows = problem.rows.iter().map(|row| Row { limit: row.limit, base: row.base }).collect();
    mmkp::Problem::new(groups, rows).map_err(|error| library(error.to_string()))
}

fn option(choice: &limpq_core::search::Choice) -> Choice<'_> {
    Choice { loss: choice.loss, tiebreak: choice.total_bits(), costs: Costs::from(choice.costs.as_slice()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract;

    #[test]
    fn keeps_the_contract() {
        contract::check(&Exact::default());
    }

    #[test]
    fn stops_honestly() {
        contract::stops_honestly(|seconds| {
            Box::new(Exact { time_limit_s: Some(Seconds::new(seconds).unwrap()), ..Exact::default() })
        });
    }

    /// Two layers and two options: the loss ties, so bits decide; of two with as many bits the first.
    #[test]
    fn ties_go_to_fewer_bits_then_to_the_first_policy() {
        let same: &[contract::Written<'_>] = &[(4, 1.0, &[1]), (3, 1.0, &[1]), (3, 1.0, &[1])];
        let answer = Exact::default().solve(&contract::problem(&[same, same], &[9])).unwrap();
        assert_eq!((answer.picks, answer.status), (vec![1, 1], Status::Optimal));
    }

    #[test]
    fn errors_name_the_budget_and_the_option() {
        let group: &[contract::Written<'_>] = &[(2, 2.0, &[0, 0]), (3, 1.0, &[1, 1 << 63])];
        let problem = contract::problem(&[group, group], &[1, (1 << 64) - 1]);
        let refused = Exact::default().solve(&problem).unwrap_err().to_string();
        assert_eq!(refused, "exact failed: row1 spans more than 2^63 units between its ends; use a coarser unit");
        let limited = Exact { node_limit: NonZeroU64::MIN, time_limit_s: None };
        let refused = (0..200).filter_map(|seed| limited.solve(&contract::random(seed, 8, 5, 3, 1000)).err());
        let refused: Vec<String> = refused.map(|error| error.to_string()).collect();
        let by_limit = |text: &String| text.contains("the limit of 1 nodes") && text.contains("solver.node_limit");
        assert!(refused.iter().any(by_limit), "{refused:?}");
    }

    #[test]
    fn losses_that_are_no_numbers_are_refused() {
        let group: &[contract::Written<'_>] = &[(2, f64::INFINITY, &[0]), (3, 1.0, &[1])];
        let refused = Exact::default().solve(&contract::problem(&[group], &[1])).unwrap_err().to_string();
        assert_eq!(refused, "exact failed: option 0 of group 0 has the loss inf; losses are finite");
    }

    /// Too large to try everything: more layers, one to three budgets, costs that tie often or never. Among them costs
    /// of 0 to 3, layers of one option, and limits that are exactly what some policy costs.
    #[cfg(feature = "highs")]
    fn large(seed: u64) -> Problem {
        use rand::{RngExt, SeedableRng};
        let (groups, rows) = (6 + seed as usize % 13, 1 + seed as usize % 3);
        let mut problem = contract::random(seed, groups, 6, rows, [20, 1000, 1_000_000_000][seed as usize / 3 % 3]);
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(!seed);
        if seed % 4 == 1 {
            let choices = problem.groups.iter_mut().flat_map(|group| &mut group.choices);
            choices.for_each(|choice| choice.costs = choice.costs.iter().map(|(row, cost)| (row, cost % 4)).collect());
        }
        if seed % 5 == 1 {
            problem.groups.iter_mut().step_by(3).for_each(|group| group.choices.truncate(1));
        }
        if seed % 4 == 1 || seed % 7 == 1 {
            let picks: Vec<usize> =
                problem.groups.iter().map(|group| random.random_range(0..group.choices.len())).collect();
            for row in 0..problem.rows.len() {
                problem.rows[row].limit = problem.used(&picks, row);
            }
        }
        problem
    }

    #[cfg(feature = "highs")]
    #[test]
    fn agrees_with_highs() {
        let (mut solved, mut refused) = (0, 0);
        for seed in 0..3000 {
            let problem = large(seed);
            match (Exact::default().solve(&problem), crate::solvers::Highs::default().solve(&problem)) {
                (Ok(ours), Ok(theirs)) => {
                    assert!(ours.status == Status::Optimal && problem.feasible(&ours.picks), "seed {seed}");
                    let (ours, theirs) = (problem.objective(&ours.picks), problem.objective(&theirs.picks));
                    assert!((ours - theirs).abs() <= 1e-7 * theirs.abs(), "seed {seed}: {ours} and {theirs}");
                    solved += 1;
                }
                (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => refused += 1,
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert!(solved > 1500, "{solved} solved, {refused} refused");
    }
}

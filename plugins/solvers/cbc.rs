//! CBC (Forrest and Lougee-Heimer, 2005), COIN-OR's branch-and-cut solver. Needs its library (Debian:
//! `coinor-libcbc-dev`).
//!
//! How far its status can be trusted, measured with CBC 2.10:
//!
//! - After a time limit the status is `Stopped`, the secondary status `StoppedOnTime`, and "proven optimal" is false,
//!   with or without a solution. Without one, the returned values are those of some linear program (`good_lp` would
//!   return them as a solution); here only integral values count as a policy. To be safe, a run as long as the limit
//!   never counts as a proof, and neither does one whose own bound differs from its objective.
//! - The minimum improvement of a new solution and both gaps are set to 1e-9 and 0, not left at their defaults.
//! - The linear relaxation is called optimal even if a time limit stopped it, with an objective that is not a bound. So
//!   the relaxation that bounds a stopped search is solved without a limit, which takes moments. Its objective is a
//!   bound up to the tolerance of reduced costs, which is subtracted.
//!
//! Whether the policy is within the budgets is checked in exact arithmetic by [`limpq_core::search::solve`].

use super::integer_program::{self, Limits, NodeLimit, Program, TOLERANCE, Values};
use super::seconds::Seconds;
use limpq_core::search::{Answer, Beside, Problem, Solver, SolverError, Status};
use serde::{Deserialize, Serialize};

/// Options of CBC.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cbc {
    /// Maximum number of nodes of the branch-and-cut tree; the result is then the best policy so far, with its gap.
    pub node_limit: NodeLimit,
    /// Time limit in seconds for everything that one command solves. The result is the best policy found by then, which
    /// may differ between runs. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<Seconds>,
}

limpq_core::plugin!(Solver, "cbc", "the CBC branch-and-cut solver, with a proof", Cbc);

impl Solver for Cbc {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        self.solve_beside(problem, Beside::default())
    }

    fn solve_beside(&self, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
        let limits = Limits::new(self.node_limit, self.time_limit_s, beside);
        integer_program::solve(problem, |program| search(problem, program, &limits))
    }

    fn time_limit_s(&self) -> Option<f64> {
        self.time_limit_s.map(Seconds::get)
    }
}

fn search(problem: &Problem, program: &Program<'_>, limits: &Limits) -> Result<Answer, SolverError> {
    let run = run(program, Values::Binary, Some(limits));
    let in_time = !limits.deadline.passed() && !run.limited;
    if run.infeasible && in_time {
        return Err(SolverError::Infeasible);
    }
    let Some(picks) = program.picks(&run.values) else {
        return Err(match in_time {
            true => failed("it ended without a solution, a proof or a limit"),
            false => limits.nothing_found(),
        });
    };
    let closed = program.closed(&picks, run.bound);
    if in_time && run.optimal && closed {
        let bound = Some(problem.objective(&picks));
        return Ok(Answer { picks, status: Status::Optimal, bound, nodes: None });
    }
    Ok(Answer { picks, status: Status::Stopped, bound: relaxed(program), nodes: None })
}

/// The result of a run of CBC.
struct Run {
    values: Vec<f64>,
    objective: f64,
    bound: f64,
    optimal: bool,
    infeasible: bool,
    /// Whether a limit stopped it.
    limited: bool,
}

fn run(program: &Program<'_>, values: Values, limits: Option<&Limits>) -> Run {
    let mut model = program.model(values, good_lp::coin_cbc);
    let tolerance = TOLERANCE.to_string();
    for (name, value) in [
        ("ratioGap", "0"),
        ("allowableGap", "0"),
        ("increment", &tolerance),
        ("primalTolerance", &tolerance),
        ("dualTolerance", &tolerance),
        ("integerTolerance", &tolerance),
        ("randomCbcSeed", "1"),
    ] {
        model.set_parameter(name, value);
    }
    if let Some(limits) = limits {
        model.set_parameter("maxNodes", &limits.nodes().to_string());
    }
    if let Some(seconds) = limits.and_then(Limits::seconds) {
        model.set_parameter("timeMode", "elapsed");
        // good_lp's own setter rounds up to whole seconds.
        model.set_parameter("seconds", &seconds.to_string());
    }
    let solution = model.as_inner().solve();
    let raw = solution.raw();
    Run {
        values: raw.col_solution().to_vec(),
        objective: raw.obj_value(),
        bound: raw.best_possible_value(),
        optimal: raw.is_proven_optimal(),
        infeasible: raw.is_proven_infeasible(),
        limited: raw.is_seconds_limit_reached() || raw.is_node_limit_reached(),
    }
}

/// The bound of the linear relaxation.
fn relaxed(program: &Program<'_>) -> Option<f64> {
    let run = run(program, Values::Between, None);
    // Within a layer the variables sum to 1, so each layer's reduced costs are wrong by the tolerance at most.
    let doubt = TOLERANCE * (1 + program.groups()) as f64;
    if run.optimal { program.bound(run.objective - doubt) } else { None }
}

fn failed(message: &str) -> SolverError {
    SolverError::Library { solver: "cbc", message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract;

    #[test]
    fn keeps_the_contract() {
        contract::check(&Cbc { time_limit_s: Some(Seconds::new(600.0).unwrap()), ..Cbc::default() });
    }

    #[test]
    fn a_time_limit_is_never_an_optimum() {
        contract::stops_honestly(|seconds| {
            Box::new(Cbc { time_limit_s: Some(Seconds::new(seconds).unwrap()), ..Cbc::default() })
        });
    }

    #[test]
    fn the_relaxation_bounds_the_optimum() {
        contract::bounds(&Cbc::default(), relaxed);
    }
}

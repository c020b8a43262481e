//! HiGHS (Huangfu and Hall, Math. Prog. Comp. 2018), an open branch-and-cut solver, run on one thread from a fixed
//! seed.
//!
//! What its status is worth, from its source (`HighsMipSolver::cleanupSolve`, `computeNewUpperLimit`):
//!
//! - `Optimal` is reported whenever no limit ended the search. Branches are cut off once they cannot be better than the
//!   incumbent by `mip_feasibility_tolerance` (absolute, on the objective it was given), also when both gap tolerances
//!   are 0. So a tiny positive gap may remain at a finished search; one within that tolerance counts as optimal here, a
//!   larger one as stopped. `good_lp` would call both a gap limit, and it keeps the bound to itself; therefore the
//!   model is run through the `highs` crate.
//! - `Infeasible` is also reported when a solution was found that its own final check rejects. Only an infeasible model
//!   without any solution is taken for a proof.
//! - Time and other limits come with the best solution and the dual bound, or without either. A missing bound is
//!   replaced by that of the budget prices of the linear relaxation, which holds whatever the tolerances.
//!
//! Whether the policy keeps the budgets is checked in exact arithmetic by [`limpq_core::search::solve`].

use super::integer_program::{self, Limits, NodeLimit, Program, TOLERANCE, Values};
use super::seconds::Seconds;
use highs::{HighsModelStatus as Said, HighsSolutionStatus, Model, SolvedModel};
use limpq_core::search::{Answer, Beside, Problem, Solver, SolverError, Status};
use serde::{Deserialize, Serialize};

/// Options of HiGHS.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Highs {
    /// Nodes of the branch-and-cut tree after which the best policy so far is returned with its gap.
    pub node_limit: NodeLimit,
    /// Time limit in seconds for everything that one command solves. The result is the best policy found by then, which
    /// may differ between runs. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<Seconds>,
}

limpq_core::plugin!(Solver, "highs", "the HiGHS branch-and-cut solver, with a proof", Highs);

impl Solver for Highs {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        self.solve_beside(problem, Beside::default())
    }

    fn solve_beside(&self, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
        let limits = Limits::new(self.node_limit, self.time_limit_s, beside);
        integer_program::solve(problem, |program| search(program, &limits))
    }

    fn time_limit_s(&self) -> Option<f64> {
        self.time_limit_s.map(Seconds::get)
    }
}

fn search(program: &Program<'_>, limits: &Limits) -> Result<Answer, SolverError> {
    let solved = run(program, Values::Binary, limits)?;
    let finished = match solved.status() {
        Said::Optimal => true,
        // All variables are bounded.
        Said::Infeasible | Said::UnboundedOrInfeasible => return Err(not_feasible(&solved)),
        Said::ReachedTimeLimit
        | Said::ReachedSolutionLimit
        | Said::ReachedIterationLimit
        | Said::ReachedInterrupt
        | Said::ReachedMemoryLimit => false,
        status => return Err(failed(format!("its status is {status:?}"))),
    };
    let feasible = solved.primal_solution_status() == HighsSolutionStatus::Feasible;
    let picks = feasible.then(|| program.picks(solved.get_solution().columns())).flatten();
    let Some(picks) = picks else {
        return Err(match finished {
            true => failed("it says optimal and has no integral solution".to_owned()),
            false => limits.nothing_found(),
        });
    };
    let bound = solved.double_info_value(c"mip_dual_bound").map_err(|status| failed(format!("{status:?}")))?;
    let closed = program.closed(&picks, bound);
    let status = if finished && closed { Status::Optimal } else { Status::Stopped };
    let bound = match program.bound(bound - TOLERANCE) {
        None if status == Status::Stopped => relaxed(program, limits),
        bound => bound,
    };
    Ok(Answer { picks, status, bound, nodes: None })
}

fn run(program: &Program<'_>, values: Values, limits: &Limits) -> Result<SolvedModel, SolverError> {
    let model = program.model(values, good_lp::highs).try_into_inner();
    let mut model: Model = model.map_err(|error| failed(error.to_string()))?;
    model.make_quiet();
    set(&mut model, "threads", 1)?;
    set(&mut model, "random_seed", 0)?;
    set(&mut model, "parallel", "off")?;
    set(&mut model, "mip_max_nodes", limits.nodes())?;
    if let Some(seconds) = limits.seconds() {
        set(&mut model, "time_limit", seconds)?;
    }
    set(&mut model, "mip_rel_gap", 0.0)?;
    set(&mut model, "mip_abs_gap", 0.0)?;
    for tolerance in ["primal", "dual", "mip"] {
        set(&mut model, &format!("{tolerance}_feasibility_tolerance"), TOLERANCE)?;
    }
    model.try_solve().map_err(|status| failed(format!("{status:?}")))
}

/// The bound of the linear relaxation; `None` when that does not end in time either.
fn relaxed(program: &Program<'_>, limits: &Limits) -> Option<f64> {
    let solved = run(program, Values::Between, limits).ok()?;
    (solved.status() == Said::Optimal).then(|| program.priced(solved.get_solution().dual_rows())).flatten()
}

fn set(model: &mut Model, name: &str, value: impl highs::HighsOptionValue) -> Result<(), SolverError> {
    model.try_set_option(name, value).map_err(|_| failed(format!("it does not take option {name}")))
}

fn not_feasible(solved: &SolvedModel) -> SolverError {
    match solved.primal_solution_status() {
        HighsSolutionStatus::None => SolverError::Infeasible,
        _ => failed("it found a solution that its own check rejects".to_owned()),
    }
}

fn failed(message: String) -> SolverError {
    SolverError::Library { solver: "highs", message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract;

    #[test]
    fn keeps_the_contract() {
        contract::check(&Highs { time_limit_s: Some(Seconds::new(600.0).unwrap()), ..Highs::default() });
    }

    #[test]
    fn a_time_limit_is_never_an_optimum() {
        contract::stops_honestly(|seconds| {
            Box::new(Highs { time_limit_s: Some(Seconds::new(seconds).unwrap()), ..Highs::default() })
        });
    }

    #[test]
    fn the_relaxation_bounds_the_optimum() {
        let limits = Limits::new(NodeLimit::default(), None, Beside::default());
        contract::bounds(&Highs::default(), |program| relaxed(program, &limits));
    }
}

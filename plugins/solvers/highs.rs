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

use super::Seconds;
use super::integer_program::{self, Program, TOLERANCE, Values};
use highs::{HighsModelStatus as Said, HighsSolutionStatus, Model, SolvedModel};
use limpq_core::search::{Answer, Problem, Solver, SolverError, Status};
use serde::{Deserialize, Serialize};

/// Options of HiGHS.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Highs {
    /// Seconds after which the best policy so far is returned with its gap.
    pub time_limit_s: Seconds,
}

limpq_core::plugin!(Solver, "highs", "the HiGHS branch-and-cut solver, with a proof", Highs);

impl Solver for Highs {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        integer_program::solve(problem, |program| self.search(program))
    }
}

impl Highs {
    fn search(&self, program: &Program<'_>) -> Result<Answer, SolverError> {
        let solved = self.run(program, Values::Binary)?;
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
                false => SolverError::NothingFound { seconds: self.time_limit_s.get() },
            });
        };
        let bound = solved.double_info_value(c"mip_dual_bound").map_err(|status| failed(format!("{status:?}")))?;
        let closed = program.closed(&picks, bound);
        let status = if finished && closed { Status::Optimal } else { Status::Stopped };
        let bound = match program.bound(bound - TOLERANCE) {
            None if status == Status::Stopped => self.relaxed(program),
            bound => bound,
        };
        Ok(Answer { picks, status, bound, nodes: None })
    }

    fn run(&self, program: &Program<'_>, values: Values) -> Result<SolvedModel, SolverError> {
        let model = program.model(values, good_lp::highs).try_into_inner();
        let mut model: Model = model.map_err(|error| failed(error.to_string()))?;
        model.make_quiet();
        set(&mut model, "threads", 1)?;
        set(&mut model, "random_seed", 0)?;
        set(&mut model, "parallel", "off")?;
        set(&mut model, "time_limit", self.time_limit_s.get())?;
        set(&mut model, "mip_rel_gap", 0.0)?;
        set(&mut model, "mip_abs_gap", 0.0)?;
        for tolerance in ["primal", "dual", "mip"] {
            set(&mut model, &format!("{tolerance}_feasibility_tolerance"), TOLERANCE)?;
        }
        model.try_solve().map_err(|status| failed(format!("{status:?}")))
    }

    /// The bound of the linear relaxation; `None` when that does not end in time either.
    fn relaxed(&self, program: &Program<'_>) -> Option<f64> {
        let solved = self.run(program, Values::Between).ok()?;
        (solved.status() == Said::Optimal).then(|| program.priced(solved.get_solution().dual_rows())).flatten()
    }
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
        contract::check(&Highs { time_limit_s: Seconds::new(600.0).unwrap() });
    }

    #[test]
    fn a_time_limit_is_never_an_optimum() {
        contract::stops_honestly(|seconds| Box::new(Highs { time_limit_s: Seconds::new(seconds).unwrap() }));
    }

    #[test]
    fn the_relaxation_bounds_the_optimum() {
        contract::bounds(&Highs::default(), |program| Highs::default().relaxed(program));
    }
}

//! Solving: the interface of solvers, and the search from a problem to a policy with its proof.

mod deadline;
mod scale;
mod search;
mod solver;

pub use deadline::Deadline;
pub use search::{BudgetUse, DEFAULT_ALPHA, Found, Search, SearchError, Uniform};
pub use solver::{Answer, Beside, NamedSolver, Proof, Solved, Solver, SolverError, Status, solve};

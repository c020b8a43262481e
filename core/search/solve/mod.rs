//! From a problem to a policy with its proof: the boundary to solvers, and one search.

mod deadline;
mod scale;
mod search;
mod solver;

pub use deadline::Deadline;
pub use search::{BudgetUse, DEFAULT_ALPHA, Found, Search, SearchError, Uniform};
pub use solver::{Answer, Beside, Named, Proof, Solved, Solver, SolverError, Status, solve};

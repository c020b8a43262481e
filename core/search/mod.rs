//! The search half: bits, costs, indicators and the integer program. No tensor type is imported here.

mod bits;
mod budget;
mod cost;
mod indicators;
mod pickle;
mod policy;
mod problem;
mod run;
mod solver;

pub use bits::{BitWidth, BitsError, Candidates, Precision};
pub use budget::{BudgetError, BudgetText};
pub use cost::{Accounting, CostModel, CostTable, Unit, uniform_precisions};
pub use indicators::{INDICATORS_SCHEMA, Indicators, IndicatorsError, LayerIndicators, Provenance};
pub use policy::{LayerBits, POLICY_SCHEMA, Policy, PolicyError};
pub use problem::{Choice, Group, Problem, Row};
pub use run::{Budget, BudgetUse, Found, Infeasible, Refused, Search, SearchError, Uniform};
pub use solver::{Answer, Proof, Solver, SolverError, Status, solve};

crate::registry::kind!(CostModel, "cost");
crate::registry::kind!(Solver, "solver");

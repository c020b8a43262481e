//! The search half: bits, costs, indicators and the integer program. No tensor type is imported here.

mod allowed;
mod audit;
mod budget;
mod constraints;
mod cost;
mod deadline;
mod front;
mod indicators;
mod infeasible;
mod instance;
mod network;
mod other_names;
mod pickle;
mod policy;
mod policy_file;
mod problem;
mod refine;
mod rising;
mod rules;
mod scale;
#[expect(clippy::module_inception, reason = "the search itself is what this module is named after")]
mod search;
mod share;
mod solver;
mod stability;
mod sweep;
mod top;

pub use crate::bits::{BitWidth, BitsError, Candidates, Precision};
pub use allowed::{Allowed, Class};

pub use budget::{BudgetError, BudgetText, Limits};
pub use constraints::{Budget, Constraints, ConstraintsError, Stated};
pub use cost::{Accounting, Added, CostError, CostModel, CostTable, Step, Sum, Unit, uniform_precisions};
pub use deadline::Deadline;
pub use front::{Axis, Cell, Front, FrontBudget, FrontError, FrontPoint, MOST_POINTS, Steps, upper_ends};
pub use indicators::{INDICATORS_SCHEMA, Indicators, IndicatorsError, LayerIndicators, Provenance};
pub use infeasible::{Infeasible, Reach, Refused};
pub use instance::{Instance, InstanceError, Origin};
pub use network::{Contradiction, NetworkRecord};
pub use policy::{LayerBits, POLICY_SCHEMA, Policy, PolicyError};
pub use problem::{Change, Choice, Costs, Group, Problem, Room, Row, Span};
pub use refine::{Refined, refine};
pub use rising::RisingIndicators;
pub use rules::{Joined, Rule, RuleError, Rules, Share};
pub use search::{BudgetUse, DEFAULT_ALPHA, Found, Search, SearchError, Uniform};
pub use share::ShareError;
pub use solver::{Answer, Beside, Named, Proof, Solved, Solver, SolverError, Status, solve};
pub use stability::{Flips, Spread, Stability, noisy};
pub use top::{Changed, Ranked, Top, changed};

crate::registry::kind!(CostModel, "cost");
crate::registry::kind!(Solver, "solver");

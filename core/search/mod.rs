//! The search half: bits, costs, indicators and the integer program. No tensor type is imported here.

mod analysis;
mod constraints;
mod formats;
mod problem;
mod solve;

pub use crate::bits::{BitWidth, BitsError, Candidates, Precision};
pub use analysis::{
    Axis, Cell, Changed, Flips, Front, FrontBudget, FrontError, FrontPoint, Infeasible, MOST_POINTS, Ranked, Reach,
    Refined, Refused, Spread, Stability, Steps, changed, noisy, refine, upper_ends,
};
pub use constraints::{
    Accounting, Added, Allowed, Budget, BudgetError, BudgetText, Class, Constraints, ConstraintsError, CostError,
    CostModel, CostTable, Joined, Limits, RisingIndicators, Rule, RuleError, Rules, Share, Stated, Step, Sum, Unit,
    uniform_precisions,
};
pub use formats::{
    Contradiction, INDICATORS_SCHEMA, Indicators, IndicatorsError, LayerBits, LayerIndicators, NetworkRecord,
    POLICY_SCHEMA, Policy, PolicyError, Provenance,
};
pub use problem::{
    Change, Choice, Costs, Group, Instance, InstanceError, Origin, Problem, Room, Row, ShareError, Span,
};
pub use solve::{
    Answer, Beside, BudgetUse, DEFAULT_ALPHA, Deadline, Found, Named, Proof, Search, SearchError, Solved, Solver,
    SolverError, Status, Uniform, solve,
};

crate::registry::kind!(CostModel, "cost");
crate::registry::kind!(Solver, "solver");

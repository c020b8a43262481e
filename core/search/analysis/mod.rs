//! What is asked about a search beside its answer: fronts, the next best policies, stability, refinement by measurement, why
//! nothing is feasible, and whether the indicators can be trusted.

mod audit;
mod front;
mod infeasible;
mod refine;
mod stability;
mod sweep;
mod top;

pub use front::{Axis, Cell, Front, FrontBudget, FrontError, FrontPoint, MOST_POINTS, Steps, upper_ends};
pub(in crate::search) use infeasible::Refusal;
pub use infeasible::{Infeasible, Reach, Refused};
pub use refine::{Refined, refine};
pub use stability::{Flips, Spread, Stability, noisy};
pub use top::{Changed, Ranked, changed};

//! Solvers of the search problem, a multiple-choice knapsack with several budgets; one file each.

mod brute_force;
#[cfg(feature = "cbc")]
mod cbc;
#[cfg(test)]
mod contract;
mod exact;
#[cfg(feature = "highs")]
mod highs;
#[cfg(any(feature = "highs", feature = "cbc"))]
mod integer_program;
#[cfg(test)]
mod long_networks;
mod seconds;

pub use brute_force::BruteForce;
#[cfg(feature = "cbc")]
pub use cbc::Cbc;
pub use exact::Exact;
#[cfg(feature = "highs")]
pub use highs::Highs;
pub use seconds::{Seconds, SecondsError};

/// Names of the solvers here in order of preference, for programs whose users ask for none. Which of them are built in is
/// for the registry to say.
pub const PREFERRED: [&str; 4] = ["exact", "highs", "cbc", "brute_force"];

//! Indicators and policies, and the files that carry them: ours and those of other programs.

mod indicators;
mod network;
mod other_names;
mod pickle;
mod policy;
mod policy_file;

pub use indicators::{INDICATORS_SCHEMA, Indicators, IndicatorsError, LayerIndicators, Provenance};
pub use network::{Contradiction, NetworkRecord};
pub use policy::{LayerBits, POLICY_SCHEMA, Policy, PolicyError};

//! Core of limpq: the plugin traits, the data they exchange and the stages of a run. It names no plugin.
//!
//! [`graph`] describes networks, [`search`] turns importance indicators and budgets into a policy without touching a
//! tensor, [`train`] runs networks, and [`registry`] finds plugins by name.

pub mod artifact;
pub mod graph;
mod hash;
pub mod options;
pub mod registry;
pub mod run;
pub mod search;
pub mod train;

pub use inventory;

//! Core of limpq: the plugin traits, the data they exchange and the stages of a run. It names no plugin.
//!
//! [`graph`] describes networks, [`search`] turns importance indicators and budgets into a policy without touching a
//! tensor, `train` runs networks, and [`registry`] finds plugins by name.
//!
//! Without the feature `train` (on by default) there are no tensors: only costs and the search are built, quickly.

pub mod bits;
#[cfg(feature = "train")]
pub mod device;
pub mod escape;
pub mod graph;
pub mod input;
pub mod onnx;
pub mod ops;
pub mod options;
pub mod pickle;
pub mod provenance;
pub mod registry;
#[cfg(feature = "train")]
pub mod run;
pub mod search;
pub mod settings;
pub mod store;
#[cfg(feature = "train")]
pub mod train;

pub use inventory;

//! The command line of limpq, and the only place that links the plugins.

pub mod commands;
#[cfg(feature = "train")]
pub mod observers;
pub mod plot;

// A crate that is linked but never named is dropped by the linker, and its plugins with it.
use limpq_plugins as _;

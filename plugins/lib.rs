//! The plugins: one file each, registered by name. Nothing lists them; linking this crate is enough.

pub mod costs;
#[cfg(feature = "train")]
pub mod datasets;
pub mod models;
#[cfg(feature = "train")]
pub mod quantizers;
#[cfg(feature = "train")]
pub mod sensitivities;
pub mod solvers;

/// The example of a plugin in CONTRIBUTING.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../CONTRIBUTING.md")]
struct Contributing;

//! The plugins: one file each, registered by name. Nothing lists them; linking this crate is enough.

pub mod costs;
pub mod datasets;
pub mod models;
pub mod quantizers;
pub mod sensitivities;
pub mod solvers;

/// The example of a plugin in CONTRIBUTING.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../CONTRIBUTING.md")]
struct Contributing;

//! Quantizers, one file each.

pub mod dorefa;
pub mod ewgs;
pub mod fused;
mod least_error;
pub mod lsq;
pub mod lsq_dampened;
pub mod lsq_plus;
pub mod minmax;
mod numbers;
pub mod pact;
#[cfg(test)]
pub(crate) mod worked;

//! Quantizers, one file each.

mod gradient;
pub mod lsq;
mod numbers;
#[cfg(test)]
mod worked;

//! Sensitivity metrics, one file each.

pub mod learned_step;
pub mod random;
pub mod reversed;
pub mod static_step;

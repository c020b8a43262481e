//! Quantizers, one file each.

pub mod lsq;

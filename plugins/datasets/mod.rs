//! Data sets; one file each.

mod digits;
mod idx;

pub use digits::Digits;
pub use idx::Idx;

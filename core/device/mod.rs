//! Devices: their names in configs, opening them, what they can do together, and the kernel cache on disk.

mod all_reduce;
mod error;
#[cfg(feature = "cuda-untuned")]
mod kernel_cache;
mod names;
mod open;

pub(crate) use all_reduce::{have_all_reduce, reduced};
pub use error::DeviceError;
pub use names::{Device, Devices};

//! Operations that burn would compose of others, each as one operation with its own backward pass.
//!
//! Each of them is a file or folder with a [`CustomOp`] and its kernels per backend. On backends without a kernel
//! burn's operations are used, which are also the reference of the tests.

#![cfg_attr(
    feature = "tch",
    expect(deprecated, reason = "burn 0.22 is the last one with libtorch; Cargo.toml pins it")
)]

mod batch_norm;
mod convolution;
#[cfg(feature = "cubecl")]
pub mod cube;
mod custom_op;
mod layout;
mod relu;
mod sums;
#[cfg(feature = "tch")]
mod torch;
mod total;

pub use batch_norm::{Normalised, batch_norm, batch_norm_evaluated};
pub use convolution::{Window, convolution};
pub use custom_op::{AnyTensor, CustomOp, HostTensor, OpBackend, Outputs, Saved};
pub use layout::in_memory_order;
pub use relu::relu;
pub use total::total;

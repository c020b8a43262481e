//! Operations of networks that burn composes of others, each as one with a backward pass of its own.
//!
//! Each of them is one file or folder, a [`CustomOp`] with the way that it is done on each backend. Where a backend has none of its
//! own, what burn does there is used, which is also what the tests compare with.

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

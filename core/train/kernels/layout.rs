//! Memory layout of activations.

use burn::tensor::{Device, Tensor};

/// Applies an element-wise operation in NHWC (channels last) memory layout if the convolution with `weights` weights
/// that reads the result prefers it; in the other layout the values would be copied twice.
pub fn in_memory_order(values: Tensor<4>, weights: usize, work: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<4> {
    let shape = values.dims();
    let [batch, channels, height, width] = shape;
    let count = shape.iter().product();
    if channels_last(&values.device().without_autodiff(), count, weights) {
        let done = work(values.permute([0, 2, 3, 1]).reshape([1, count]));
        return done.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]);
    }
    work(values.reshape([1, count])).reshape(shape)
}

/// Whether a convolution on a device prefers channels last, for so many values and weights.
fn channels_last(device: &Device, values: usize, weights: usize) -> bool {
    match device.as_dispatch() {
        #[cfg(feature = "cubecl")]
        burn::backend::DispatchDevice::Cube(_) => true,
        #[cfg(feature = "tch")]
        burn::backend::DispatchDevice::LibTorch(device) => {
            super::torch::channels_last(*device != burn::backend::libtorch::LibTorchDevice::Cpu, values, weights)
        }
        _ => {
            // Named here, so that no build has arguments that nobody reads.
            let _ = (values, weights);
            false
        }
    }
}

//! How activations lie in memory.

use burn::tensor::{Device, Tensor};

/// What does not care for the order of values, done in the order in which they lie in memory. burn's own kernels put channels
/// last; taking them in another order would copy them there and back.
pub(in crate::train) fn in_memory_order(values: Tensor<4>, work: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<4> {
    let shape = values.dims();
    let [batch, channels, height, width] = shape;
    let all = [1, shape.iter().product()];
    if channels_last(&values.device().without_autodiff()) {
        let done = work(values.permute([0, 2, 3, 1]).reshape(all));
        return done.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]);
    }
    work(values.reshape(all)).reshape(shape)
}

#[cfg(feature = "cubecl")]
fn channels_last(device: &Device) -> bool {
    matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_))
}

#[cfg(not(feature = "cubecl"))]
fn channels_last(_: &Device) -> bool {
    false
}

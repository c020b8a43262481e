//! libtorch's own operation, differentiated by libtorch.

use super::{
    super::torch::{laid_out, record},
    Outputs, Window,
};
use burn::backend::{LibTorch, libtorch::TchTensor};
use tch::Tensor;

pub(super) fn forward(inputs: [TchTensor; 2], window: Window, saves: bool) -> Outputs<LibTorch> {
    let inputs = laid_out(inputs);
    if saves {
        return record(inputs, |inputs| convolve(inputs, window));
    }
    Outputs::new(TchTensor::new(convolve(&inputs.map(|input| input.tensor), window)))
}

fn convolve([images, kernel]: &[Tensor; 2], window: Window) -> Tensor {
    let number = |number: usize| number as i64;
    let [top, left, bottom, right] = window.padding.map(number);
    let (stride, dilation, groups) = (window.stride.map(number), window.dilation.map(number), number(window.groups));
    if window.is_even() {
        return images.conv2d(kernel, None::<&Tensor>, stride, [top, left], dilation, groups);
    }
    let images = images.constant_pad_nd([left, right, top, bottom]);
    images.conv2d(kernel, None::<&Tensor>, stride, [0i64; 2], dilation, groups)
}

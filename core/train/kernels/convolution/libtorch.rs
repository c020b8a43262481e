//! By libtorch itself, and differentiated by it.

use super::{
    super::torch::{Recorded, laid_out},
    Convolution, Differentiable, Window,
};
use burn::backend::{LibTorch, libtorch::TchTensor, tensor::FloatTensor};
use tch::Tensor;

impl Convolution for LibTorch {
    fn convolution(images: FloatTensor<Self>, kernel: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        TchTensor::new(convolve(&laid_out([images, kernel]).map(|laid_out| laid_out.tensor), window))
    }
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

impl Differentiable for LibTorch {
    type Saved = Recorded<2>;

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        Recorded::run(laid_out([images, kernel]), |inputs| convolve(inputs, window))
    }

    fn backward(
        saved: Self::Saved,
        gradient: FloatTensor<Self>,
        wanted: [bool; 2],
        _: Window,
    ) -> [Option<FloatTensor<Self>>; 2] {
        saved.gradients(&gradient, wanted)
    }
}

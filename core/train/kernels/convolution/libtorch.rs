//! By libtorch itself, and differentiated by it.

use super::{super::torch::Recorded, Convolution, Differentiable, Window};
use burn::backend::{LibTorch, tensor::FloatTensor};
use tch::Tensor;

impl Convolution for LibTorch {}

impl Differentiable for LibTorch {
    type Saved = Recorded<2>;

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        let [stride, padding, groups] = [window.stride, window.padding, window.groups].map(|number| number as i64);
        Recorded::run([images, kernel], |[images, kernel]| {
            images.conv2d(kernel, None::<&Tensor>, [stride; 2], [padding; 2], [1i64; 2], groups)
        })
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

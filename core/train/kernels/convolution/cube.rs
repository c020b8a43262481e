//! burn's own kernels. With the feature `cuda` the fastest of several for each shape and each direction, found by trying and
//! kept; on the processor, and without that feature, always the same one.

use super::{Convolution, Differentiable, Window, padded, unpadded};
use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn_cubecl::{
    CubeBackend, CubeDevice,
    kernel::conv::{ConvStrategy, conv_data_backward, conv_forward, conv_weight_backward},
    tensor::CubeTensor,
};

impl Convolution for CubeBackend {
    fn convolution(images: FloatTensor<Self>, kernel: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let (images, window) = padded::<Self>(images, window);
        let strategy = strategy(&images);
        conv_forward::<2>(images, kernel, None, window.options(), strategy).expect("a kernel for every shape")
    }
}

impl Differentiable for CubeBackend {
    type Saved = [FloatTensor<Self>; 2];

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        (Self::convolution(images.clone(), kernel.clone(), window), [images, kernel])
    }

    fn backward(
        [images, kernel]: Self::Saved,
        gradient: FloatTensor<Self>,
        [of_images, of_kernel]: [bool; 2],
        window: Window,
    ) -> [Option<FloatTensor<Self>>; 2] {
        let (shape, unpadded_shape) = (kernel.shape(), images.shape());
        let (images, even) = padded::<Self>(images, window);
        let options = even.options();
        let of_images = of_images.then(|| {
            let strategy = strategy(&images);
            let slopes = conv_data_backward::<2>(gradient.clone(), kernel, images.shape(), options.clone(), strategy)
                .expect("a kernel for every shape");
            unpadded::<Self>(slopes, &unpadded_shape, window)
        });
        let of_kernel = of_kernel.then(|| {
            let strategy = strategy(&images);
            conv_weight_backward::<2>(images, gradient, shape, options, strategy).expect("a kernel for every shape")
        });
        [of_images, of_kernel]
    }
}

fn strategy(beside: &CubeTensor) -> ConvStrategy {
    match beside.device {
        CubeDevice::Cpu(_) => ConvStrategy::Direct,
        _ => ConvStrategy::default(),
    }
}

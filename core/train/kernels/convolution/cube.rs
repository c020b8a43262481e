//! burn's own kernels. With the feature `cuda` the fastest of several per shape and direction, found by autotuning and
//! kept on disk; on the CPU, and without that feature, always the same one.

use super::{Gradients, Window, padded, unpadded};
use burn::backend::{Cube, TensorMetadata};
use burn_cubecl::{
    CubeDevice,
    kernel::conv::{ConvStrategy, conv_data_backward, conv_forward, conv_weight_backward},
    tensor::CubeTensor,
};

pub(super) fn forward(images: CubeTensor, kernel: CubeTensor, window: Window) -> CubeTensor {
    let (images, window) = padded::<Cube>(images, window);
    let strategy = strategy(&images);
    conv_forward::<2>(images, kernel, None, window.options(), strategy).expect("a kernel for every shape")
}

pub(super) fn backward(
    [images, kernel]: [CubeTensor; 2],
    gradient: CubeTensor,
    [of_images, of_kernel]: [bool; 2],
    window: Window,
) -> Gradients<Cube> {
    let (shape, unpadded_shape) = (kernel.shape(), images.shape());
    let (images, even) = padded::<Cube>(images, window);
    let options = even.options();
    let of_images = of_images.then(|| {
        let strategy = strategy(&images);
        let slopes = conv_data_backward::<2>(gradient.clone(), kernel, images.shape(), options.clone(), strategy)
            .expect("a kernel for every shape");
        unpadded::<Cube>(slopes, &unpadded_shape, window)
    });
    let of_kernel = of_kernel.then(|| {
        let strategy = strategy(&images);
        conv_weight_backward::<2>(images, gradient, shape, options, strategy).expect("a kernel for every shape")
    });
    [of_images, of_kernel]
}

fn strategy(beside: &CubeTensor) -> ConvStrategy {
    match beside.device {
        CubeDevice::Cpu(_) => ConvStrategy::Direct,
        _ => ConvStrategy::default(),
    }
}

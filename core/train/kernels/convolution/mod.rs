//! 2-D convolution. burn computes the gradient of the weights by a convolution with a kernel as large as an image.
//!
//! libtorch computes its own gradients, the CPU uses matrix products in both directions; GPUs use burn's convolutions.

#[cfg(feature = "cubecl")]
mod cube;
mod flex;
#[cfg(feature = "tch")]
mod libtorch;

use super::{CustomOp, OpBackend, Outputs, Saved};
#[cfg(feature = "cubecl")]
use burn::backend::Cube;
#[cfg(feature = "tch")]
use burn::backend::LibTorch;
use burn::{
    backend::{Backend, Flex, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, Slice, Tensor, ops::ConvOptions},
};

/// How a kernel moves over an image, as in ONNX's `Conv`. The kernel's height and width are those of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Distance between neighbouring positions of the kernel, in pixels: down, right.
    pub stride: [usize; 2],
    /// Distance between neighbouring elements of the kernel, in pixels: down, right.
    pub dilation: [usize; 2],
    /// Zero padding: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
    /// Number of independent groups of channels; the number of channels for a depthwise convolution.
    pub groups: usize,
}

impl Window {
    /// A single pixel: a fully connected layer per pixel.
    pub const POINT: Self = Self::square(1, 0, 1);

    /// The same in both directions, without dilation.
    pub const fn square(stride: usize, padding: usize, groups: usize) -> Self {
        Self { stride: [stride; 2], dilation: [1; 2], padding: [padding; 4], groups }
    }

    /// Rows and columns of the output for an image and a kernel of these heights and widths. The kernel must not be larger
    /// than the image with its padding.
    pub fn output(self, image: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            let padded = image[axis] + self.padding[axis] + self.padding[axis + 2];
            let reach = self.dilation[axis] * (kernel[axis] - 1) + 1;
            (padded - reach) / self.stride[axis] + 1
        })
    }

    /// Whether the padding is the same before and after, the only kind that burn and libtorch support.
    fn is_even(self) -> bool {
        let [top, left, bottom, right] = self.padding;
        (top, left) == (bottom, right)
    }

    /// The same for images that are already padded.
    fn padded(self) -> Self {
        Self { padding: [0; 4], ..self }
    }

    /// For burn, whose padding is the same before and after.
    fn options(self) -> ConvOptions<2> {
        assert!(self.is_even(), "{self:?} is for images that have no padding yet");
        let [top, left, ..] = self.padding;
        ConvOptions::new(self.stride, [top, left], self.dilation, self.groups)
    }
}

/// Convolves images `[batch, in, height, width]` with a kernel `[out, in / groups, height, width]`.
pub fn convolution(images: Tensor<4>, kernel: Tensor<4>, window: Window) -> Tensor<4> {
    Convolution { window }.apply([images.into(), kernel.into()])
}

#[derive(Clone, Debug)]
struct Convolution {
    window: Window,
}

/// Gradients of images and kernel.
type Gradients<B> = [Option<FloatTensor<B>>; 2];

impl CustomOp<2> for Convolution {
    fn forward<B: OpBackend>(&self, [images, kernel]: [FloatTensor<B>; 2], _: bool) -> Outputs<B> {
        let output = forward_of_burn::<B>(images.clone(), kernel.clone(), self.window);
        Outputs::new(output).saving([images, kernel])
    }

    fn backward<B: OpBackend>(&self, saved: Saved<B>, gradient: FloatTensor<B>, wanted: [bool; 2]) -> Gradients<B> {
        backward_of_burn::<B>(saved.unpack(), gradient, wanted, self.window)
    }

    fn forward_flex(&self, [images, kernel]: [FloatTensor<Flex>; 2], _: bool) -> Outputs<Flex> {
        let output = flex::forward(images.clone(), kernel.clone(), self.window);
        Outputs::new(output).saving([images, kernel])
    }

    fn backward_flex(&self, saved: Saved<Flex>, gradient: FloatTensor<Flex>, wanted: [bool; 2]) -> Gradients<Flex> {
        flex::backward(saved.unpack(), gradient, wanted, self.window)
    }

    #[cfg(feature = "tch")]
    fn forward_libtorch(&self, inputs: [FloatTensor<LibTorch>; 2], saves: bool) -> Outputs<LibTorch> {
        libtorch::forward(inputs, self.window, saves)
    }

    #[cfg(feature = "tch")]
    fn backward_libtorch(
        &self,
        saved: Saved<LibTorch>,
        gradient: FloatTensor<LibTorch>,
        wanted: [bool; 2],
    ) -> Gradients<LibTorch> {
        super::torch::gradients::<2, 5>(saved, &gradient, wanted)
    }

    #[cfg(feature = "cubecl")]
    fn forward_cube(&self, [images, kernel]: [FloatTensor<Cube>; 2], _: bool) -> Outputs<Cube> {
        let output = cube::forward(images.clone(), kernel.clone(), self.window);
        Outputs::new(output).saving([images, kernel])
    }

    #[cfg(feature = "cubecl")]
    fn backward_cube(&self, saved: Saved<Cube>, gradient: FloatTensor<Cube>, wanted: [bool; 2]) -> Gradients<Cube> {
        cube::backward(saved.unpack(), gradient, wanted, self.window)
    }
}

/// The forward pass with burn's operations.
fn forward_of_burn<B: Backend>(images: FloatTensor<B>, kernel: FloatTensor<B>, window: Window) -> FloatTensor<B> {
    let (images, window) = padded::<B>(images, window);
    B::conv2d(images, kernel, None, window.options())
}

/// The backward pass with burn's operations.
fn backward_of_burn<B: Backend>(
    [images, kernel]: [FloatTensor<B>; 2],
    gradient: FloatTensor<B>,
    [of_images, of_kernel]: [bool; 2],
    window: Window,
) -> Gradients<B> {
    let shape = images.shape();
    let (images, even) = padded::<B>(images, window);
    let options = even.options();
    let of_images = of_images.then(|| {
        let slopes = B::conv2d_x_backward(images.clone(), kernel.clone(), gradient.clone(), options.clone());
        unpadded::<B>(slopes, &shape, window)
    });
    [of_images, of_kernel.then(|| B::conv2d_weight_backward(images, kernel, gradient, options))]
}

/// If the padding is asymmetric, padded images and the window without padding; else both unchanged.
fn padded<B: Backend>(images: FloatTensor<B>, window: Window) -> (FloatTensor<B>, Window) {
    if window.is_even() {
        return (images, window);
    }
    let [top, left, bottom, right] = window.padding;
    let [batch, channels, height, width] = images.shape().dims();
    let shape = [batch, channels, top + height + bottom, left + width + right].into();
    let zeros = B::float_zeros(shape, &images.device(), images.dtype().into());
    let image = inner(&images.shape(), window);
    (B::float_slice_assign(zeros, &image, images), window.padded())
}

/// The gradients of images from those of [`padded`] ones.
fn unpadded<B: Backend>(slopes: FloatTensor<B>, shape: &Shape, window: Window) -> FloatTensor<B> {
    match window.is_even() {
        true => slopes,
        false => B::float_slice(slopes, &inner(shape, window)),
    }
}

/// The position of an image within its padding.
fn inner(shape: &Shape, window: Window) -> [Slice; 4] {
    let [batch, channels, height, width] = shape.dims();
    let [top, left, ..] = window.padding;
    [0..batch, 0..channels, top..top + height, left..left + width].map(Slice::from)
}

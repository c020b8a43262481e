//! 2-D convolution. burn computes the gradients of its weights by a convolution whose kernel is as large as an image.
//!
//! libtorch computes its own gradients. On the CPU the gradient of the weights is a product of matrices for a few images at a
//! time, of the output's gradients `[out, pixels]` and the patches that the kernel saw `[pixels, in * height * width]`; other
//! processors keep what burn does.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        ops::{FloatTensorOps, ModuleOps},
        tensor::FloatTensor,
    },
    tensor::{DType, Tensor, TensorData, ops::ConvOptions},
};
use rayon::prelude::*;
use std::fmt::Debug;

/// How a kernel goes over an image: the same in both directions.
#[derive(Clone, Copy, Debug)]
pub(in crate::train) struct Window {
    /// Pixels between places of the kernel.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Window {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], self.groups)
    }
}

/// Convolves images `[batch, in, height, width]` with a kernel `[out, in / groups, height, width]`.
pub(in crate::train) fn convolution(images: Tensor<4>, kernel: Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Convolution>::convolution(
        images.into_dispatch(),
        kernel.into_dispatch(),
        window,
    ))
}

#[backend_extension(Flex, Cube: cfg(feature = "cuda"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait Convolution: Backend {
    fn convolution(images: FloatTensor<Self>, kernel: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        Self::conv2d(images, kernel, None, window.options())
    }
}

impl Convolution for Flex {}
#[cfg(feature = "cuda")]
impl Convolution for burn::backend::Cube {}
#[cfg(feature = "tch")]
impl Convolution for burn::backend::LibTorch {}

/// Forward and backward.
trait Differentiable: Convolution {
    /// What the backward pass needs of the forward one.
    type Saved: Clone + Debug + Send + 'static;

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved);

    /// The gradients of images and of the kernel, those that are wanted.
    fn backward(
        saved: Self::Saved,
        gradient: FloatTensor<Self>,
        wanted: [bool; 2],
        window: Window,
    ) -> [Option<FloatTensor<Self>>; 2];
}

#[cfg(feature = "cuda")]
impl Differentiable for burn::backend::Cube {
    type Saved = [FloatTensor<Self>; 2];

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        forward_of_burn::<Self>(images, kernel, window)
    }

    fn backward(
        saved: Self::Saved,
        gradient: FloatTensor<Self>,
        wanted: [bool; 2],
        window: Window,
    ) -> [Option<FloatTensor<Self>>; 2] {
        backward_of_burn::<Self>(saved, gradient, wanted, window)
    }
}

#[cfg(feature = "tch")]
impl Differentiable for burn::backend::LibTorch {
    type Saved = super::torch::Recorded<2>;

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        let [stride, padding, groups] = [window.stride, window.padding, window.groups].map(|number| number as i64);
        super::torch::Recorded::run([images, kernel], |[images, kernel]| {
            images.conv2d(kernel, None::<&tch::Tensor>, [stride; 2], [padding; 2], [1i64; 2], groups)
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

impl Differentiable for Flex {
    type Saved = [FloatTensor<Self>; 2];

    fn forward(
        images: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, Self::Saved) {
        forward_of_burn::<Self>(images, kernel, window)
    }

    fn backward(
        [images, kernel]: Self::Saved,
        gradient: FloatTensor<Self>,
        [of_images, of_kernel]: [bool; 2],
        window: Window,
    ) -> [Option<FloatTensor<Self>>; 2] {
        if window.groups > 1 || images.dtype() != DType::F32 {
            return backward_of_burn::<Self>([images, kernel], gradient, [of_images, of_kernel], window);
        }
        let shape: [usize; 4] = kernel.shape().dims();
        let gradients =
            of_images.then(|| Self::conv2d_x_backward(images.clone(), kernel, gradient.clone(), window.options()));
        [gradients, of_kernel.then(|| kernel_gradient(images, gradient, shape, window))]
    }
}

/// The forward pass as burn does it, and what it went from.
fn forward_of_burn<B: Convolution>(
    images: FloatTensor<B>,
    kernel: FloatTensor<B>,
    window: Window,
) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
    (B::convolution(images.clone(), kernel.clone(), window), [images, kernel])
}

/// The backward pass as burn does it.
fn backward_of_burn<B: Backend>(
    [images, kernel]: [FloatTensor<B>; 2],
    gradient: FloatTensor<B>,
    [of_images, of_kernel]: [bool; 2],
    window: Window,
) -> [Option<FloatTensor<B>>; 2] {
    let options = window.options();
    let of_images =
        of_images.then(|| B::conv2d_x_backward(images.clone(), kernel.clone(), gradient.clone(), options.clone()));
    [of_images, of_kernel.then(|| B::conv2d_weight_backward(images, kernel, gradient, options))]
}

impl<B: Differentiable, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolution(images: FloatTensor<Self>, kernel: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let (images, images_node) = images.into_parts();
        let (kernel, kernel_node) = kernel.into_parts();
        match StepBack.prepare::<C>([images_node, kernel_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (output, saved) = B::forward(images, kernel, window);
                prepared.finish((saved, window), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::convolution(images, kernel, window)),
        }
    }
}

/// The backward pass as a node of burn's graph.
#[derive(Debug)]
struct StepBack;

impl<B: Differentiable> Backward<B, 2> for StepBack {
    type State = (B::Saved, Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut grads::Gradients, _: &mut Checkpointer) {
        let (saved, window) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, gradient) in ops.parents.into_iter().zip(B::backward(saved, gradient, wanted, window)) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// Into how many parts a batch is cut. Their sums are added up in order, so that the number of threads changes nothing.
const PARTS: usize = 8;
/// Pixels of the output that a product of matrices should at least go over: images are put side by side until there are.
const PIXELS: usize = 1024;

/// The gradient of a kernel of this shape, with one group.
fn kernel_gradient(images: FlexTensor, gradient: FlexTensor, shape: [usize; 4], window: Window) -> FlexTensor {
    let (images, gradient) = (images.to_contiguous(), gradient.to_contiguous());
    let [batch, channels, height, width] = images.shape().dims();
    let [_, outputs, rows, columns] = gradient.shape().dims();
    let [_, _, kernel_height, kernel_width] = shape;
    let patches = Patches { channels, height, width, rows, columns, kernel_height, kernel_width, window };
    let (image, pixels) = (channels * height * width, rows * columns);
    let (inputs, slopes): (&[f32], &[f32]) = (images.storage(), gradient.storage());
    let together = PIXELS.div_ceil(pixels.max(1)).min(batch.div_ceil(PARTS)).max(1);
    let part = batch.div_ceil(PARTS).next_multiple_of(together).max(1);
    let parts: Vec<FlexTensor> = (0..batch.div_ceil(part))
        .into_par_iter()
        .filter_map(|number| {
            let (first, end) = (number * part, ((number + 1) * part).min(batch));
            let products = (first..end).step_by(together).map(|from| {
                let count = together.min(end - from);
                let mut seen = vec![0.0; patches.size() * count * pixels];
                let mut sloped = vec![0.0; outputs * count * pixels];
                for (place, index) in (from..from + count).enumerate() {
                    patches.write(&inputs[index * image..][..image], &mut seen, place, count);
                    for (output, slopes) in
                        slopes[index * outputs * pixels..][..outputs * pixels].chunks(pixels).enumerate()
                    {
                        sloped[(output * count + place) * pixels..][..pixels].copy_from_slice(slopes);
                    }
                }
                let matrix = |numbers, rows| FlexTensor::from_data(TensorData::new(numbers, [rows, count * pixels]));
                let [sloped, seen] = [matrix(sloped, outputs), matrix(seen, patches.size())];
                Flex::float_matmul(sloped, seen.transpose(0, 1))
            });
            products.reduce(Flex::float_add)
        })
        .collect();
    let sum = parts.into_iter().reduce(Flex::float_add);
    let sum = sum.unwrap_or_else(|| FlexTensor::from_data(TensorData::new(vec![0f32; shape.iter().product()], shape)));
    sum.reshape(shape.into())
}

/// What a kernel sees of an image at each of its places.
struct Patches {
    channels: usize,
    height: usize,
    width: usize,
    /// Of the output.
    rows: usize,
    columns: usize,
    kernel_height: usize,
    kernel_width: usize,
    window: Window,
}

impl Patches {
    /// Numbers in a patch.
    fn size(&self) -> usize {
        self.channels * self.kernel_height * self.kernel_width
    }

    /// Writes an image's patches into a matrix `[size, count * pixels]` of zeros, as its `place`th image.
    fn write(&self, image: &[f32], matrix: &mut [f32], place: usize, count: usize) {
        let (pixels, Window { stride, padding, .. }) = (self.rows * self.columns, self.window);
        let mut lines = matrix.chunks_mut(pixels).skip(place).step_by(count);
        for channel in image.chunks(self.height * self.width) {
            for (down, right) in
                (0..self.kernel_height).flat_map(|down| (0..self.kernel_width).map(move |right| (down, right)))
            {
                let line = lines.next().expect("a line for each number of a patch");
                // The columns of the output whose patch has this number inside the image.
                let first = padding.saturating_sub(right).div_ceil(stride);
                let end = (self.width + padding).saturating_sub(right).div_ceil(stride).min(self.columns);
                for (row, line) in line.chunks_mut(self.columns).enumerate() {
                    let Some(y) = (row * stride + down).checked_sub(padding).filter(|&y| y < self.height) else {
                        continue;
                    };
                    if first >= end {
                        continue;
                    }
                    let from = &channel[y * self.width + first * stride + right - padding..];
                    match stride {
                        1 => line[first..end].copy_from_slice(&from[..end - first]),
                        _ => line[first..end]
                            .iter_mut()
                            .zip(from.iter().step_by(stride))
                            .for_each(|(to, from)| *to = *from),
                    }
                }
            }
        }
    }
}

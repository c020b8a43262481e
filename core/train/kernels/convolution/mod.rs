//! 2-D convolution. burn computes the gradients of its weights by a convolution whose kernel is as large as an image.
//!
//! libtorch computes its own gradients, the CPU has products of matrices in both directions; GPUs keep what burn does.

#[cfg(feature = "cubecl")]
mod cube;
mod flex;
#[cfg(feature = "tch")]
mod libtorch;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::{Tensor, ops::ConvOptions},
};
use std::fmt::Debug;

/// How a kernel goes over an image: the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Pixels between places of the kernel.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Window {
    /// A pixel.
    pub const POINT: Self = Self { stride: 1, padding: 0, groups: 1 };

    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], self.groups)
    }
}

/// Convolves images `[batch, in, height, width]` with a kernel `[out, in / groups, height, width]`.
pub fn convolution(images: Tensor<4>, kernel: Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Convolution>::convolution(
        images.into_dispatch(),
        kernel.into_dispatch(),
        window,
    ))
}

#[backend_extension(Flex, Cube: cfg(feature = "cubecl"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait Convolution: Backend {
    fn convolution(images: FloatTensor<Self>, kernel: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        Self::conv2d(images, kernel, None, window.options())
    }
}

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

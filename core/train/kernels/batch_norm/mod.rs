//! Batch normalisation in training (Ioffe and Szegedy, 2015): with the mean m and the biased variance v of a channel over the
//! batch, and n values in it,
//!
//! ```text
//! y  = gamma (x - m) r + beta,   r = 1/sqrt(v + epsilon)
//! dbeta = sum(g),   dgamma = r sum(g (x - m))
//! dx = gamma r (g - sum(g)/n - (x - m) r^2 sum(g (x - m))/n)
//! ```
//!
//! In evaluation m and v are numbers of other images, and y is one operation; with gradients, which only sensitivities ask for,
//! it is composed of burn's.
//!
//! libtorch computes its own gradients. On the CPU and on burn's GPUs each direction goes over a channel two or three times;
//! burn composes some ten passes.

#[cfg(feature = "cubecl")]
mod cube;
mod flex;
#[cfg(feature = "tch")]
mod libtorch;

use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::{Shape, Tensor},
};
use std::fmt::Debug;

/// What a batch-norm gives in training.
pub struct Normalised {
    /// As its input.
    pub output: Tensor<4>,
    /// Of each channel, without gradients.
    pub mean: Tensor<1>,
    /// Of each channel, biased, without gradients.
    pub variance: Tensor<1>,
}

/// Normalises `[batch, channels, height, width]` with the statistics of the batch.
pub fn batch_norm(input: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Normalised {
    let (output, mean, variance) = <Dispatch as BatchNorm>::normalised(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    );
    Normalised {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// Normalises `[batch, channels, height, width]` with statistics of other images, as in evaluation.
pub fn batch_norm_evaluated(
    input: Tensor<4>,
    [gamma, beta, mean, variance]: [Tensor<1>; 4],
    epsilon: f64,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as BatchNorm>::evaluated(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        epsilon,
    ))
}

/// Output, mean and variance.
type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

#[backend_extension(Flex, Cube: cfg(feature = "cubecl"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait BatchNorm: Backend {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn evaluated(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        evaluated_of_burn::<Self>([input, gamma, beta, mean, variance], epsilon)
    }
}

/// Forward and backward.
trait Differentiable: BatchNorm {
    /// What the backward pass needs of the forward one.
    type Saved: Clone + Debug + Send + 'static;

    fn forward(inputs: [FloatTensor<Self>; 3], epsilon: f64) -> (Three<Self>, Self::Saved);

    /// The gradients of input, gamma and beta.
    fn backward(saved: Self::Saved, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
}

/// Input, gamma, mean and variance, and epsilon.
type Statistics<B> = ([FloatTensor<B>; 4], f64);

/// The four numbers of a channel as two: a product and a sum, and not four operations, go over all values.
fn evaluated_of_burn<B: Backend>(
    [input, gamma, beta, mean, variance]: [FloatTensor<B>; 5],
    epsilon: f64,
) -> FloatTensor<B> {
    let scale = B::float_div(gamma, B::float_sqrt(B::float_add_scalar(variance, epsilon.into())));
    let shift = B::float_sub(beta, B::float_mul(mean, scale.clone()));
    let channels = scale.shape().num_elements();
    let [scale, shift] = [scale, shift].map(|numbers| B::float_reshape(numbers, Shape::new([1, channels, 1, 1])));
    B::float_add(B::float_mul(input, scale), shift)
}

fn forward_of_burn<B: Backend>([input, gamma, beta]: [FloatTensor<B>; 3], epsilon: f64) -> (Three<B>, Statistics<B>) {
    let done = B::batch_norm_train(input.clone(), gamma.clone(), beta, epsilon);
    let saved = [input, gamma, done.mean.clone(), done.variance.clone()];
    ((done.output, done.mean, done.variance), (saved, epsilon))
}

fn backward_of_burn<B: Backend>(
    ([input, gamma, mean, variance], epsilon): Statistics<B>,
    gradient: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let back = B::batch_norm_train_backward(input, gamma, mean, variance, epsilon, gradient);
    [back.x_grad, back.gamma_grad, back.beta_grad]
}

impl<B: Differentiable, C: CheckpointStrategy> BatchNorm for Autodiff<B, C> {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Three<Self> {
        let ((input, input_node), (gamma, gamma_node), (beta, beta_node)) =
            (input.into_parts(), gamma.into_parts(), beta.into_parts());
        let nodes = [input_node, gamma_node, beta_node];
        let (output, mean, variance) = match StepBack.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let ((output, mean, variance), saved) = B::forward([input, gamma, beta], epsilon);
                (prepared.finish(saved, output), mean, variance)
            }
            OpsKind::UnTracked(prepared) => {
                let (output, mean, variance) = B::normalised(input, gamma, beta, epsilon);
                (prepared.finish(output), mean, variance)
            }
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }
}

/// The backward pass as a node of burn's graph.
#[derive(Debug)]
struct StepBack;

impl<B: Differentiable> Backward<B, 3> for StepBack {
    type State = B::Saved;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut grads::Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(B::backward(ops.state, gradient)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

//! Rectifiers. For the way back burn keeps their input, which nobody else needs behind a batch-norm, and on libtorch fills by a
//! mask, in one thread; here the output is kept, which the next layer's quantizer keeps as well.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

/// max(x, 0), whose slope at 0 is 0.
pub fn relu(input: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Relu>::rectified(input.into_dispatch()))
}

#[backend_extension(Flex, Cube: cfg(feature = "cubecl"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait Relu: Backend {
    fn rectified(input: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::relu(input)
    }
}

trait Differentiable: Relu {
    /// The gradient of the input, from the output and its own.
    fn backward(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::relu_backward(output, gradient)
    }
}

impl Relu for Flex {}
impl Differentiable for Flex {}

#[cfg(feature = "cubecl")]
impl Relu for burn::backend::Cube {}
#[cfg(feature = "cubecl")]
impl Differentiable for burn::backend::Cube {}

#[cfg(feature = "tch")]
impl Relu for burn::backend::LibTorch {}
#[cfg(feature = "tch")]
impl Differentiable for burn::backend::LibTorch {
    fn backward(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let gradient = output.tensor.threshold_backward(&gradient.tensor, 0.0);
        burn::backend::libtorch::TchTensor::new(gradient)
    }
}

impl<B: Differentiable, C: CheckpointStrategy> Relu for Autodiff<B, C> {
    fn rectified(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let (input, node) = input.into_parts();
        match StepBack.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::rectified(input);
                prepared.finish(output.clone(), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::rectified(input)),
        }
    }
}

/// The backward pass as a node of burn's graph.
#[derive(Debug)]
struct StepBack;

impl<B: Differentiable> Backward<B, 1> for StepBack {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut grads::Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::backward(ops.state, gradient));
        }
    }
}

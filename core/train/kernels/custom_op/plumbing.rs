//! The plumbing by which burn runs a [`CustomOp`]: one backend extension and one node of the autodiff graph, generic in
//! the operation.

use super::{CustomOp, Outputs, Saved, host::Host};
use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor,
        DispatchTensorKind, ExtensionType, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

/// Runs an operation on tensors of any backend: returns its output and its constants.
pub(super) fn dispatch<const N: usize, O: CustomOp<N>>(
    op: O,
    inputs: [DispatchTensor; N],
) -> (DispatchTensor, Vec<DispatchTensor>) {
    <Dispatch as Run>::run(op, Inputs(inputs.into()))
}

/// A backend that a [`CustomOp`] runs on: burn's on the CPU, libtorch, and burn's own kernels.
pub trait OpBackend: Host {
    /// A backend's tensor as one of burn's tensors, without gradients.
    fn tensor<const D: usize>(primitive: FloatTensor<Self>) -> Tensor<D>;

    /// The inverse.
    ///
    /// # Panics
    /// When the tensor is on another backend, or one with gradients.
    fn primitive<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Self>;

    /// An operation's forward pass on this backend.
    #[doc(hidden)]
    fn forward_of<const N: usize, O: CustomOp<N>>(op: &O, inputs: [FloatTensor<Self>; N], saves: bool)
    -> Outputs<Self>;

    /// An operation's backward pass on this backend.
    #[doc(hidden)]
    fn backward_of<const N: usize, O: CustomOp<N>>(
        op: &O,
        saved: Saved<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<Self>>; N];
}

macro_rules! op_backend {
    ($backend:ident, $forward:ident, $backward:ident) => {
        impl OpBackend for $backend {
            fn tensor<const D: usize>(primitive: FloatTensor<Self>) -> Tensor<D> {
                let kind = DispatchTensorKind::$backend(BackendTensor::Float(primitive));
                Tensor::from_dispatch(DispatchTensor { kind, autodiff: DispatchAutodiffContext::Disabled })
            }

            fn primitive<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Self> {
                match tensor.into_dispatch().kind {
                    DispatchTensorKind::$backend(tensor) => tensor.float(),
                    #[allow(unreachable_patterns, reason = "there may be one backend alone")]
                    other => panic!("a tensor of {} is wanted, not {other:?}", stringify!($backend)),
                }
            }

            fn forward_of<const N: usize, O: CustomOp<N>>(
                op: &O,
                inputs: [FloatTensor<Self>; N],
                saves: bool,
            ) -> Outputs<Self> {
                op.$forward(inputs, saves)
            }

            fn backward_of<const N: usize, O: CustomOp<N>>(
                op: &O,
                saved: Saved<Self>,
                gradient: FloatTensor<Self>,
                wanted: [bool; N],
            ) -> [Option<FloatTensor<Self>>; N] {
                op.$backward(saved, gradient, wanted)
            }
        }

        impl Run for $backend {
            fn run<const N: usize, O: CustomOp<N>>(
                op: O,
                inputs: Inputs<Self>,
            ) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>) {
                let Outputs { output, constants, .. } = op.$forward(inputs.unpack(), false);
                (output, constants)
            }
        }
    };
}

op_backend!(Flex, forward_flex, backward_flex);

#[cfg(feature = "tch")]
use burn::backend::LibTorch;
#[cfg(feature = "tch")]
op_backend!(LibTorch, forward_libtorch, backward_libtorch);

#[cfg(feature = "cubecl")]
use burn::backend::Cube;
#[cfg(feature = "cubecl")]
op_backend!(Cube, forward_cube, backward_cube);

/// The trait for which burn's dispatch selects the backend.
#[backend_extension(Flex, Cube: cfg(feature = "cubecl"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait Run: Backend {
    fn run<const N: usize, O: CustomOp<N>>(
        op: O,
        #[extension_type] inputs: Inputs<Self>,
    ) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>);
}

/// The inputs of an operation.
struct Inputs<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend> Inputs<B> {
    fn unpack<const N: usize>(self) -> [FloatTensor<B>; N] {
        Saved::<B>(self.0).unpack()
    }
}

impl<B: Backend> ExtensionType<B> for Inputs<B> {
    type Target = Inputs<Dispatch>;

    fn map_to_dispatch<F>(self, kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap = |tensor| DispatchTensor { kind: kind(BackendTensor::Float(tensor)), autodiff };
        Inputs(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        target.0.iter().fold(DispatchAutodiffContext::Disabled, |context, tensor| context.merge(tensor.autodiff))
    }
}

impl<B: OpBackend, C: CheckpointStrategy> Run for Autodiff<B, C> {
    fn run<const N: usize, O: CustomOp<N>>(op: O, inputs: Inputs<Self>) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>) {
        let mut tensors = Vec::with_capacity(N);
        let nodes = inputs.unpack().map(|input: FloatTensor<Self>| {
            let (tensor, node) = input.into_parts();
            tensors.push(tensor);
            node
        });
        let tensors = Inputs::<B>(tensors).unpack();
        let (output, constants) = match Node(op.clone()).prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let Outputs { output, constants, saved } = B::forward_of(&op, tensors, true);
                (prepared.finish(saved, output), constants)
            }
            OpsKind::UnTracked(prepared) => {
                let Outputs { output, constants, .. } = B::forward_of(&op, tensors, false);
                (prepared.finish(output), constants)
            }
        };
        (output, constants.into_iter().map(Self::from_inner).collect())
    }
}

/// The backward pass of an operation as a node of burn's autodiff graph.
#[derive(Debug)]
struct Node<O>(O);

impl<const N: usize, B: OpBackend, O: CustomOp<N>> Backward<B, N> for Node<O> {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let of_inputs = B::backward_of(&self.0, ops.state, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let Some(parent) = parent {
                let gradient = gradient.unwrap_or_else(|| panic!("{:?} gives no gradient of a learned input", self.0));
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

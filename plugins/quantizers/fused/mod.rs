//! Fake quantization as one operation with a backward pass of its own.
//!
//! For values x of one row, with a step size s, an offset o and a zero point z, rounding half to even:
//!
//! ```text
//! u  = (x - o)/s
//! q  = round(clip(u + z, low, high))
//! y  = (q - z) * s + o
//! dx = g where low <= u + z <= high, else 0
//! ds = G * sum(g * e),   e = q - z - u inside, q - z outside
//! do = G * sum(g where outside)
//! ```
//!
//! The zero point is a constant. What is saved for the backward pass is x and the three numbers. Composed of burn's
//! operations, the same takes a pass over memory for each of about ten operations forward and twenty backward, and keeps
//! several tensors of the size of x.
//!
//! Quantizers keep the composition as [`Kernel::Composed`]: this operation is tested against it. Outputs are the same to the
//! last bit for all x and all finite parameters; gradients differ by rounding. Where x is infinite the composition's ds is
//! 0 * inf; here it is finite, as above.

#![cfg_attr(
    feature = "tch",
    expect(deprecated, reason = "burn 0.22 is the last one with libtorch; Cargo.toml pins it")
)]

#[cfg(feature = "cubecl")]
mod cube;
mod flex;
#[cfg(feature = "tch")]
mod libtorch;
mod loops;
mod primitives;
#[cfg(test)]
mod tests;

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
    tensor::Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What computes a quantizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// One operation, forward and backward.
    #[default]
    Fused,
    /// burn's operations one after the other: slower, the reference.
    Composed,
}

/// The numbers that are the same for all values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The lowest level.
    pub low: f64,
    /// The highest level.
    pub high: f64,
    /// What the gradients of parameters are multiplied by.
    pub gradient_scale: f64,
}

/// Fake-quantized values `[rows, elements]`. Parameters, each of shape `[rows]`, are the step size, then the offset, then the
/// zero point; those at the end may be left out.
pub(super) fn fake_quantize<const N: usize>(
    values: Tensor<2>,
    parameters: [Tensor<1>; N],
    bounds: Bounds,
) -> Tensor<2> {
    const { assert!(1 <= N && N <= 3, "a step size, an offset, a zero point") };
    let [rows, _] = values.dims();
    let parameters = Tensor::cat(parameters.to_vec(), 0).reshape([N, rows]);
    let quantized =
        <Dispatch as FakeQuantize>::fake_quantize(values.into_dispatch(), parameters.into_dispatch(), bounds);
    Tensor::from_dispatch(quantized)
}

/// The forward pass, which tensors reach through burn's dispatch on whichever backend they are.
#[backend_extension(Flex, Cube: cfg(feature = "cubecl"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait FakeQuantize: Backend {
    /// Quantizes values `[rows, elements]` with parameters `[1 to 3, rows]`.
    fn fake_quantize(values: FloatTensor<Self>, parameters: FloatTensor<Self>, bounds: Bounds) -> FloatTensor<Self>;
}

/// The backward pass.
trait Gradients: Backend {
    /// The gradients of values and of parameters, given that of the output.
    fn gradients(
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        bounds: Bounds,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl<B: FakeQuantize + Gradients, C: CheckpointStrategy> FakeQuantize for Autodiff<B, C> {
    fn fake_quantize(values: FloatTensor<Self>, parameters: FloatTensor<Self>, bounds: Bounds) -> FloatTensor<Self> {
        let (values, values_node) = values.into_parts();
        let (parameters, parameters_node) = parameters.into_parts();
        match StepBack.prepare::<C>([values_node, parameters_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let quantized = B::fake_quantize(values.clone(), parameters.clone(), bounds);
                prepared.finish((values, parameters, bounds), quantized)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::fake_quantize(values, parameters, bounds)),
        }
    }
}

/// The backward pass as a node of burn's graph.
#[derive(Debug)]
struct StepBack;

impl<B: Gradients> Backward<B, 2> for StepBack {
    type State = (FloatTensor<B>, FloatTensor<B>, Bounds);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut grads::Gradients, _: &mut Checkpointer) {
        let (values, parameters, bounds) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let (of_values, of_parameters) = B::gradients(values, parameters, gradient, bounds);
        for (parent, gradient) in ops.parents.into_iter().zip([of_values, of_parameters]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

//! Operators: one file for each, which says all there is to say about it. Nothing else in the program asks which operator a
//! node of a network is; it asks the operator.
//!
//! Values have the shape `[batch, channels, height, width]` everywhere. Tokens are `dim x tokens x 1`, so that a linear layer
//! on tokens is a 1x1 convolution; matrices are `batch x rows x columns`.

mod add;
mod avg_pool;
mod batch_norm;
#[cfg(feature = "train")]
mod call;
mod channel_shuffle;
mod channel_slice;
mod clip;
mod concat;
mod conv;
mod elementwise;
mod flatten;
mod gelu;
mod global_avg_pool;
mod hard_sigmoid;
mod hard_swish;
mod input;
mod layer_norm;
mod leaky_relu;
mod linear;
mod matmul;
mod max_pool;
mod mul;
mod op;
mod pad;
mod parameter;
mod prelu;
mod relu;
mod scale;
mod shapes;
mod sigmoid;
mod silu;
mod softmax;
mod tanh;
mod window;

pub use add::Add;
pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
#[cfg(feature = "train")]
pub use call::{Call, Statistics};
pub use channel_shuffle::ChannelShuffle;
pub use channel_slice::ChannelSlice;
pub use clip::Clip;
pub use concat::Concat;
pub use conv::Conv;
pub use elementwise::Elementwise;
pub use flatten::Flatten;
pub use gelu::Gelu;
pub use global_avg_pool::GlobalAvgPool;
pub use hard_sigmoid::HardSigmoid;
pub use hard_swish::HardSwish;
pub use input::Input;
pub use layer_norm::LayerNorm;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use matmul::Matmul;
pub use max_pool::MaxPool;
pub use mul::Mul;
pub use op::Op;
pub use pad::Pad;
pub use parameter::{Init, Parameter, ParameterKind};
pub use prelu::Prelu;
pub use relu::Relu;
pub use scale::Scale;
pub use shapes::{OpError, one, same, two};
pub use sigmoid::Sigmoid;
pub use silu::Silu;
pub use softmax::{Axis, Softmax};
pub use tanh::Tanh;
pub use window::Window;

use crate::graph::Shape;
#[cfg(feature = "train")]
use burn::tensor::Tensor;
use std::fmt;

crate::registry::kind!(Operator, "operator");

/// A tensor that an operator computes with and that is quantized first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// One of its inputs, counted from 0.
    Input(usize),
    /// Its parameter of the kind [`ParameterKind::Weight`].
    Weight,
}

/// How an operator makes one tensor of several, for rules that give what it joins the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// By adding them up: `@residual`.
    Sum,
    /// By placing them side by side: `@concat`.
    Concat,
}

/// What a node of a network computes.
///
/// A struct that implements it is the table of its attributes. It is registered with `plugin!`, described by a model with
/// [`crate::graph::Builder::apply`], and may stand in a crate of one's own.
pub trait Operator: fmt::Debug + Send + Sync {
    /// The name under which it is registered.
    fn name(&self) -> &'static str;

    /// What reports call a node of it that has no name, such as `max pool`.
    fn label(&self) -> &'static str {
        self.name()
    }

    /// Shape of the output, for inputs of these shapes.
    ///
    /// # Errors
    /// Inputs that it cannot take: too many, too few, or of shapes that do not fit.
    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError>;

    /// What it learns or keeps, in the order of the state dict.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<Parameter> {
        vec![]
    }

    /// The two tensors that are quantized before it multiplies them; none for most operators. An operator that has them is a
    /// *layer*: the search gives it bits. The first is always an input, and its bits are those called `act`; the bits called
    /// `weight` are those of the second.
    fn operands(&self) -> Option<[Operand; 2]> {
        None
    }

    /// Multiply-accumulates of its layer for one sample.
    fn macs(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    /// The windows in which it goes over an image, if it does.
    fn window(&self) -> Window {
        Window::POINT
    }

    /// Groups of channels that do not mix; as many as channels in a depthwise convolution.
    fn groups(&self) -> usize {
        1
    }

    /// Whether its output can be negative, given whether each of its inputs can; decides between signed and unsigned grids.
    fn can_be_negative(&self, inputs: &[bool]) -> bool;

    /// How it joins its inputs, if it does.
    fn joins(&self) -> Option<Join> {
        None
    }

    /// Whether it only transforms each value of its one input by itself, so that whoever wrote the input counts as having written
    /// the output: shares of bits and batch-norm copies look through it.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether each value of its output is a value of an input (or 0), so that the output needs no more bits than they have:
    /// whoever reads the output reads them.
    fn selects(&self) -> bool {
        false
    }

    /// Whether it can write its output over an input of the same shape, as kernels that are fused with the layer before do.
    fn in_place(&self) -> bool {
        false
    }

    /// Whether its parameters have a copy for each bit-width of the layer that it reads: statistics differ between bit-widths.
    fn is_switchable(&self) -> bool {
        false
    }

    /// Computes the output `[batch, channels, height, width]`.
    #[cfg(feature = "train")]
    fn forward(&self, call: Call<'_>) -> Tensor<4>;
}

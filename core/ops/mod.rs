//! Operators: one file each, with everything that the program needs to know about the operator. No other code asks
//! which operator a node has; it asks the operator.
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
mod class_token;
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
mod merge_heads;
mod mul;
mod op;
mod pad;
mod parameter;
mod position_embedding;
mod prelu;
mod relu;
mod row_slice;
mod scale;
mod shapes;
mod sigmoid;
mod silu;
mod softmax;
mod split_heads;
mod tanh;
mod tokens;
mod window;

pub use add::Add;
pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
#[cfg(feature = "train")]
pub use call::{Call, Statistics};
pub use channel_shuffle::ChannelShuffle;
pub use channel_slice::ChannelSlice;
pub use class_token::ClassToken;
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
pub use merge_heads::MergeHeads;
pub use mul::Mul;
pub use op::Op;
pub use pad::Pad;
pub use parameter::{Init, Parameter, ParameterKind};
pub use position_embedding::PositionEmbedding;
pub use prelu::Prelu;
pub use relu::Relu;
pub use row_slice::RowSlice;
pub use scale::Scale;
pub use shapes::{OpError, one, same, tokens, two};
pub use sigmoid::Sigmoid;
pub use silu::Silu;
pub use softmax::{Axis, Softmax};
pub use split_heads::SplitHeads;
pub use tanh::Tanh;
pub use tokens::Tokens;
pub use window::Window;

use crate::graph::Shape;
#[cfg(feature = "train")]
use burn::tensor::Tensor;
use std::fmt;

crate::registry::kind!(Operator, "operator");

/// A tensor that an operator multiplies and that is quantized first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// One of its inputs, counted from 0.
    Input(usize),
    /// Its parameter of the kind [`ParameterKind::Weight`].
    Weight,
}

/// How an operator joins several tensors into one, for rules by which joined tensors share their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// By adding them up: `@residual`.
    Sum,
    /// By placing them side by side: `@concat`.
    Concat,
}

/// What a node of a network computes.
///
/// The struct that implements it holds its attributes. It is registered by `plugin!`, used by models through
/// [`crate::graph::Builder::apply`], and may be in a crate outside this repository.
pub trait Operator: fmt::Debug + Send + Sync {
    /// The name under which it is registered.
    fn name(&self) -> &'static str;

    /// What reports call its nodes without a name, such as `max pool`.
    fn label(&self) -> &'static str {
        self.name()
    }

    /// Shape of the output, for inputs of these shapes.
    ///
    /// # Errors
    /// Inputs that it cannot take: their number or shapes are wrong.
    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError>;

    /// Its parameters and running statistics, in the order of the state dict.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<Parameter> {
        vec![]
    }

    /// The two tensors that are quantized before it multiplies them; `None` for most operators. An operator that has
    /// them is a *layer*: the search chooses its bits. The first is always an input, whose bits are called `act`; the
    /// bits called `weight` are those of the second.
    fn operands(&self) -> Option<[Operand; 2]> {
        None
    }

    /// Number of multiply-accumulates per sample.
    fn macs(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    /// Its sliding window on the image; a single pixel by default.
    fn window(&self) -> Window {
        Window::POINT
    }

    /// Number of independent groups of channels; the number of channels for a depthwise convolution.
    fn groups(&self) -> usize {
        1
    }

    /// Whether its output can be negative, given whether each of its inputs can; decides between signed and unsigned
    /// grids.
    fn can_be_negative(&self, inputs: &[bool]) -> bool;

    /// How it joins its inputs, if it does.
    fn joins(&self) -> Option<Join> {
        None
    }

    /// Whether it transforms each value of its one input independently. Rules on shared bits and batch-norm copies then
    /// look through it: its output counts as that of the layer before.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether each value of its output is a value of an input, or 0, so that its output is stored at the bits of its
    /// input.
    fn selects(&self) -> bool {
        false
    }

    /// Whether it can write its output over an input of the same shape, as kernels fused with the preceding layer do.
    fn in_place(&self) -> bool {
        false
    }

    /// Whether joint training keeps one copy of its parameters per bit-width of the layer that it reads.
    fn is_switchable(&self) -> bool {
        false
    }

    /// Computes the output `[batch, channels, height, width]`.
    #[cfg(feature = "train")]
    fn forward(&self, call: Call<'_>) -> Tensor<4>;
}

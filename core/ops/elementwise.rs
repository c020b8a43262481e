//! What activation functions have in common: they transform each value independently.

use super::{OpError, Operator, one};
use crate::graph::Shape;
#[cfg(feature = "train")]
use burn::tensor::Tensor;
use std::fmt;

/// An activation function without parameters. Every implementation is an [`Operator`].
pub trait Elementwise: fmt::Debug + Send + Sync {
    /// The name under which it is registered.
    const NAME: &'static str;

    /// Whether its output can be negative, given whether its input can.
    fn can_be_negative(&self, input: bool) -> bool;

    /// Checks the attributes.
    ///
    /// # Errors
    /// Attributes that do not fit together, in words.
    fn check(&self) -> Result<(), OpError> {
        Ok(())
    }

    /// Applies the function to each value.
    #[cfg(feature = "train")]
    fn apply(&self, x: Tensor<4>) -> Tensor<4>;
}

impl<E: Elementwise> Operator for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn label(&self) -> &'static str {
        "activation function"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        self.check()?;
        one(inputs)
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        Elementwise::can_be_negative(self, inputs[0])
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> Tensor<4> {
        self.apply(call.input())
    }
}

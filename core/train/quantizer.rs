//! The quantizer kind: fake quantization of weights and activations, with learned parameters.

use crate::search::BitWidth;
use burn::tensor::{Device, Tensor};

/// Which tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Its weights.
    Weight,
    /// Its input activations.
    Act,
}

impl Role {
    /// Both, weights first.
    pub const BOTH: [Self; 2] = [Self::Weight, Self::Act];

    /// `weight` or `act`, as in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Act => "act",
        }
    }

    /// `weights` or `activations`, for people.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Weight => "weights",
            Self::Act => "activations",
        }
    }
}

/// The integers a tensor is rounded to, `-qn..=qp`, or any other 2^b levels with as many steps between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Number of bits.
    pub bits: BitWidth,
    /// Whether negative integers are needed.
    pub signed: bool,
}

impl Grid {
    /// Magnitude of the lowest integer: 2^(b-1) if signed, else 0.
    pub fn qn(self) -> f64 {
        if self.signed { 2f64.powi(self.bits.get() as i32 - 1) } else { 0.0 }
    }

    /// The highest integer: 2^(b-1) - 1 if signed, else 2^b - 1. One signed bit has none above 0; runs refuse it.
    pub fn qp(self) -> f64 {
        let bits = self.bits.get() as i32 - i32::from(self.signed);
        2f64.powi(bits) - 1.0
    }

    /// Steps from the lowest of 2^b levels to the highest: 2^b - 1.
    pub fn steps(self) -> f64 {
        self.qn() + self.qp()
    }
}

/// A tensor's quantization has no number that could serve as an importance indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantizer {quantizer:?} gives no importance indicator for {}: {why}", role.plural())]
pub struct NoIndicator {
    /// The quantizer's registered name.
    pub quantizer: &'static str,
    /// Which tensors have none.
    pub role: Role,
    /// Why there is none.
    pub why: &'static str,
}

/// Fake quantization. Tensors come as `[channels, elements]`: one row for the whole tensor, or one for each output
/// channel when [`Quantizer::per_channel`] says so.
pub trait Quantizer: Send + Sync {
    /// Whether this tensor gets parameters of its own for each output channel.
    fn per_channel(&self, _role: Role) -> bool {
        false
    }

    /// Parameters to start from, each of shape `[channels]`, given the pre-trained weights or a first batch of
    /// activations.
    fn start(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>>;

    /// The values rounded to the grid, differentiable in values and parameters.
    fn quantize(&self, role: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2>;

    /// Parameters brought back into their domain after an optimizer step. Done here and not in
    /// [`Quantizer::quantize`], so that a parameter at its bound still gets a gradient and can leave it.
    fn project(&self, parameters: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        parameters
    }

    /// Parameters that an optimizer step took from `before` to `after`, in their domain. Limits how far a step may go; without
    /// limits it is [`Quantizer::project`].
    fn moved(&self, _before: &[Tensor<1>], after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        self.project(after)
    }

    /// Whether the optimizer's weight decay applies to the parameters: `decay * p` is added to the gradient of p, an L2
    /// penalty of `decay / 2 * p^2` in the loss.
    fn decayed(&self, _role: Role) -> bool {
        false
    }

    /// The importance indicator that parameters stand for: the distance of neighbouring levels, in the tensor's own unit.
    /// Whether there is one must depend on `role` alone, so that core finds out before any training.
    ///
    /// # Errors
    /// When the method keeps nothing that could serve as one.
    fn indicator(&self, role: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator>;
}

/// Whether a quantizer gives importance indicators, tried on what its parameters start from.
///
/// # Errors
/// When weights or activations have none.
pub(crate) fn try_indicators(quantizer: &dyn Quantizer) -> Result<(), NoIndicator> {
    let grid = Grid { bits: BitWidth::new(4).expect("4 is a bit-width"), signed: true };
    for role in Role::BOTH {
        let values = Tensor::<2>::from_floats([[-1.0, 1.0]], &Device::flex());
        let start = quantizer.start(role, values, grid).into_iter();
        let start: Vec<Vec<f32>> = start.map(super::network::host).collect();
        quantizer.indicator(role, &start, grid)?;
    }
    Ok(())
}

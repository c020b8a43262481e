//! The quantizer kind: fake quantization of weights and activations, with learned parameters.

use crate::search::BitWidth;
use burn::tensor::Tensor;

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
}

/// The integers a tensor is rounded to: `-qn..=qp`.
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
}

/// The quantizer has no number that could serve as an importance indicator.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "this quantizer has no learned step size, so it gives no importance indicator; use another quantizer (lsq) for the indicators"
)]
pub struct NoIndicator;

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

    /// The importance indicator that trained parameters stand for.
    ///
    /// # Errors
    /// When the method learns nothing that could serve as one.
    fn indicator(&self, parameters: &[Vec<f32>]) -> Result<f64, NoIndicator>;
}

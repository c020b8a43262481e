//! The plugin kind quantizer: fake quantization of weights and activations, with learned parameters.

use super::quant::AcrossBatches;
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

    /// `weights` or `activations`, for messages.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Weight => "weights",
            Self::Act => "activations",
        }
    }
}

/// The integer grid of a tensor, `-qn..=qp`, or any other 2^b levels with as many steps between them.
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

    /// The highest integer: 2^(b-1) - 1 if signed, else 2^b - 1. With one signed bit it is 0; runs refuse that.
    pub fn qp(self) -> f64 {
        let bits = self.bits.get() as i32 - i32::from(self.signed);
        2f64.powi(bits) - 1.0
    }

    /// Number of steps between the lowest and the highest of 2^b levels: 2^b - 1.
    pub fn steps(self) -> f64 {
        self.qn() + self.qp()
    }
}

/// A quantizer has no value that could serve as an importance indicator of a tensor.
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

/// What a quantizer knows about a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorInfo<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// Its weights or its input activations.
    pub role: Role,
    /// Whether the layer's bits are fixed, as those of stem and classifier, and not searched.
    pub fixed: bool,
    /// Fraction of the stage's optimizer steps that are done, from 0; 1 outside training.
    pub progress: f64,
}

/// Fake quantization. Tensors have the shape `[rows, elements]`: one row for the whole tensor, one per output channel
/// if [`Quantizer::per_channel`] says so, or several per channel if [`Quantizer::groups`] does.
///
/// [`Quantizer::init`], [`Quantizer::quantize`] and [`Quantizer::indicator`] make a quantizer; all other methods have
/// defaults. Building blocks are in [`super::quant`]; a custom kernel is a [`super::kernels::CustomOp`].
///
/// As an example, a complete plugin with its own kernel, for a crate outside: logarithmic levels (Miyashita et al.,
/// arXiv:1603.01025):
///
/// ```
/// use burn::{backend::tensor::FloatTensor, tensor::{Device, Tensor}};
/// use limpq_core::train::{
///     Grid, NoIndicator, Quantizer, Role,
///     kernels::{CustomOp, HostTensor, OpBackend, Outputs, Saved},
/// };
///
/// /// Rounds magnitudes to powers of two, each 2^-k of the largest one with k below 2^(b-1), or to 0 below them.
/// #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// pub struct Logarithmic {}
///
/// limpq_core::plugin!(Quantizer, "logarithmic", "powers of two (Miyashita et al., 2016)", Logarithmic);
///
/// impl Quantizer for Logarithmic {
///     fn init(&self, _: Role, values: Tensor<2>, _: Grid) -> Vec<Tensor<1>> {
///         let [rows, _] = values.dims();
///         vec![values.abs().max_dim(1).clamp_min(1e-5).reshape([rows])]
///     }
///
///     fn quantize(&self, _: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2> {
///         let levels = 2f32.powi(grid.bits.get() as i32 - 1);
///         // The largest magnitude is not learned.
///         let largest = parameters[0].clone().inner().reshape([-1, 1]);
///         PowerOfTwo { levels }.apply::<2>([(values / largest.clone()).into()]) * largest
///     }
///
///     fn indicator(&self, role: Role, _: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
///         Err(NoIndicator { quantizer: "logarithmic", role, why: "its levels lie unevenly" })
///     }
/// }
///
/// /// The kernel: one pass over the values. Gradients go straight through, so nothing is saved for them.
/// #[derive(Clone, Debug)]
/// struct PowerOfTwo {
///     levels: f32,
/// }
///
/// impl CustomOp<1> for PowerOfTwo {
///     fn forward<B: OpBackend>(&self, values: [FloatTensor<B>; 1], _: bool) -> Outputs<B> {
///         Outputs::new(match HostTensor::<B>::all(values) {
///             // In the processor's memory: a loop.
///             Ok([mut values]) => {
///                 for value in values.values_mut() {
///                     let k = (-value.abs().log2()).round_ties_even().max(0.0);
///                     *value = if k < self.levels { value.signum() * (-k).exp2() } else { 0.0 };
///                 }
///                 values.into_tensor()
///             }
///             // Elsewhere: burn's operations.
///             Err([values]) => {
///                 let values = B::tensor::<2>(values);
///                 let k = (values.clone().abs().log() / -std::f64::consts::LN_2).round().clamp_min(0.0);
///                 let too_small = k.clone().greater_equal_elem(self.levels);
///                 let powers = (k * -std::f64::consts::LN_2).exp();
///                 B::primitive((values.sign() * powers).mask_fill(too_small, 0.0))
///             }
///         })
///     }
///
///     fn backward<B: OpBackend>(&self, _: Saved<B>, gradient: FloatTensor<B>, _: [bool; 1]) -> [Option<FloatTensor<B>>; 1] {
///         [Some(gradient)]
///     }
/// }
///
/// // What runs do with its name.
/// let quantizer = limpq_core::registry::build::<dyn Quantizer>("logarithmic", &toml::Table::new()).unwrap();
/// let grid = Grid { bits: "3".parse().unwrap(), signed: true };
/// let values = Tensor::<2>::from_floats([[4.0, -1.9, 0.7, 0.01]], &Device::flex().autodiff()).require_grad();
/// let parameters = quantizer.init(Role::Weight, values.clone().inner(), grid);
/// let quantized = quantizer.quantize(Role::Weight, values.clone(), &parameters, grid);
/// assert_eq!(quantized.to_data().try_to_vec::<f32>().unwrap(), [4.0, -2.0, 0.5, 0.0]);
/// let gradients = quantized.sum().backward();
/// assert_eq!(values.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap(), [1.0; 4]);
/// ```
pub trait Quantizer: Send + Sync {
    /// Whether each output channel of this tensor has its own parameters.
    fn per_channel(&self, _role: Role) -> bool {
        false
    }

    /// Number of groups per output channel, each of consecutive weights and with its own parameters; a divisor of
    /// `elements`, the number of weights per channel. Only used for weights with [`Quantizer::per_channel`].
    fn groups(&self, _elements: usize) -> usize {
        1
    }

    /// Initial quantization parameters, each of shape `[rows]`, from the pre-trained weights or a batch of activations.
    fn init(&self, role: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>>;

    /// Initial parameters of activations from several calibration batches, given the result of [`Quantizer::init`] for
    /// each, in order. By default their mean; [`super::quant::AcrossBatches`] has other reductions.
    fn init_from_batches(&self, batches: Vec<Vec<Tensor<1>>>) -> Vec<Tensor<1>> {
        let parameters = batches.first().map_or(0, Vec::len);
        (0..parameters)
            .map(|place| AcrossBatches::Mean.combine(batches.iter().map(|batch| batch[place].clone()).collect()))
            .collect()
    }

    /// Fake quantization: the values rounded to the grid, differentiable in values and parameters.
    fn quantize(&self, role: Role, values: Tensor<2>, parameters: &[Tensor<1>], grid: Grid) -> Tensor<2>;

    /// The same for methods that depend on the layer or on the training progress; networks call this one.
    fn quantize_tensor(
        &self,
        tensor: &TensorInfo,
        values: Tensor<2>,
        parameters: &[Tensor<1>],
        grid: Grid,
    ) -> Tensor<2> {
        self.quantize(tensor.role, values, parameters, grid)
    }

    /// An additional term of the training loss, of shape `[1]`, per pass and layer with quantized weights:
    /// regularisation such as KURE, or dampening of oscillations. It may have gradients with respect to weights and
    /// parameters. Reported losses do not include it.
    fn loss(
        &self,
        _weights: &TensorInfo,
        _values: Tensor<2>,
        _parameters: &[Tensor<1>],
        _grid: Grid,
    ) -> Option<Tensor<1>> {
        None
    }

    /// Projects parameters back into their domain after an optimizer step, which took them from `before` to `after`,
    /// and may limit the step. Done here and not in [`Quantizer::quantize`], so that a parameter at its bound still
    /// gets a gradient and can leave it.
    fn after_step(&self, _before: &[Tensor<1>], after: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        after
    }

    /// Whether the optimizer's weight decay applies to the parameters: `decay * p` is added to the gradient of p, an L2
    /// penalty of `decay / 2 * p^2` in the loss.
    fn decayed(&self, _role: Role) -> bool {
        false
    }

    /// The importance indicator of a tensor: the distance between neighbouring levels, in the tensor's own unit.
    /// Whether there is one may only depend on `role`, so that core can check it before any training.
    ///
    /// # Errors
    /// When the method has no such value.
    fn indicator(&self, role: Role, parameters: &[Vec<f32>], grid: Grid) -> Result<f64, NoIndicator>;
}

/// Whether a quantizer gives importance indicators, tested on its initial parameters.
///
/// # Errors
/// When weights or activations have none.
pub(crate) fn try_indicators(quantizer: &dyn Quantizer) -> Result<(), NoIndicator> {
    let grid = Grid { bits: BitWidth::new(4).expect("4 is a bit-width"), signed: true };
    for role in Role::BOTH {
        let values = Tensor::<2>::from_floats([[-1.0, 1.0]], &Device::flex());
        let initial = quantizer.init(role, values, grid).into_iter();
        let initial: Vec<Vec<f32>> = initial.map(super::network::host).collect();
        quantizer.indicator(role, &initial, grid)?;
    }
    Ok(())
}

//! Building blocks of quantizers: straight-through estimators, gradient scaling, and observers, which find the range of
//! values.

mod observer;

use burn::tensor::Tensor;
pub use observer::{AcrossBatches, Observer};

/// The straight-through estimator (Bengio et al., arXiv:1308.3432): returns `values` exactly, while the gradient goes
/// to `path` unchanged. Both have the same shape.
///
/// Weights by their sign, with the gradient of tanh (as in DoReFa-Net's family):
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use limpq_core::train::quant::straight_through;
///
/// let weights = Tensor::<1>::from_floats([-0.7, 0.2], &Device::flex().autodiff()).require_grad();
/// let signs = straight_through(weights.clone().tanh(), weights.clone().sign());
/// let gradients = signs.clone().sum().backward();
/// assert_eq!(signs.into_data().try_to_vec::<f32>().unwrap(), [-1.0, 1.0]);
/// // 1 - tanh(x)^2
/// let slopes = weights.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
/// assert!((slopes[0] - 0.6347).abs() < 1e-4 && (slopes[1] - 0.9610).abs() < 1e-4);
/// ```
pub fn straight_through<const D: usize>(path: Tensor<D>, values: Tensor<D>) -> Tensor<D> {
    // `inner()` drops the graph, where `detach()` of a leaf would still require gradients.
    let constant = path.clone().inner();
    (path - constant) + values.inner()
}

/// Rounds half to even, with a straight-through gradient.
///
/// A uniform quantizer of 2 signed bits with a fixed step size of 0.5:
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use limpq_core::train::quant::round_straight_through;
///
/// let values = Tensor::<1>::from_floats([-9.0, -0.3, 0.2, 0.6], &Device::flex().autodiff()).require_grad();
/// let levels = round_straight_through((values.clone() / 0.5).clamp(-2.0, 1.0));
/// let quantized = levels * 0.5;
/// let gradients = quantized.clone().sum().backward();
/// assert_eq!(quantized.into_data().try_to_vec::<f32>().unwrap(), [-1.0, -0.5, 0.0, 0.5]);
/// // Clipped values have no gradient.
/// assert_eq!(values.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap(), [0.0, 1.0, 1.0, 0.0]);
/// ```
pub fn round_straight_through<const D: usize>(values: Tensor<D>) -> Tensor<D> {
    let rounded = values.clone().inner().round();
    straight_through(values, rounded)
}

/// Returns the values unchanged and multiplies their gradients by `scale`. LSQ (Esser et al., ICLR 2020, section 2.2)
/// scales the gradients of step sizes by 1/sqrt(N*Qp), where N values share a step size, so that their relative updates
/// are as large as the weights'.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use limpq_core::train::quant::scale_gradient;
///
/// let step = Tensor::<1>::from_floats([0.1], &Device::flex().autodiff()).require_grad();
/// let scaled = scale_gradient(step.clone(), 0.25);
/// let gradients = scaled.clone().mul_scalar(8.0).sum().backward();
/// assert_eq!(scaled.into_data().try_to_vec::<f32>().unwrap(), [0.1]);
/// assert_eq!(step.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap(), [2.0]);
/// ```
pub fn scale_gradient<const D: usize>(values: Tensor<D>, scale: f64) -> Tensor<D> {
    // values + 0 * scale: exact in the forward pass, unlike values + (values - ...).
    let constant = values.clone().inner();
    (values - constant.clone()).mul_scalar(scale) + constant
}

/// Limits an optimizer step of a step size, or of a clipping range, from `before` to `after`: it becomes at least half
/// of what it was. Without this limit a long step takes it below zero, its lower bound. There all values are clipped,
/// and the resulting gradient makes it so large that all values round to zero and nothing more is learned.
pub fn at_least_half(before: &Tensor<1>, after: &Tensor<1>) -> Tensor<1> {
    after.clone().max_pair(before.clone().mul_scalar(0.5))
}

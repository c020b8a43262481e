//! Gradients that several quantizers share, and how far a step along them may go.

use burn::tensor::Tensor;

/// The same values; gradients are multiplied by `scale`.
pub(super) fn scaled(values: Tensor<1>, scale: f64) -> Tensor<1> {
    // values + 0 * scale: exact in the forward pass, where values + (values - ...) would round.
    let constant = values.clone().inner();
    (values - constant.clone()).mul_scalar(scale) + constant
}

/// A step size, or a width, that an optimizer step took from `before` to `after`; at least half of what it was. Otherwise a step
/// that is long for it takes it below zero, and from its bound on, where all values are clipped, its gradients throw it so far
/// up that all values round to zero and nothing is learned any more.
pub(super) fn at_least_half(before: &Tensor<1>, after: &Tensor<1>) -> Tensor<1> {
    after.clone().max_pair(before.clone().mul_scalar(0.5))
}

/// The numbers of `values`, exactly; the gradient goes to `path`, as if the one had not become the other.
pub(super) fn straight_through(path: Tensor<2>, values: Tensor<2>) -> Tensor<2> {
    // `inner()` drops the graph, where `detach()` of a leaf would go on requiring gradients.
    let constant = path.clone().inner();
    (path - constant) + values.inner()
}

/// Rounds half to even; the gradient passes as if nothing had been rounded.
pub(super) fn straight_through_round(values: Tensor<2>) -> Tensor<2> {
    let rounded = values.clone().inner().round();
    straight_through(values, rounded)
}

//! Both passes made of a backend's own operations, for backends and number types without a kernel. Each operation goes over
//! memory once, but nothing more is saved than a kernel saves.

use super::Bounds;
use burn::{
    backend::{Backend, TensorMetadata, get_or_init_device_settings, tensor::FloatTensor},
    tensor::Slice,
};

/// Parameters `[1 to 3, rows]` one by one, each of shape `[rows, 1]`.
struct Parameters<B: Backend> {
    step: FloatTensor<B>,
    offset: Option<FloatTensor<B>>,
    zero: Option<FloatTensor<B>>,
}

impl<B: Backend> Parameters<B> {
    fn new(all: FloatTensor<B>) -> Self {
        let [count, rows] = all.shape().dims();
        let of = |place| {
            let row = B::float_slice(all.clone(), &[Slice::from(place..place + 1), Slice::from(0..rows)]);
            B::float_reshape(row, [rows, 1].into())
        };
        Self { step: of(0), offset: (count > 1).then(|| of(1)), zero: (count > 2).then(|| of(2)) }
    }

    /// (x - o)/s.
    fn scaled(&self, mut values: FloatTensor<B>) -> FloatTensor<B> {
        if let Some(offset) = &self.offset {
            values = B::float_sub(values, offset.clone());
        }
        B::float_div(values, self.step.clone())
    }

    /// Moved by the zero point.
    fn moved(&self, scaled: FloatTensor<B>) -> FloatTensor<B> {
        match &self.zero {
            Some(zero) => B::float_add(scaled, zero.clone()),
            None => scaled,
        }
    }

    /// Clipped, rounded and moved back: q - z.
    fn levels(&self, moved: FloatTensor<B>, bounds: Bounds) -> FloatTensor<B> {
        let levels = B::float_round(B::float_clamp(moved, bounds.low.into(), bounds.high.into()));
        // Makes a -0 of the rounding a 0.
        let levels = B::float_add_scalar(levels, 0.0.into());
        match &self.zero {
            Some(zero) => B::float_sub(levels, zero.clone()),
            None => levels,
        }
    }
}

pub(super) fn forward<B: Backend>(values: FloatTensor<B>, all: FloatTensor<B>, bounds: Bounds) -> FloatTensor<B> {
    let parameters = Parameters::<B>::new(all);
    let levels = parameters.levels(parameters.moved(parameters.scaled(values)), bounds);
    let quantized = B::float_mul(levels, parameters.step);
    match parameters.offset {
        Some(offset) => B::float_add(quantized, offset),
        None => quantized,
    }
}

pub(super) fn backward<B: Backend>(
    values: FloatTensor<B>,
    all: FloatTensor<B>,
    gradient: FloatTensor<B>,
    bounds: Bounds,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = all.shape();
    let [count, rows] = shape.dims();
    let parameters = Parameters::<B>::new(all);
    let scaled = parameters.scaled(values);
    let moved = parameters.moved(scaled.clone());
    let bools = get_or_init_device_settings::<B>(&moved.device()).bool_dtype;
    let above = B::float_greater_elem(moved.clone(), bounds.high.into(), bools);
    let outside = B::bool_or(above, B::float_lower_elem(moved.clone(), bounds.low.into(), bools));
    let inside = B::float_mask_fill(scaled, outside.clone(), 0.0.into());
    let error = B::float_sub(parameters.levels(moved, bounds), inside);
    let of_values = B::float_mask_fill(gradient.clone(), outside, 0.0.into());
    let sum = |numbers| B::float_reshape(B::float_sum_dim(numbers, 1), [1, rows].into());
    let mut sums = vec![sum(B::float_mul(gradient.clone(), error))];
    if parameters.offset.is_some() {
        sums.push(sum(B::float_sub(gradient, of_values.clone())));
    }
    if parameters.zero.is_some() {
        sums.push(B::float_zeros([1, rows].into(), &of_values.device(), of_values.dtype().into()));
    }
    debug_assert_eq!(sums.len(), count);
    (of_values, B::float_mul_scalar(B::float_cat(sums, 0), bounds.gradient_scale.into()))
}

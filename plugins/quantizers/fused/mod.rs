//! Fake quantization as one operation with its own backward pass.
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
//! The zero point is a constant. The backward pass needs x and the three parameters. Composed of burn's operations, the
//! same takes about ten passes over memory forward and twenty backward, and keeps several tensors of the size of x.
//!
//! Quantizers keep the composition as [`Kernel::Composed`]: this operation is tested against it. Outputs are
//! bit-identical for all x and all finite parameters; gradients differ by rounding. Where x is infinite the
//! composition's ds is 0 * inf; here it is finite, as above.

#[cfg(feature = "cubecl")]
mod cube;
mod loops;
#[cfg(test)]
mod tests;

#[cfg(feature = "cubecl")]
use burn::backend::Cube;
use burn::{
    backend::tensor::FloatTensor,
    tensor::{Slice, Tensor},
};
use limpq_core::train::kernels::{CustomOp, HostTensor, OpBackend, Outputs, Saved};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The implementation of a quantizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// One operation, forward and backward.
    #[default]
    Fused,
    /// A composition of burn's operations: slower, the reference.
    Composed,
}

/// Fake-quantized values `[rows, elements]`. Parameters, each of shape `[rows]`, are the step size, the offset and the
/// zero point; trailing ones may be omitted.
pub(super) fn fake_quantize<const N: usize>(
    values: Tensor<2>,
    parameters: [Tensor<1>; N],
    bounds: Bounds,
) -> Tensor<2> {
    const { assert!(1 <= N && N <= 3, "a step size, an offset, a zero point") };
    let [rows, _] = values.dims();
    let parameters = Tensor::cat(parameters.to_vec(), 0).reshape([N, rows]);
    bounds.apply([values.into(), parameters.into()])
}

/// The operation, with the constants that are the same for all values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The lowest level.
    pub low: f64,
    /// The highest level.
    pub high: f64,
    /// Factor of the gradients of parameters.
    pub gradient_scale: f64,
}

/// On values `[rows, elements]` and parameters `[1 to 3, rows]`.
impl CustomOp<2> for Bounds {
    fn forward<B: OpBackend>(&self, inputs: [FloatTensor<B>; 2], saves: bool) -> Outputs<B> {
        let saved = saves.then(|| inputs.clone());
        let output = match HostTensor::<B>::all(inputs) {
            Ok([values, parameters]) => {
                let mut output = values.like();
                let count = parameters.shape()[0];
                loops::forward(values.values(), parameters.values(), count, *self, output.values_mut());
                output.into_tensor()
            }
            Err([values, parameters]) => {
                let parameters = Parameters::new(B::tensor(parameters));
                B::primitive(parameters.quantized(B::tensor(values), *self))
            }
        };
        Outputs::new(output).saving(saved.into_iter().flatten())
    }

    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        _: [bool; 2],
    ) -> [Option<FloatTensor<B>>; 2] {
        let [values, parameters] = saved.unpack();
        let gradients = match HostTensor::<B>::all([values, parameters, gradient]) {
            Ok([values, parameters, mut gradient]) => {
                let shape = parameters.shape();
                let of_parameters =
                    loops::backward(values.values(), parameters.values(), shape[0], *self, gradient.values_mut());
                [gradient, parameters.beside(of_parameters, shape)].map(HostTensor::into_tensor)
            }
            Err([values, parameters, gradient]) => {
                let parameters = Parameters::new(B::tensor(parameters));
                let gradients = parameters.gradients(B::tensor(values), B::tensor(gradient), *self);
                gradients.map(B::primitive)
            }
        };
        gradients.map(Some)
    }

    #[cfg(feature = "cubecl")]
    fn forward_cube(&self, inputs: [FloatTensor<Cube>; 2], saves: bool) -> Outputs<Cube> {
        match cube::has_kernel(&inputs[0]) {
            true => Outputs::new(cube::quantized(inputs.clone(), *self)).saving(inputs),
            false => self.forward::<Cube>(inputs, saves),
        }
    }

    #[cfg(feature = "cubecl")]
    fn backward_cube(
        &self,
        saved: Saved<Cube>,
        gradient: FloatTensor<Cube>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Cube>>; 2] {
        match cube::has_kernel(&gradient) {
            true => cube::gradients(saved.unpack(), gradient, *self).map(Some),
            false => self.backward::<Cube>(saved, gradient, wanted),
        }
    }
}

/// Separate parameters, each of shape `[rows, 1]`, for backends without a kernel. Each operation is one pass over
/// memory, but nothing more is saved than by a kernel.
struct Parameters {
    step: Tensor<2>,
    offset: Option<Tensor<2>>,
    zero: Option<Tensor<2>>,
}

impl Parameters {
    /// From parameters `[1 to 3, rows]`.
    fn new(all: Tensor<2>) -> Self {
        let [count, rows] = all.dims();
        let of = |place| {
            let row = all.clone().slice([Slice::from(place..place + 1), Slice::from(0..rows)]);
            row.reshape([rows, 1])
        };
        Self { step: of(0), offset: (count > 1).then(|| of(1)), zero: (count > 2).then(|| of(2)) }
    }

    /// (x - o)/s.
    fn scaled(&self, values: Tensor<2>) -> Tensor<2> {
        let moved = match &self.offset {
            Some(offset) => values - offset.clone(),
            None => values,
        };
        moved / self.step.clone()
    }

    /// Shifted by the zero point.
    fn moved(&self, scaled: Tensor<2>) -> Tensor<2> {
        match &self.zero {
            Some(zero) => scaled + zero.clone(),
            None => scaled,
        }
    }

    /// Clipped, rounded and shifted back: q - z.
    fn levels(&self, moved: Tensor<2>, bounds: Bounds) -> Tensor<2> {
        // Adding 0 turns a rounded -0 into 0.
        let levels = moved.clamp(bounds.low, bounds.high).round().add_scalar(0.0);
        match &self.zero {
            Some(zero) => levels - zero.clone(),
            None => levels,
        }
    }

    /// The output.
    fn quantized(&self, values: Tensor<2>, bounds: Bounds) -> Tensor<2> {
        let levels = self.levels(self.moved(self.scaled(values)), bounds);
        let quantized = levels * self.step.clone();
        match &self.offset {
            Some(offset) => quantized + offset.clone(),
            None => quantized,
        }
    }

    /// The gradients of values and of parameters.
    fn gradients(&self, values: Tensor<2>, gradient: Tensor<2>, bounds: Bounds) -> [Tensor<2>; 2] {
        let scaled = self.scaled(values);
        let moved = self.moved(scaled.clone());
        let above = moved.clone().greater_elem(bounds.high);
        let outside = above.bool_or(moved.clone().lower_elem(bounds.low));
        let inside = scaled.mask_fill(outside.clone(), 0.0);
        let error = self.levels(moved, bounds) - inside;
        let of_values = gradient.clone().mask_fill(outside, 0.0);
        let [rows, _] = of_values.dims();
        let sum = |numbers: Tensor<2>| numbers.sum_dim(1).reshape([1, rows]);
        let mut sums = vec![sum(gradient.clone() * error)];
        if self.offset.is_some() {
            sums.push(sum(gradient - of_values.clone()));
        }
        if self.zero.is_some() {
            sums.push(sums[0].zeros_like());
        }
        [of_values, Tensor::cat(sums, 0).mul_scalar(bounds.gradient_scale)]
    }
}

//! What the tests of quantizers share: values in, quantized values and gradients out.

use burn::tensor::{Device, Tensor, TensorData};
use limpq_core::{
    search::BitWidth,
    train::{Grid, Quantizer, Role},
};

/// A quantizer's output and gradients; the gradient of a parameter is `None` when it gets none.
pub(super) struct Worked {
    pub y: Vec<f32>,
    pub values: Vec<f32>,
    pub parameters: Vec<Option<Vec<f32>>>,
}

/// A grid of this many bits.
pub(super) fn grid(bits: u64, signed: bool) -> Grid {
    Grid { bits: BitWidth::new(bits).unwrap(), signed }
}

/// A tensor of so many rows.
pub(super) fn rows(values: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), device)
}

/// A tensor's numbers.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Quantizes values, as many rows as the parameters have numbers (one if there are none), and goes back from `grad_out`.
pub(super) fn work(
    quantizer: &dyn Quantizer,
    role: Role,
    grid: Grid,
    parameters: &[&[f32]],
    values: &[f32],
    grad_out: &[f32],
) -> Worked {
    let channels = parameters.first().map_or(1, |numbers| numbers.len());
    work_rows(quantizer, role, grid, parameters, values, grad_out, channels)
}

fn work_rows(
    quantizer: &dyn Quantizer,
    role: Role,
    grid: Grid,
    parameters: &[&[f32]],
    values: &[f32],
    grad_out: &[f32],
    channels: usize,
) -> Worked {
    let device = Device::flex().autodiff();
    let parameter = |numbers: &&[f32]| Tensor::<1>::from_floats(*numbers, &device).require_grad();
    let parameters: Vec<Tensor<1>> = parameters.iter().map(parameter).collect();
    let values = rows(values, channels, &device).require_grad();
    let y = quantizer.quantize(role, values.clone(), &parameters, grid);
    let grads = (y.clone() * rows(grad_out, channels, &device)).sum().backward();
    Worked {
        y: host(y),
        values: host(values.grad(&grads).unwrap()),
        parameters: parameters.iter().map(|parameter| parameter.grad(&grads).map(host)).collect(),
    }
}

/// What parameters start from, given values of one row.
pub(super) fn start(quantizer: &dyn Quantizer, role: Role, grid: Grid, values: &[f32]) -> Vec<Vec<f32>> {
    quantizer.start(role, rows(values, 1, &Device::flex()), grid).into_iter().map(host).collect()
}

/// Equal to five digits.
pub(super) fn near(found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (f, w) in found.iter().zip(wanted) {
        assert!((f64::from(*f) - w).abs() <= 2e-5 + 2e-5 * w.abs(), "{found:?} is not {wanted:?}");
    }
}

//! Shared by the tests of quantizers: values in, quantized values and gradients out.

use burn::tensor::{Device, Tensor, TensorData};
use limpq_core::{
    search::BitWidth,
    train::{Grid, Quantizer, Role},
};
use serde::Deserialize;

/// A quantizer's output and gradients; the gradient of a parameter is `None` if it has none.
pub(super) struct Worked {
    pub y: Vec<f32>,
    pub values: Vec<f32>,
    pub parameters: Vec<Option<Vec<f32>>>,
}

/// The device of the tests: from the environment variable `LIMPQ_TEST_DEVICE`, or the CPU.
pub(crate) fn device() -> Device {
    let name = std::env::var("LIMPQ_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned());
    let device: limpq_core::device::Device = name.parse().unwrap_or_else(|error| panic!("{error}"));
    device.open().unwrap_or_else(|error| panic!("{error}"))
}

/// A grid of this many bits.
pub(super) fn grid(bits: u64, signed: bool) -> Grid {
    Grid { bits: BitWidth::new(bits).unwrap(), signed }
}

/// A tensor with this many rows.
pub(super) fn rows(values: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), device)
}

/// A tensor's values.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Quantizes values, with as many rows as a parameter has elements (one if there are none), and backpropagates
/// `grad_out`.
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
    let device = device().autodiff();
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

/// Initial parameters for the values of one row.
pub(super) fn init(quantizer: &dyn Quantizer, role: Role, grid: Grid, values: &[f32]) -> Vec<Vec<f32>> {
    quantizer.init(role, rows(values, 1, &device()), grid).into_iter().map(host).collect()
}

/// Checks equality to five digits.
pub(super) fn near(found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (f, w) in found.iter().zip(wanted) {
        assert!((f64::from(*f) - w).abs() <= 2e-5 + 2e-5 * w.abs(), "{found:?} is not {wanted:?}");
    }
}

/// A case of `tests/golden/quantizers.json`.
#[derive(Deserialize)]
pub(super) struct Golden {
    quantizer: String,
    name: String,
    bits: u64,
    signed: bool,
    channels: usize,
    values: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    grad_out: Vec<f32>,
    y: Vec<f64>,
    grad_values: Vec<f64>,
    grad_parameters: Vec<Vec<f64>>,
}

impl Golden {
    /// The cases of one quantizer; fails if there are fewer than `least`.
    pub fn read(quantizer: &str, least: usize) -> Vec<Self> {
        #[derive(Deserialize)]
        struct File {
            cases: Vec<Golden>,
        }
        let file: File = serde_json::from_str(include_str!("../../tests/golden/quantizers.json")).unwrap();
        let cases: Vec<Self> = file.cases.into_iter().filter(|case| case.quantizer == quantizer).collect();
        assert!(cases.len() >= least, "{} cases of {quantizer}", cases.len());
        cases
    }

    /// Compares outputs and all gradients.
    pub fn compare(&self, quantizer: &dyn Quantizer, role: Role) {
        println!("{}", self.name);
        let parameters: Vec<&[f32]> = self.parameters.iter().map(Vec::as_slice).collect();
        let worked = work_rows(
            quantizer,
            role,
            grid(self.bits, self.signed),
            &parameters,
            &self.values,
            &self.grad_out,
            self.channels,
        );
        near(&worked.y, &self.y);
        near(&worked.values, &self.grad_values);
        let learned: Vec<&Vec<f32>> = worked.parameters.iter().flatten().collect();
        assert_eq!(learned.len(), self.grad_parameters.len());
        for (found, wanted) in learned.into_iter().zip(&self.grad_parameters) {
            near(found, wanted);
        }
    }
}

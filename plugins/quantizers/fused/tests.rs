//! Compares the operation with its reference, the composition of burn's operations.

use super::{Bounds, Kernel, fake_quantize, loops};
use crate::quantizers::{
    lsq::Lsq,
    lsq_plus::LsqPlus,
    minmax::MinMax,
    worked::{device, grid},
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use limpq_core::train::{Grid, Quantizer, Role};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Quantizers that use the operation, and their references.
fn pairs() -> Vec<[Box<dyn Quantizer>; 2]> {
    let both = [Kernel::Fused, Kernel::Composed];
    vec![
        both.map(|kernel| Box::new(Lsq { kernel, ..Lsq::default() }) as Box<dyn Quantizer>),
        both.map(|kernel| Box::new(LsqPlus { kernel, ..LsqPlus::default() }) as Box<dyn Quantizer>),
        both.map(|kernel| Box::new(MinMax { kernel, ..MinMax::default() }) as Box<dyn Quantizer>),
    ]
}

/// Input with `rows` rows.
#[derive(Clone)]
struct Case {
    grid: Grid,
    rows: usize,
    values: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    grad_out: Vec<f32>,
    dtype: DType,
}

/// The result of a quantizer for a case.
struct Made {
    output: Vec<f64>,
    values: Vec<f64>,
    parameters: Vec<Option<Vec<f64>>>,
}

impl Case {
    /// Random values around the levels, with initial parameters.
    fn random(random: &mut ChaCha8Rng, quantizer: &dyn Quantizer, grid: Grid, rows: usize, elements: usize) -> Self {
        let mut numbers = |count: usize| (0..count).map(|_| random.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let mut case = Self {
            grid,
            rows,
            values: numbers(rows * elements),
            parameters: vec![],
            grad_out: numbers(rows * elements),
            dtype: DType::F32,
        };
        let narrow: Vec<f32> = case.values.iter().map(|value| 0.7 * value).collect();
        let start = quantizer.init(Role::Act, case.tensor(&narrow, &device()), grid);
        case.parameters = start.into_iter().map(|numbers| numbers.into_data().try_to_vec().unwrap()).collect();
        case
    }

    fn tensor(&self, values: &[f32], device: &Device) -> Tensor<2> {
        let shape = [self.rows, values.len() / self.rows];
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device).cast(self.dtype)
    }

    fn parameters(&self, device: &Device) -> Vec<Tensor<1>> {
        let parameter = |numbers: &Vec<f32>| Tensor::<1>::from_floats(&numbers[..], device).cast(self.dtype);
        self.parameters.iter().map(parameter).collect()
    }

    fn output(&self, quantizer: &dyn Quantizer, device: &Device) -> Tensor<2> {
        let values = self.tensor(&self.values, device);
        quantizer.quantize(Role::Act, values, &self.parameters(device), self.grid)
    }

    fn made(&self, quantizer: &dyn Quantizer) -> Made {
        let device = device().autodiff();
        let values = self.tensor(&self.values, &device).detach().require_grad();
        let parameters = self.parameters(&device).into_iter().map(|numbers| numbers.detach().require_grad());
        let parameters: Vec<Tensor<1>> = parameters.collect();
        let output = quantizer.quantize(Role::Act, values.clone(), &parameters, self.grid);
        let gradients = (output.clone() * self.tensor(&self.grad_out, &device)).sum().backward();
        Made {
            output: host(output),
            values: host(values.grad(&gradients).unwrap()),
            parameters: parameters.iter().map(|numbers| numbers.grad(&gradients).map(host)).collect(),
        }
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.cast(DType::F64).into_data().try_to_vec().unwrap()
}

/// Checks that bits are equal; any two NaNs are equal.
fn same(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (place, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!(f.to_bits() == w.to_bits() || f.is_nan() && w.is_nan(), "{what}, value {place}: {f}, reference {w}");
    }
}

fn near(found: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((found - wanted).abs() <= tolerance, "{what}: {found}, reference {wanted}, tolerance {tolerance}");
}

fn grids() -> impl Iterator<Item = Grid> {
    [(2, true), (3, true), (8, true), (16, true), (2, false), (4, false), (8, false)]
        .map(|(b, s)| grid(b, s))
        .into_iter()
}

/// Rows and elements in each: less than a register, its multiples and not, many rows, several chunks, several threads.
const SHAPES: [(usize, usize); 8] =
    [(1, 1), (1, 31), (1, 64), (5, 33), (300, 9), (1, 20_000), (3, 50_000), (1, 140_001)];

#[test]
fn outputs_are_those_of_the_reference_to_the_last_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(41);
    for [fused, composed] in pairs() {
        for (grid, (rows, elements)) in grids().flat_map(|grid| SHAPES.map(|shape| (grid, shape))) {
            let case = Case::random(&mut random, fused.as_ref(), grid, rows, elements);
            for device in [device(), device().autodiff()] {
                let [found, wanted] =
                    [&fused, &composed].map(|quantizer| host(case.output(quantizer.as_ref(), &device)));
                same(&found, &wanted, &format!("{grid:?}, {rows} rows of {elements}"));
            }
        }
    }
}

#[test]
fn gradients_are_those_of_the_reference_but_for_rounding() {
    let mut random = ChaCha8Rng::seed_from_u64(43);
    for [fused, composed] in pairs() {
        for (grid, (rows, elements)) in grids().flat_map(|grid| SHAPES.map(|shape| (grid, shape))) {
            let what = format!("{grid:?}, {rows} rows of {elements}");
            let case = Case::random(&mut random, fused.as_ref(), grid, rows, elements);
            let [found, wanted] = [&fused, &composed].map(|quantizer| case.made(quantizer.as_ref()));
            same(&found.output, &wanted.output, &what);
            for (f, w) in found.values.iter().zip(&wanted.values) {
                near(*f, *w, 1e-6 * w.abs(), &what);
            }
            for (f, w) in found.parameters.iter().zip(&wanted.parameters) {
                assert_eq!(f.is_some(), w.is_some(), "{what}");
                let (Some(f), Some(w)) = (f, w) else { continue };
                for (row, (f, w)) in f.iter().zip(w).enumerate() {
                    // The reference sums g*q and g*u, each up to the highest level, and subtracts the sums.
                    let size: f32 = case.grad_out[row * elements..][..elements].iter().map(|g| g.abs()).sum();
                    let scale = grid.steps() / (elements as f64 * grid.steps()).sqrt();
                    near(*f, *w, 1e-5 * f64::from(size) * scale.max(1e-2), &what);
                }
            }
        }
    }
}

/// Ties, the ends of the grid and their neighbours, infinities and NaN.
fn edges(step: f32, grid: Grid) -> Vec<f32> {
    let (low, high) = (-grid.qn() as f32, grid.qp() as f32);
    let levels =
        [low - 1.0, low - 0.5, low, low + 0.5, -1.5, -0.5, 0.5, 1.5, 2.5, high - 0.5, high, high + 0.5, high + 1.0];
    let around = levels.iter().map(|level| level * step).flat_map(|value| [value.next_down(), value, value.next_up()]);
    let odd =
        [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45];
    around.chain(odd).collect()
}

#[test]
fn edges_come_out_as_those_of_the_reference() {
    for [fused, composed] in pairs() {
        for grid in grids() {
            for step in [0.25, 0.1, 1e-5, 1.0, 3e7, f32::MIN_POSITIVE, 1e-40, 1e-45, 1e38] {
                let values = edges(step, grid);
                // Step and offset, or the ends of a range; subnormal and huge ones too.
                let parameters = vec![vec![step], vec![3.3 * step]];
                let grad_out = vec![1.0; values.len()];
                let case = Case { grid, rows: 1, values, parameters, grad_out, dtype: DType::F32 };
                for device in [device(), device().autodiff()] {
                    let [found, wanted] =
                        [&fused, &composed].map(|quantizer| host(case.output(quantizer.as_ref(), &device)));
                    same(&found, &wanted, &format!("{grid:?}, step {step}"));
                }
            }
        }
    }
}

#[test]
fn values_at_the_ends_of_the_grid_get_gradients_and_those_behind_do_not() {
    for [fused, composed] in pairs().into_iter().take(1) {
        for grid in grids() {
            let values = edges(0.25, grid);
            let grad_out = vec![1.0; values.len()];
            let case = Case { grid, rows: 1, values, parameters: vec![vec![0.25]], grad_out, dtype: DType::F32 };
            let [found, wanted] = [&fused, &composed].map(|quantizer| case.made(quantizer.as_ref()).values);
            assert_eq!(found, wanted, "{grid:?}");
        }
    }
}

#[test]
fn infinite_values_give_finite_gradients() {
    let values = vec![f32::INFINITY, 0.3, f32::NEG_INFINITY];
    let grid = grid(2, true);
    let case = Case { grid, rows: 1, values, parameters: vec![vec![1.0]], grad_out: vec![1.0; 3], dtype: DType::F32 };
    let made = case.made(&Lsq::default());
    assert_eq!(made.values, [0.0, 1.0, 0.0]);
    // e = 1, -0.3, -2 and G = 1/sqrt(3*1).
    near(made.parameters[0].as_ref().unwrap()[0], -1.3 / 3f64.sqrt(), 1e-6, "the step size");
}

/// Tests the path of backends without a kernel on doubles, for which no backend has one.
#[test]
fn primitives_agree_with_the_reference_too() {
    let mut random = ChaCha8Rng::seed_from_u64(47);
    for [fused, composed] in pairs() {
        for (grid, (rows, elements)) in grids().flat_map(|grid| [(grid, (1, 501)), (grid, (4, 50))]) {
            let what = format!("{grid:?}, {rows} rows of {elements}");
            let mut case = Case::random(&mut random, fused.as_ref(), grid, rows, elements);
            case.dtype = DType::F64;
            case.values[..4].copy_from_slice(&[-0.0, 0.0, 1e9, -1e9]);
            let [found, wanted] = [&fused, &composed].map(|quantizer| case.made(quantizer.as_ref()));
            same(&found.output, &wanted.output, &what);
            for (f, w) in found.values.iter().zip(&wanted.values) {
                near(*f, *w, 1e-12, &what);
            }
            for (f, w) in found.parameters.iter().zip(&wanted.parameters) {
                assert_eq!(f.is_some(), w.is_some(), "{what}");
                for (f, w) in f.iter().flatten().zip(w.iter().flatten()) {
                    near(*f, *w, 1e-6, &what);
                }
            }
        }
    }
}

#[test]
fn sums_do_not_depend_on_the_number_of_threads() {
    let mut random = ChaCha8Rng::seed_from_u64(53);
    let lsq = Lsq::default();
    for (rows, elements) in [(1, 3 * loops::PARALLEL + 77), (7, loops::PARALLEL / 3)] {
        let case = Case::random(&mut random, &lsq, grid(4, true), rows, elements);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.made(&lsq))
        };
        let (one, three) = (with(1), with(3));
        assert_eq!(one.output, three.output);
        assert_eq!(one.values, three.values);
        assert_eq!(one.parameters, three.parameters);
    }
}

#[test]
fn only_what_is_tracked_gets_a_gradient() {
    let (plain, tracking) = (device(), device().autodiff());
    let bounds = Bounds { low: -2.0, high: 1.0, gradient_scale: 0.5 };
    let values = |device: &Device| Tensor::<2>::from_floats([[-3.0, 0.2, 0.6, 4.0]], device);
    let step = |device: &Device| Tensor::<1>::from_floats([1.0], device);
    let weights = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0]], &tracking);

    let tracked = step(&tracking).require_grad();
    for values in [values(&tracking), values(&plain)] {
        let gradients = (fake_quantize(values, [tracked.clone()], bounds) * weights.clone()).sum().backward();
        // e = -2, -0.2, 0.4, 1: -2 - 0.4 + 1.2 + 4, halved.
        near(host(tracked.grad(&gradients).unwrap())[0], 1.4, 1e-6, "the step size");
    }
    let tracked = values(&tracking).require_grad();
    for step in [step(&tracking), step(&plain)] {
        let gradients = (fake_quantize(tracked.clone(), [step], bounds) * weights.clone()).sum().backward();
        assert_eq!(host(tracked.grad(&gradients).unwrap()), [0.0, 2.0, 3.0, 0.0]);
    }
}

#[test]
fn gradients_that_others_read_too_are_left_alone() {
    let device = device().autodiff();
    let bounds = Bounds { low: 0.0, high: 3.0, gradient_scale: 1.0 };
    let values = Tensor::<2>::from_floats([[-3.0, 0.2, 0.6, 9.0]], &device).require_grad();
    let other = Tensor::<2>::zeros([1, 4], &device).require_grad();
    let weights = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0]], &device);
    let step = Tensor::<1>::from_floats([1.0], &device);
    // The sum passes the same gradient to both operands.
    let sum = fake_quantize(values.clone(), [step], bounds) + other.clone();
    let gradients = (sum * weights).sum().backward();
    assert_eq!(host(other.grad(&gradients).unwrap()), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(host(values.grad(&gradients).unwrap()), [0.0, 2.0, 3.0, 0.0]);
}

#[test]
fn views_are_read_in_their_own_order() {
    let device = device().autodiff();
    let bounds = Bounds { low: 0.0, high: 3.0, gradient_scale: 1.0 };
    let values = Tensor::<2>::from_floats([[0.4, 9.0], [1.4, 20.0], [2.4, -7.0]], &device).require_grad();
    let step = Tensor::<1>::from_floats([1.0, 10.0], &device);
    let output = fake_quantize(values.clone().transpose(), [step], bounds);
    assert_eq!(host(output.clone()), [0.0, 1.0, 2.0, 10.0, 20.0, 0.0]);
    let weights = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device);
    let gradients = (output * weights).sum().backward();
    assert_eq!(host(values.grad(&gradients).unwrap()), [1.0, 4.0, 2.0, 5.0, 3.0, 0.0]);
}

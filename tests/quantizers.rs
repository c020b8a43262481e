//! What every registered quantizer owes, whatever it is called.

use crate::{
    contracts::{all, graph_of, images},
    fixtures,
};
use burn::tensor::{Device, Tensor, TensorData};
use limpq_core::{
    graph::Model,
    search::{BitWidth, Precision},
    train::{Grid, Network, NoIndicator, Plan, Quantizer, Role, State},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

fn grid(bits: u64, signed: bool) -> Grid {
    Grid { bits: BitWidth::new(bits).unwrap(), signed }
}

fn rows(values: &[f32], rows: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, values.len() / rows]), device)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Parameters as they start for values of so many rows.
fn started(quantizer: &dyn Quantizer, role: Role, grid: Grid, values: &[f32], channels: usize) -> Vec<Vec<f32>> {
    quantizer.init(role, rows(values, channels, &fixtures::device()), grid).into_iter().map(host).collect()
}

/// A quantizer's output, and the gradients of the sum of outputs times `weights`; `None` for a parameter without one.
struct Quantized {
    output: Vec<f32>,
    gradients: Vec<f32>,
    parameter_gradients: Vec<Option<Vec<f32>>>,
}

fn quantized(
    quantizer: &dyn Quantizer,
    (role, grid): (Role, Grid),
    parameters: &[Vec<f32>],
    values: &[f32],
    weights: &[f32],
    channels: usize,
) -> Quantized {
    let device = fixtures::device().autodiff();
    let parameter = |numbers: &Vec<f32>| Tensor::<1>::from_floats(&numbers[..], &device).require_grad();
    let parameters: Vec<Tensor<1>> = parameters.iter().map(parameter).collect();
    let tracked = rows(values, channels, &device).require_grad();
    let output = quantizer.quantize(role, tracked.clone(), &parameters, grid);
    let gradients = (output.clone() * rows(weights, channels, &device)).sum().backward();
    Quantized {
        output: host(output),
        gradients: host(tracked.grad(&gradients).unwrap()),
        parameter_gradients: parameters.iter().map(|parameter| parameter.grad(&gradients).map(host)).collect(),
    }
}

/// The distinct numbers, sorted.
fn levels(output: &[f32]) -> Vec<f32> {
    let mut levels = output.to_vec();
    levels.sort_by(f32::total_cmp);
    levels.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
    levels
}

/// Whether levels lie whole steps from the lowest, at most `most` of them.
fn lie_on_steps(levels: &[f32], step: f64, most: f64) -> bool {
    levels.iter().all(|level| {
        let steps = (f64::from(*level) - f64::from(levels[0])) / step;
        (steps - steps.round()).abs() < 0.02 && steps.round() <= most
    })
}

/// Weights and activations at some grids; weights are always signed.
fn grids() -> Vec<(Role, Grid)> {
    let signed = [(2, true), (3, true), (8, true)].map(|(bits, signed)| grid(bits, signed));
    let unsigned = [(2, false), (4, false), (6, false)].map(|(bits, signed)| grid(bits, signed));
    let acts = signed.iter().chain(&unsigned).map(|grid| (Role::Act, *grid));
    signed.iter().map(|grid| (Role::Weight, *grid)).chain(acts).collect()
}

fn some_values(random: &mut ChaCha8Rng, grid: Grid, count: usize) -> Vec<f32> {
    let values = (0..count).map(|_| random.random_range(-1.5f32..1.5));
    values.map(|value| if grid.signed { value } else { value.abs() }).collect()
}

#[test]
fn quantizers_round_to_a_grid_of_their_bits_and_pass_gradients() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (name, quantizer) in all::<dyn Quantizer>() {
        for (role, grid) in grids() {
            let case = format!("{name} {role:?} {grid:?}");
            let values = some_values(&mut random, grid, 400);
            let start = started(quantizer.as_ref(), role, grid, &values, 1);
            assert!(start.iter().flatten().all(|p| p.is_finite()), "{case}: parameters start finite");
            let quantize = || quantized(quantizer.as_ref(), (role, grid), &start, &values, &[1.0; 400], 1);
            let (q, again) = (quantize(), quantize());
            assert_eq!(q.output, again.output, "{case}: the same values give the same levels");
            let levels = levels(&q.output);
            assert!(levels.len() as f64 <= grid.steps() + 1.0, "{case}: {} levels", levels.len());
            assert!(levels.len() > 2, "{case}: more than two levels are used");
            // The step is the indicator, or whichever of those that so many bits allow.
            let span = f64::from(levels[levels.len() - 1]) - f64::from(levels[0]);
            let on_steps = match quantizer.indicator(role, &start, grid) {
                Ok(step) => lie_on_steps(&levels, step, grid.steps()),
                Err(_) => (levels.len() - 1..=grid.steps() as usize)
                    .any(|steps| lie_on_steps(&levels, span / steps as f64, grid.steps())),
            };
            assert!(on_steps, "{case}: levels are one step apart: {levels:?}");
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
            let rising = order.windows(2).all(|pair| q.output[pair[0]] <= q.output[pair[1]]);
            assert!(rising, "{case}: a larger value never gets a lower level");
            let inside = q.gradients.iter().filter(|g| **g != 0.0).count();
            assert!(q.gradients.iter().all(|g| g.is_finite()) && inside > 100, "{case}: gradients flow");
        }
    }
}

/// Quantizers that learn nothing: their parameters, if any, get no gradient.
const NOT_LEARNED: [&str; 2] = ["dorefa", "minmax"];

/// At 16 bits the steps are so fine that only the soft parts, clipping and normalising, are left to see.
#[test]
fn gradients_of_the_soft_parts_are_those_of_finite_differences() {
    let mut random = ChaCha8Rng::seed_from_u64(19);
    for (name, quantizer) in all::<dyn Quantizer>() {
        let quantizer = quantizer.as_ref();
        for (role, grid) in [(Role::Weight, grid(16, true)), (Role::Act, grid(16, true)), (Role::Act, grid(16, false))]
        {
            let case = format!("{name} {role:?} {grid:?}");
            // Below zero too where the grid is not: there everything is clipped.
            let values: Vec<f32> = (0..300).map(|_| random.random_range(-1.5..1.5)).collect();
            // Shrunk until a good part of the values is clipped, and so the steps are fine.
            let mut parameters = started(quantizer, role, grid, &values, 1);
            let spans = |parameters: &[Vec<f32>]| {
                let q = quantized(quantizer, (role, grid), parameters, &values, &[1.0; 300], 1);
                let levels = levels(&q.output);
                levels[levels.len() - 1] - levels[0]
            };
            while !parameters.is_empty() && spans(&parameters) > if grid.signed { 2.0 } else { 1.0 } {
                parameters.iter_mut().flatten().for_each(|number| *number *= 0.9);
            }
            let mut scales: Vec<Vec<f64>> = vec![vec![]; parameters.len()];
            for _ in 0..2 {
                // Lighter below zero, so that the ends of the grid do not cancel out.
                let mut weight = |value: f32| random.random_range(0.8..1.2) * if value < 0.0 { 0.3 } else { 1.0 };
                let weights: Vec<f32> = values.iter().map(|value| weight(*value)).collect();
                let loss = |parameters: &[Vec<f32>], values: &[f32]| {
                    let output = quantized(quantizer, (role, grid), parameters, values, &weights, 1).output;
                    output.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum::<f64>()
                };
                let q = quantized(quantizer, (role, grid), &parameters, &values, &weights, 1);
                let (mut smooth, mut clipped) = (0, 0);
                for place in 0..60 {
                    let at = |shift: f32| {
                        let mut moved = values.clone();
                        moved[place] += shift;
                        loss(&parameters, &moved)
                    };
                    const SHIFT: f32 = 0.01;
                    let middle = at(0.0);
                    let (right, left) =
                        ((at(SHIFT) - middle) / f64::from(SHIFT), (middle - at(-SHIFT)) / f64::from(SHIFT));
                    // No derivative where clipping begins.
                    if (right - left).abs() > 0.02 {
                        continue;
                    }
                    smooth += 1;
                    clipped += usize::from(q.gradients[place] == 0.0);
                    let (found, wanted) = (f64::from(q.gradients[place]), (right + left) / 2.0);
                    assert!((found - wanted).abs() < 0.03, "{case}: {found} is not {wanted} at {}", values[place]);
                }
                assert!(smooth >= 50, "{case}: {smooth} of 60 values have a derivative");
                assert!(parameters.is_empty() || clipped > 5, "{case}: {clipped} values are clipped");
                for (place, gradient) in q.parameter_gradients.iter().enumerate() {
                    assert_eq!(gradient.is_none(), NOT_LEARNED.contains(&name), "{case}: parameter {place}");
                    let Some(gradient) = gradient else { continue };
                    // Moved by a part of itself, as a step size is tiny at 16 bits.
                    let number = f64::from(parameters[place][0]);
                    let shift = 0.005 * number.abs();
                    let by = |shift: f64| {
                        let mut moved = parameters.clone();
                        moved[place][0] = (number + shift) as f32;
                        (loss(&moved, &values), f64::from(moved[place][0]))
                    };
                    let ((right, above), (left, below)) = (by(shift), by(-shift));
                    scales[place].push(f64::from(gradient[0]) * (above - below) / (right - left));
                }
            }
            // A quantizer may scale a parameter's gradient, but always alike and never turn it round.
            for scale in scales.iter().filter(|scale| !scale.is_empty()) {
                let [one, other] = scale[..] else { panic!("{case}: {scale:?}") };
                assert!(one > 0.0 && (one / other - 1.0).abs() < 0.05, "{case}: {scale:?}");
            }
        }
    }
}

#[test]
fn rows_are_quantized_each_by_its_own_parameters() {
    let mut random = ChaCha8Rng::seed_from_u64(23);
    for (name, quantizer) in all::<dyn Quantizer>() {
        for (role, grid) in grids() {
            let case = format!("{name} {role:?} {grid:?}");
            // Rows of very different size.
            let mut values = some_values(&mut random, grid, 3 * 50);
            values.iter_mut().enumerate().for_each(|(place, value)| *value *= [0.1, 1.0, 2.0][place / 50]);
            let start = started(quantizer.as_ref(), role, grid, &values, 3);
            assert!(start.iter().all(|numbers| numbers.len() == 3), "{case}: a number for each row");
            let together = quantized(quantizer.as_ref(), (role, grid), &start, &values, &[1.0; 150], 3);
            for (row, values) in values.chunks(50).enumerate() {
                let own = started(quantizer.as_ref(), role, grid, values, 1);
                let of_row: Vec<Vec<f32>> = start.iter().map(|numbers| vec![numbers[row]]).collect();
                // A device may sum up a row and a part of a matrix in another order.
                let alike = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs().max(1e-3);
                let alike = own.iter().flatten().zip(of_row.iter().flatten()).all(alike);
                assert!(alike, "{case}: a row starts as if alone, at {own:?}, not {of_row:?}");
                let alone = quantized(quantizer.as_ref(), (role, grid), &of_row, values, &[1.0; 50], 1);
                assert_eq!(alone.output, together.output[50 * row..][..50], "{case}: row {row}");
                assert_eq!(alone.gradients, together.gradients[50 * row..][..50], "{case}: row {row}");
            }
        }
    }
}

#[test]
fn one_optimizer_step_cannot_throw_a_step_size_to_its_bound() {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    for (name, quantizer) in all::<dyn Quantizer>().into_iter().filter(|(name, _)| !NOT_LEARNED.contains(name)) {
        let tensors = |parameters: &[Vec<f32>]| -> Vec<Tensor<1>> {
            parameters.iter().map(|numbers| Tensor::from_floats(&numbers[..], &fixtures::device())).collect()
        };
        let moved = |before: &[Vec<f32>], after: &[Vec<f32>]| -> Vec<Vec<f32>> {
            quantizer.after_step(&tensors(before), tensors(after)).into_iter().map(host).collect()
        };
        for (role, grid) in grids() {
            let case = format!("{name} {role:?} {grid:?}");
            let start = started(quantizer.as_ref(), role, grid, &some_values(&mut random, grid, 100), 1);
            assert_eq!(moved(&start, &start), start, "{case}: what stays where it was is left alone");
            let Ok(step) = quantizer.indicator(role, &start, grid) else { continue };
            for _ in 0..20 {
                let thrown: Vec<Vec<f32>> = start.iter().map(|_| vec![random.random_range(-3.0..3.0)]).collect();
                let after = quantizer.indicator(role, &moved(&start, &thrown), grid).unwrap();
                assert!(after > 0.499 * step, "{case}: from {step} to {after}");
            }
        }
    }
}

#[test]
fn steps_end_in_the_domain_of_parameters_and_those_inside_stay() {
    let mut random = ChaCha8Rng::seed_from_u64(29);
    for (name, quantizer) in all::<dyn Quantizer>() {
        let quantizer = quantizer.as_ref();
        let moved = |before: &[Vec<f32>], after: &[Vec<f32>]| -> Vec<Vec<f32>> {
            let [before, after] = [before, after].map(|parameters| {
                let tensor = |numbers: &Vec<f32>| Tensor::<1>::from_floats(&numbers[..], &fixtures::device());
                parameters.iter().map(tensor).collect::<Vec<_>>()
            });
            quantizer.after_step(&before, after).into_iter().map(host).collect()
        };
        for (role, grid) in grids() {
            let case = format!("{name} {role:?} {grid:?}");
            let values = some_values(&mut random, grid, 100);
            let start = started(quantizer, role, grid, &values, 1);
            assert_eq!(moved(&start, &start), start, "{case}: what it starts from is in the domain");
            if NOT_LEARNED.contains(&name) {
                continue;
            }
            for _ in 0..20 {
                let thrown: Vec<Vec<f32>> = start.iter().map(|_| vec![random.random_range(-3.0..3.0)]).collect();
                let kept = moved(&start, &thrown);
                let again = moved(&kept, &kept);
                // A width that is taken and added again may be rounded.
                let alike = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
                let alike = kept.iter().flatten().zip(again.iter().flatten()).all(alike);
                assert!(alike, "{case}: {kept:?} is in the domain and becomes {again:?}");
                let q = quantized(quantizer, (role, grid), &kept, &values, &[1.0; 100], 1);
                let finite = q.output.iter().chain(&q.gradients).all(|number| number.is_finite());
                assert!(finite && levels(&q.output).len() as f64 <= grid.steps() + 1.0, "{case}: {kept:?}");
                if let Ok(step) = quantizer.indicator(role, &kept, grid) {
                    assert!(step > 0.0, "{case}: step {step} of {kept:?}");
                }
            }
        }
    }
}

#[test]
fn indicators_fall_with_rising_bits_or_say_what_is_missing() {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    for (name, quantizer) in all::<dyn Quantizer>() {
        for (role, signed) in [(Role::Weight, true), (Role::Act, true), (Role::Act, false)] {
            let values = some_values(&mut random, grid(4, signed), 400);
            let indicator = |bits| {
                let start = started(quantizer.as_ref(), role, grid(bits, signed), &values, 1);
                quantizer.indicator(role, &start, grid(bits, signed))
            };
            let all: Vec<_> = [8, 6, 4, 3, 2].map(indicator).into_iter().collect();
            match &all[0] {
                Ok(_) => {
                    let numbers: Vec<f64> = all.into_iter().map(Result::unwrap).collect();
                    assert!(numbers[0] > 0.0 && numbers.is_sorted(), "{name} {role:?}: {numbers:?}");
                }
                Err(error) => {
                    let missing = NoIndicator { role, quantizer: name, why: error.why };
                    assert!(all.iter().all(|answer| *answer == Err(missing)), "{name} {role:?}: {all:?}");
                }
            }
        }
    }
}

/// Quantizers that give weights a scale of their own: at no bit-width do they keep a pre-trained network. They are held to
/// their own limit, 16 bits, and come near it later, as the batch-norms still expect the old scale.
const OWN_SCALE: [&str; 2] = ["dorefa", "pact"];

#[test]
fn a_network_at_many_bits_is_close_to_full_precision() {
    let model =
        &all::<dyn Model>().into_iter().find(|(name, _)| *name == "resnet20").expect("resnet20 is registered").1;
    let graph = Arc::new(graph_of(model.as_ref(), "1x8x8"));
    let state = State::random(&graph, 3);
    for (name, quantizer) in all::<dyn Quantizer>() {
        let quantizer: Arc<dyn Quantizer> = quantizer.into();
        let device = fixtures::device();
        let images = images(&graph, 4);
        let own_scale = OWN_SCALE.contains(&name);
        let run = |bits: Option<u64>| {
            let bits = bits.map(|bits| Precision::uniform(bits).unwrap());
            let slots = graph.layers().iter().map(|_| bits.into_iter().collect()).collect();
            let plan = Plan::new(graph.clone(), slots, quantizer.clone());
            let network = Network::new(&plan, &state, &device).unwrap().calibrate(images.clone());
            let scores = network.forward(images.clone(), &vec![bits; plan.layers.len()], false);
            scores.into_data().try_to_vec::<f32>().unwrap()
        };
        let limit = run(own_scale.then_some(16));
        let distance = |other: &[f32]| {
            let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
            (squares(&mut limit.iter().zip(other).map(|(a, b)| a - b)) / squares(&mut limit.iter().copied())).sqrt()
        };
        let many = if own_scale { 12 } else { 8 };
        let [close, four, two] = [many, 4, 2].map(|bits| distance(&run(Some(bits))));
        assert!(close < 0.1 && close < four && four < two, "{name}: {close} at {many} bits, {four} at 4, {two} at 2");
    }
}

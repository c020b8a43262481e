//! Evenly spaced levels of small squared error, as an initialisation of learned grids.
//!
//! Alternating minimisation, as Lloyd's algorithm (IEEE Trans. Inf. Theory 28, 1982), but with evenly spaced levels:
//! first the nearest level of each value for the current step and offset, then the least-squares step and offset for
//! these levels. No iteration raises the error. It starts from the range of the values.

use burn::tensor::Tensor;

/// Number of iterations; the error changes little after them.
const TURNS: usize = 20;

/// Step size and offset, both `[channels, 1]`, for values `[channels, elements]`: `steps + 1` levels, the lowest at the
/// offset.
pub(super) fn levels(values: Tensor<2>, steps: f64, min_step: f64) -> [Tensor<2>; 2] {
    let mut offset = values.clone().min_dim(1);
    let mut step = (values.clone().max_dim(1) - offset.clone()).div_scalar(steps).clamp_min(min_step);
    let mean = values.clone().mean_dim(1);
    for _ in 0..TURNS {
        let levels = ((values.clone() - offset) / step.clone()).round().clamp(0.0, steps);
        let mean_level = levels.clone().mean_dim(1);
        let spread = levels - mean_level.clone();
        let variance = (spread.clone() * spread.clone()).mean_dim(1);
        let covariance = (spread * (values.clone() - mean.clone())).mean_dim(1);
        // If all values are on one level any step fits: it is kept.
        let one_level = variance.clone().equal_elem(0.0);
        step = (covariance / variance).mask_where(one_level, step).clamp_min(min_step);
        offset = mean.clone() - mean_level * step.clone();
    }
    [step, offset]
}

#[cfg(test)]
mod tests {
    use super::super::worked::{device, host, near, rows};
    use super::*;

    fn found(values: &[f32], steps: f64) -> (f64, f64) {
        let [step, offset] = levels(rows(values, 1, &device()), steps, 1e-5).map(|numbers| host(numbers)[0]);
        (f64::from(step), f64::from(offset))
    }

    fn squared_error((step, offset): (f64, f64), steps: f64, values: &[f32]) -> f64 {
        let level = |x: f64| ((x - offset) / step).round_ties_even().clamp(0.0, steps) * step + offset;
        values.iter().map(|&x| (level(f64::from(x)) - f64::from(x)).powi(2)).sum()
    }

    #[test]
    fn comes_near_the_least_of_many_and_beats_the_range() {
        // Skewed, with outliers, some below zero.
        let even = (0..300).map(|i| ((f64::from(i) + 0.5) / 150.0 - 1.0) * 1.7);
        let values: Vec<f32> = even.map(|z| if z > 0.0 { z.powi(4) } else { z * 0.3 } as f32).collect();
        let (low, high) = (-0.51, 8.4);
        for steps in [3.0, 7.0, 15.0] {
            let error = squared_error(found(&values, steps), steps, &values);
            let of_range = squared_error(((high - low) / steps, low), steps, &values);
            let tries = (1..=200).flat_map(|s| (-20..=40).map(move |o| (f64::from(s) / 180.0, f64::from(o) * 0.05)));
            let errors = tries.map(|(s, offset)| squared_error((s * high / steps, offset), steps, &values));
            let least = errors.min_by(f64::total_cmp).unwrap();
            println!("{steps} steps: {error}, range {of_range}, least of many {least}");
            assert!(error < of_range && error < 1.3 * least, "{steps} steps: {error}, {of_range}, {least}");
        }
    }

    #[test]
    fn values_on_even_levels_keep_them() {
        let (step, offset) = found(&[-1.0, 2.0, 0.0, 1.0, 0.0], 3.0);
        near(&[step as f32, offset as f32], &[1.0, -1.0]);
    }

    #[test]
    fn equal_values_give_the_smallest_step() {
        let (step, offset) = found(&[0.7; 9], 15.0);
        near(&[step as f32, offset as f32], &[1e-5, 0.7]);
    }
}

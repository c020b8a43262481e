//! The CPU kernels, on slices: each pass reads and writes once. The loops are written so that the compiler vectorises
//! them for the instruction set of the machine; rows are divided into chunks for threads.

use super::Bounds;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Number of values per task. Sums are taken over whole chunks first, so they do not depend on the number of threads.
const CHUNK: usize = 1 << 14;
/// With fewer values than this, other threads would finish before they have begun.
pub(super) const PARALLEL: usize = 1 << 17;
/// Number of independent partial sums, a few registers.
const LANES: usize = 32;

/// The parameters of one row.
#[derive(Clone, Copy)]
struct Row {
    step: f32,
    offset: f32,
    zero: f32,
    low: f32,
    high: f32,
}

impl Row {
    /// All rows of parameters `[1 to 3, rows]`.
    fn all(parameters: &[f32], rows: usize, bounds: Bounds) -> Vec<Self> {
        let number = |place: usize, row: usize| parameters.get(place * rows + row).copied();
        let row = |row: usize| Self {
            step: parameters[row],
            // Adding -0 changes no value; adding 0 would turn -0 into 0.
            offset: number(1, row).unwrap_or(-0.0),
            zero: number(2, row).unwrap_or(0.0),
            low: bounds.low as f32,
            high: bounds.high as f32,
        };
        (0..rows).map(row).collect()
    }

    /// Whether there is neither an offset nor a zero point.
    fn is_plain(&self) -> bool {
        self.offset.to_bits() == (-0.0f32).to_bits() && self.zero == 0.0
    }

    #[inline(always)]
    fn scaled(&self, value: f32) -> f32 {
        (value - self.offset) / self.step
    }

    /// The level, relative to the zero point, of a value that is scaled and shifted by the zero point.
    #[inline(always)]
    fn level(&self, moved: f32) -> f32 {
        // Adding 0 turns a rounded -0 into 0.
        moved.clamp(self.low, self.high).round_ties_even() + 0.0 - self.zero
    }
}

struct Forward<'a> {
    row: Row,
    values: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { row, values, output } = self;
        if row.is_plain() {
            // The same result with fewer operations.
            let row = Row { zero: 0.0, ..row };
            for (output, value) in output.iter_mut().zip(values) {
                *output = row.level(value / row.step) * row.step;
            }
            return;
        }
        for (output, value) in output.iter_mut().zip(values) {
            *output = row.level(row.scaled(*value) + row.zero) * row.step + row.offset;
        }
    }
}

/// Turns gradients of outputs into gradients of values, and sums those of step size and offset.
struct Backward<'a> {
    row: Row,
    values: &'a [f32],
    gradients: &'a mut [f32],
}

impl Backward<'_> {
    /// Up to [`LANES`] values, each with its own partial sums.
    #[inline(always)]
    fn lanes(row: Row, values: &[f32], gradients: &mut [f32], sums: &mut [[f32; LANES]; 2]) {
        let [by_step, by_offset] = sums;
        for (((value, gradient), by_step), by_offset) in values.iter().zip(gradients).zip(by_step).zip(by_offset) {
            let scaled = row.scaled(*value);
            let moved = scaled + row.zero;
            // A NaN counts as inside: its gradient passes. `|` and not `||`, which would be a branch.
            let outside = (moved < row.low) | (moved > row.high);
            let error = row.level(moved) - if outside { 0.0 } else { scaled };
            *by_step += *gradient * error;
            *by_offset += if outside { *gradient } else { 0.0 };
            *gradient = if outside { 0.0 } else { *gradient };
        }
    }
}

impl WithSimd for Backward<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; 2] {
        let (values, last_values) = self.values.as_chunks::<LANES>();
        let (gradients, last_gradients) = self.gradients.as_chunks_mut::<LANES>();
        let mut sums = [[0.0; LANES]; 2];
        for (values, gradients) in values.iter().zip(gradients) {
            Self::lanes(self.row, values, gradients, &mut sums);
        }
        Self::lanes(self.row, last_values, last_gradients, &mut sums);
        sums.map(|lanes| lanes.into_iter().map(f64::from).sum())
    }
}

/// The results of `work` for each chunk of each row, row by row. All rows have equally many chunks.
fn by_chunks<T: Send>(
    rows: &[Row],
    values: &[f32],
    other: &mut [f32],
    work: impl Fn(Row, &[f32], &mut [f32]) -> T + Sync,
) -> Vec<T> {
    let elements = (values.len() / rows.len().max(1)).max(1);
    let by_row = rows.iter().zip(values.chunks(elements).zip(other.chunks_mut(elements)));
    let chunks = by_row.flat_map(|(row, (values, other))| {
        values.chunks(CHUNK).zip(other.chunks_mut(CHUNK)).map(|(values, other)| (*row, values, other))
    });
    if values.len() < PARALLEL {
        return chunks.map(|(row, values, other)| work(row, values, other)).collect();
    }
    let chunks: Vec<_> = chunks.collect();
    chunks.into_par_iter().map(|(row, values, other)| work(row, values, other)).collect()
}

/// Writes the fake-quantized values. `parameters` are `[1 to 3, rows]`, row-major.
pub(super) fn forward(values: &[f32], parameters: &[f32], count: usize, bounds: Bounds, output: &mut [f32]) {
    let rows = Row::all(parameters, parameters.len() / count, bounds);
    by_chunks(&rows, values, output, |row, values, output| {
        Arch::new().dispatch(Forward { row, values, output });
    });
}

/// Turns gradients of outputs into gradients of values, and returns those of the parameters, `[count, rows]`.
pub(super) fn backward(
    values: &[f32],
    parameters: &[f32],
    count: usize,
    bounds: Bounds,
    gradients: &mut [f32],
) -> Vec<f32> {
    let rows = Row::all(parameters, parameters.len() / count, bounds);
    let sums = by_chunks(&rows, values, gradients, |row, values, gradients| {
        Arch::new().dispatch(Backward { row, values, gradients })
    });
    let mut of_parameters = vec![0.0; parameters.len()];
    let chunks = (sums.len() / rows.len().max(1)).max(1);
    for (row, sums) in sums.chunks(chunks).enumerate() {
        // The third, the zero point, is a constant.
        for (place, of_place) in of_parameters.chunks_mut(rows.len()).take(2).enumerate() {
            let sum: f64 = sums.iter().map(|sums| sums[place]).sum();
            of_place[row] = (sum * bounds.gradient_scale) as f32;
        }
    }
    of_parameters
}

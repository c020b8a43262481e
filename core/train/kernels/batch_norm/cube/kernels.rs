//! The kernels of batch-norm. A cube processes a tile: its rows are pixels, its columns vectors of channels.

use crate::train::kernels::cube::over_rows;
use burn_cubecl::cubecl::{self, prelude::*};

/// Number of pixels whose mean is the shift s.
const SOME: usize = 32;

/// A unit's channels.
#[cube]
fn own_channels(#[comptime] columns: usize) -> usize {
    CUBE_POS_X as usize * columns + UNIT_POS_X as usize
}

/// End of a cube's tile.
#[cube]
fn end_of_stretch(pixels: usize, stretch: usize) -> usize {
    let end = (CUBE_POS_Y as usize + 1) * stretch;
    select(end < pixels, end, pixels)
}

/// The mean of pixels at equal distances.
#[cube(launch)]
pub(super) fn mean_of_some<N: Size>(
    input: &[Vector<f32, N>],
    shift: &mut [Vector<f32, N>],
    pixels: usize,
    vectors: usize,
    #[comptime] columns: usize,
) {
    let channel = own_channels(columns);
    if UNIT_POS_Y == 0 && channel < vectors {
        let mut sum = Vector::<f32, N>::new(0.0);
        for place in 0..SOME {
            sum += input[place * pixels / SOME * vectors + channel];
        }
        shift[channel] = sum / Vector::new(SOME as f32);
    }
}

/// Sums of x - s and its square, or of the gradient and its product with x - s.
#[cube(launch)]
pub(super) fn add_up<N: Size>(
    input: &[Vector<f32, N>],
    gradient: &[Vector<f32, N>],
    shift: &[Vector<f32, N>],
    sums: &mut [Vector<f32, N>],
    pixels: usize,
    stretch: usize,
    vectors: usize,
    #[comptime] backward: bool,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) {
    let channel = own_channels(columns);
    let mut first = Vector::<f32, N>::new(0.0);
    let mut second = Vector::<f32, N>::new(0.0);
    if channel < vectors {
        let shift = shift[channel];
        let end = end_of_stretch(pixels, stretch);
        let mut pixel = CUBE_POS_Y as usize * stretch + UNIT_POS_Y as usize;
        while pixel < end {
            let value = input[pixel * vectors + channel] - shift;
            if comptime!(backward) {
                let gradient = gradient[pixel * vectors + channel];
                first += gradient;
                second += gradient * value;
            } else {
                first += value;
                second += value * value;
            }
            pixel += rows;
        }
    }
    let (first, second) = over_rows::<N>(first, second, columns, rows);
    if UNIT_POS_Y == 0 && channel < vectors {
        let place = CUBE_POS_Y as usize * vectors + channel;
        sums[place] = first;
        sums[CUBE_COUNT_Y as usize * vectors + place] = second;
    }
}

/// The two sums of a channel over all tiles, valid in the first row.
#[cube]
fn over_stretches<N: Size>(
    sums: &[Vector<f32, N>],
    stretches: usize,
    vectors: usize,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let channel = own_channels(columns);
    let mut first = Vector::<f32, N>::new(0.0);
    let mut second = Vector::<f32, N>::new(0.0);
    if channel < vectors {
        let mut stretch = UNIT_POS_Y as usize;
        while stretch < stretches {
            first += sums[stretch * vectors + channel];
            second += sums[(stretches + stretch) * vectors + channel];
            stretch += rows;
        }
    }
    over_rows::<N>(first, second, columns, rows)
}

/// Mean and biased variance.
#[cube(launch)]
pub(super) fn statistics<N: Size>(
    sums: &[Vector<f32, N>],
    shift: &[Vector<f32, N>],
    mean: &mut [Vector<f32, N>],
    variance: &mut [Vector<f32, N>],
    stretches: usize,
    vectors: usize,
    count: f32,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) {
    let (sum, squares) = over_stretches::<N>(sums, stretches, vectors, columns, rows);
    let channel = own_channels(columns);
    if UNIT_POS_Y == 0 && channel < vectors {
        let count = Vector::<f32, N>::new(count);
        let apart = sum / count;
        mean[channel] = shift[channel] + apart;
        let varied = (squares - sum * apart) / count;
        // Rounding could make the variance of equal values negative. NaN stays NaN.
        let nothing = Vector::<f32, N>::new(0.0);
        variance[channel] = select_many(varied.less_than(&nothing), nothing, varied);
    }
}

/// Reciprocal of the standard deviation.
#[cube]
fn scale<N: Size>(variance: Vector<f32, N>, epsilon: f32) -> Vector<f32, N> {
    Vector::new(1.0) / (variance + Vector::new(epsilon)).sqrt()
}

#[cube(launch)]
pub(super) fn normalise<N: Size>(
    input: &[Vector<f32, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    gamma: &[Vector<f32, N>],
    beta: &[Vector<f32, N>],
    output: &mut [Vector<f32, N>],
    pixels: usize,
    stretch: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) {
    let channel = own_channels(columns);
    if channel < vectors {
        let (mean, beta) = (mean[channel], beta[channel]);
        let slope = gamma[channel] * scale::<N>(variance[channel], epsilon);
        let end = end_of_stretch(pixels, stretch);
        let mut pixel = CUBE_POS_Y as usize * stretch + UNIT_POS_Y as usize;
        while pixel < end {
            let at = pixel * vectors + channel;
            output[at] = (input[at] - mean) * slope + beta;
            pixel += rows;
        }
    }
}

#[cube(launch)]
pub(super) fn of_parameters<N: Size>(
    sums: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    of_gamma: &mut [Vector<f32, N>],
    of_beta: &mut [Vector<f32, N>],
    stretches: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) {
    let (sum, products) = over_stretches::<N>(sums, stretches, vectors, columns, rows);
    let channel = own_channels(columns);
    if UNIT_POS_Y == 0 && channel < vectors {
        of_beta[channel] = sum;
        of_gamma[channel] = products * scale::<N>(variance[channel], epsilon);
    }
}

/// The gradient of the input, given dgamma in place of its sum.
#[cube(launch)]
pub(super) fn back<N: Size>(
    input: &[Vector<f32, N>],
    gradient: &[Vector<f32, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    gamma: &[Vector<f32, N>],
    of_gamma: &[Vector<f32, N>],
    of_beta: &[Vector<f32, N>],
    of_input: &mut [Vector<f32, N>],
    pixels: usize,
    stretch: usize,
    vectors: usize,
    epsilon: f32,
    count: f32,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) {
    let channel = own_channels(columns);
    if channel < vectors {
        let mean = mean[channel];
        let scale = scale::<N>(variance[channel], epsilon);
        let slope = gamma[channel] * scale;
        let count = Vector::<f32, N>::new(count);
        let level = of_beta[channel] / count;
        let tilt = of_gamma[channel] * scale / count;
        let end = end_of_stretch(pixels, stretch);
        let mut pixel = CUBE_POS_Y as usize * stretch + UNIT_POS_Y as usize;
        while pixel < end {
            let at = pixel * vectors + channel;
            of_input[at] = (gradient[at] - level - (input[at] - mean) * tilt) * slope;
            pixel += rows;
        }
    }
}

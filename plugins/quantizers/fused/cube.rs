//! burn's own kernels on a GPU: the forward pass reads and writes the values once; the backward pass reads two tensors
//! and writes one. In it each cube sums a tile of a row, and a second, small kernel sums the tiles. The order of sums
//! depends only on the device and the shape.

use super::Bounds;
use burn::{
    backend::TensorMetadata,
    tensor::{DType, Shape},
};
use burn_cubecl::{
    cubecl::{self, prelude::*},
    kernel::into_contiguous,
    tensor::CubeTensor,
};
use limpq_core::train::kernels::cube::{empty, over_rows, units, vector_size};

/// Number of vectors per unit in the backward pass, so that the reduction is worth its cost.
const TURNS: usize = 16;

/// The output.
pub(super) fn quantized([values, parameters]: [CubeTensor; 2], bounds: Bounds) -> CubeTensor {
    let (values, parameters) = (into_contiguous(values), into_contiguous(parameters));
    let output = empty(&values, values.shape());
    let plan = Plan::new(&values, &parameters, 1);
    forward::launch(
        &output.client,
        plan.cubes,
        plan.units,
        plan.vector,
        values.into_buffer_arg(),
        parameters.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        plan.length,
        bounds.low as f32,
        bounds.high as f32,
        plan.count,
    );
    output
}

/// The gradients of values and parameters.
pub(super) fn gradients(
    [values, parameters]: [CubeTensor; 2],
    gradient: CubeTensor,
    bounds: Bounds,
) -> [CubeTensor; 2] {
    let (values, parameters, gradient) =
        (into_contiguous(values), into_contiguous(parameters), into_contiguous(gradient));
    let (of_values, of_parameters) = (empty(&values, values.shape()), empty(&parameters, parameters.shape()));
    let plan = Plan::new(&values, &parameters, TURNS);
    let sums = empty(&values, Shape::new([2, plan.rows, plan.stretches]));
    let client = values.client.clone();
    backward::launch(
        &client,
        plan.cubes,
        plan.units,
        plan.vector,
        values.into_buffer_arg(),
        parameters.into_buffer_arg(),
        gradient.into_buffer_arg(),
        of_values.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        plan.length,
        bounds.low as f32,
        bounds.high as f32,
        plan.count,
        plan.units.num_elems() as usize,
    );
    add_up::launch(
        &client,
        CubeCount::Static(plan.rows as u32, 1, 1),
        plan.units,
        1,
        sums.into_buffer_arg(),
        of_parameters.clone().into_buffer_arg(),
        plan.stretches,
        bounds.gradient_scale as f32,
        plan.count,
        plan.units.num_elems() as usize,
    );
    [of_values, of_parameters]
}

/// Whether the kernels support these values; each row has its own cubes.
pub(super) fn has_kernel(values: &CubeTensor) -> bool {
    let [rows, elements] = values.shape().dims();
    let most_rows = values.client.properties().hardware.max_cube_count.1 as usize;
    values.dtype() == DType::F32 && rows * elements > 0 && rows <= most_rows
}

/// How the values `[rows, elements]` are divided among units.
struct Plan {
    /// Rows of parameters: step size, offset, zero point.
    count: usize,
    rows: usize,
    /// Number of values that a unit processes at once; all of one row.
    vector: usize,
    /// Vectors in a row.
    length: usize,
    /// Number of cubes per row.
    stretches: usize,
    cubes: CubeCount,
    units: CubeDim,
}

impl Plan {
    fn new(values: &CubeTensor, parameters: &CubeTensor, turns: usize) -> Self {
        let [rows, elements] = values.shape().dims();
        let [count, _] = parameters.shape().dims();
        let (vector, units) = (vector_size(values, elements), units(&values.client));
        let length = elements / vector;
        let stretches = length.div_ceil(turns * units as usize);
        let cubes = CubeCount::Static(stretches as u32, rows as u32, 1);
        Self { count, rows, vector, length, stretches, cubes, units: CubeDim::new_2d(1, units) }
    }
}

/// A row's parameter, broadcast to a vector; 0 if the quantizer does not have it.
#[cube]
fn parameter<N: Size>(parameters: &[f32], #[comptime] place: usize, #[comptime] count: usize) -> Vector<f32, N> {
    if comptime![place < count] {
        Vector::new(parameters[place * CUBE_COUNT_Y as usize + CUBE_POS_Y as usize])
    } else {
        Vector::new(0.0)
    }
}

/// The level q - z of values that are scaled and shifted by the zero point.
#[cube]
fn level<N: Size>(moved: Vector<f32, N>, zero: Vector<f32, N>, low: f32, high: f32) -> Vector<f32, N> {
    let rounded = clamp_nan(moved, Vector::new(low), Vector::new(high)).round();
    // Turns a rounded -0 into 0. Adding 0 would, too, but the compiler removes such a sum.
    let nothing = Vector::<f32, N>::new(0.0);
    select_many(rounded.equal(&nothing), nothing, rounded) - zero
}

#[cube(launch)]
fn forward<N: Size>(
    values: &[Vector<f32, N>],
    parameters: &[f32],
    output: &mut [Vector<f32, N>],
    length: usize,
    low: f32,
    high: f32,
    #[comptime] count: usize,
) {
    let place = (CUBE_POS_X * CUBE_DIM_Y + UNIT_POS_Y) as usize;
    if place < length {
        let at = CUBE_POS_Y as usize * length + place;
        let step = parameter::<N>(parameters, 0usize, count);
        let offset = parameter::<N>(parameters, 1usize, count);
        let zero = parameter::<N>(parameters, 2usize, count);
        let moved = (values[at] - offset) / step + zero;
        // Rounded once as a product and once as a sum: `*` and `+` would be fused into one operation with one rounding.
        output[at] = fma(level::<N>(moved, zero, low, high), step, Vector::new(0.0)) + offset;
    }
}

#[cube(launch)]
fn backward<N: Size>(
    values: &[Vector<f32, N>],
    parameters: &[f32],
    gradients: &[Vector<f32, N>],
    of_values: &mut [Vector<f32, N>],
    sums: &mut [f32],
    length: usize,
    low: f32,
    high: f32,
    #[comptime] count: usize,
    #[comptime] units: usize,
) {
    let step = parameter::<N>(parameters, 0usize, count);
    let offset = parameter::<N>(parameters, 1usize, count);
    let zero = parameter::<N>(parameters, 2usize, count);
    let nothing = Vector::<f32, N>::new(0.0);
    let mut by_step = Vector::<f32, N>::new(0.0);
    let mut by_offset = Vector::<f32, N>::new(0.0);
    for turn in 0..TURNS {
        // Neighbouring units read neighbouring vectors.
        let place = (CUBE_POS_X as usize * TURNS + turn) * units + UNIT_POS_Y as usize;
        if place < length {
            let at = CUBE_POS_Y as usize * length + place;
            let gradient = gradients[at];
            let scaled = (values[at] - offset) / step;
            let moved = scaled + zero;
            // A NaN counts as inside: its gradient passes.
            let outside = moved.less_than(&Vector::new(low)).or(moved.greater_than(&Vector::new(high)));
            let error = level::<N>(moved, zero, low, high) - select_many(outside, nothing, scaled);
            by_step += gradient * error;
            by_offset += select_many(outside, gradient, nothing);
            of_values[at] = select_many(outside, nothing, gradient);
        }
    }
    let (by_step, by_offset) = over_rows::<N>(by_step, by_offset, 1usize, units);
    if UNIT_POS_Y == 0 {
        let stretch = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
        sums[stretch] = by_step.vector_sum();
        sums[(CUBE_COUNT_Y * CUBE_COUNT_X) as usize + stretch] = by_offset.vector_sum();
    }
}

/// Sums the tiles of a row; the zero point, the third parameter, is a constant. N is 1.
#[cube(launch)]
fn add_up<N: Size>(
    sums: &[Vector<f32, N>],
    of_parameters: &mut [Vector<f32, N>],
    stretches: usize,
    scale: f32,
    #[comptime] count: usize,
    #[comptime] units: usize,
) {
    let (row, rows) = (CUBE_POS_X as usize, CUBE_COUNT_X as usize);
    let mut by_step = Vector::<f32, N>::new(0.0);
    let mut by_offset = Vector::<f32, N>::new(0.0);
    let mut stretch = UNIT_POS_Y as usize;
    while stretch < stretches {
        by_step += sums[row * stretches + stretch];
        by_offset += sums[(rows + row) * stretches + stretch];
        stretch += units;
    }
    let (by_step, by_offset) = over_rows::<N>(by_step, by_offset, 1usize, units);
    if UNIT_POS_Y == 0 {
        of_parameters[row] = by_step * Vector::new(scale);
        if comptime![count > 1] {
            of_parameters[rows + row] = by_offset * Vector::new(scale);
        }
        if comptime![count > 2] {
            of_parameters[2 * rows + row] = Vector::new(0.0);
        }
    }
}

//! burn's own kernels on a GPU: forward one read and one write of the values; backward two reads and one write, in which each
//! cube sums up its stretch of a row, and a second, small kernel the stretches. Sums are taken in an order that only the device
//! and the shape decide.

use super::{Bounds, FakeQuantize, Gradients, primitives};
use burn::{
    backend::{TensorMetadata, tensor::FloatTensor},
    tensor::{DType, Shape},
};
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    kernel::into_contiguous,
    ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};

/// Units of a cube at most; a power of two.
const MOST_UNITS: u32 = 256;
/// Vectors that each unit goes over in the backward pass, so that a sum is worth its cost.
const TURNS: usize = 16;

impl FakeQuantize for CubeBackend {
    fn fake_quantize(values: FloatTensor<Self>, parameters: FloatTensor<Self>, bounds: Bounds) -> FloatTensor<Self> {
        if values.dtype() != DType::F32 || values.shape().num_elements() == 0 {
            return primitives::forward::<Self>(values, parameters, bounds);
        }
        let (values, parameters) = (into_contiguous(values), into_contiguous(parameters));
        let output = like(&values, values.shape());
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
}

impl Gradients for CubeBackend {
    fn gradients(
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        bounds: Bounds,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if values.dtype() != DType::F32 || values.shape().num_elements() == 0 {
            return primitives::backward::<Self>(values, parameters, gradient, bounds);
        }
        let (values, parameters, gradient) =
            (into_contiguous(values), into_contiguous(parameters), into_contiguous(gradient));
        let (of_values, of_parameters) = (like(&values, values.shape()), like(&parameters, parameters.shape()));
        let plan = Plan::new(&values, &parameters, TURNS);
        let sums = like(&values, Shape::new([2, plan.rows, plan.stretches]));
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
            CubeCount::Static(plan.rows as u32, plan.count as u32, 1),
            plan.units,
            sums.into_buffer_arg(),
            of_parameters.clone().into_buffer_arg(),
            plan.stretches,
            bounds.gradient_scale as f32,
            plan.units.num_elems() as usize,
        );
        (of_values, of_parameters)
    }
}

/// A new tensor next to another, not filled.
fn like(tensor: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape, tensor.dtype)
}

/// How the values `[rows, elements]` are shared out.
struct Plan {
    /// Rows of parameters: step size, offset, zero point.
    count: usize,
    rows: usize,
    /// Values that a unit takes at once; all of one row.
    vector: usize,
    /// Vectors in a row.
    length: usize,
    /// Cubes for each row.
    stretches: usize,
    cubes: CubeCount,
    units: CubeDim,
}

impl Plan {
    fn new(values: &CubeTensor, parameters: &CubeTensor, turns: usize) -> Self {
        let [rows, elements] = values.shape().dims();
        let [count, _] = parameters.shape().dims();
        let sizes = values.client.io_optimized_vector_sizes(values.dtype.size());
        let vector = sizes.filter(|size| elements.is_multiple_of(*size)).max().unwrap_or(1);
        // A processor's cores are few; sums halve the units again and again.
        let most = values.client.properties().hardware.max_units_per_cube.clamp(1, MOST_UNITS);
        let units = 1 << most.ilog2();
        let length = elements / vector;
        let stretches = length.div_ceil(turns * units as usize);
        let cubes = CubeCount::Static(stretches as u32, rows as u32, 1);
        Self { count, rows, vector, length, stretches, cubes, units: CubeDim::new_1d(units) }
    }
}

/// A row's parameter for all values of a vector, 0 if the quantizer has none.
#[cube]
fn parameter<N: Size>(parameters: &[f32], #[comptime] place: usize, #[comptime] count: usize) -> Vector<f32, N> {
    if comptime![place < count] {
        Vector::new(parameters[place * CUBE_COUNT_Y as usize + CUBE_POS_Y as usize])
    } else {
        Vector::new(0.0)
    }
}

/// The level q - z of values that were scaled and moved.
#[cube]
fn level<N: Size>(moved: Vector<f32, N>, zero: Vector<f32, N>, low: f32, high: f32) -> Vector<f32, N> {
    let rounded = clamp_nan(moved, Vector::new(low), Vector::new(high)).round();
    // Makes a -0 of the rounding a 0. Adding a 0 would, too, but the compiler takes such a sum away.
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
    let place = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    if place < length {
        let at = CUBE_POS_Y as usize * length + place;
        let step = parameter::<N>(parameters, 0usize, count);
        let offset = parameter::<N>(parameters, 1usize, count);
        let zero = parameter::<N>(parameters, 2usize, count);
        let moved = (values[at] - offset) / step + zero;
        // Rounded once as a product and once as a sum: `*` and `+` would be made one operation with one rounding.
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
        // Units side by side read side by side.
        let place = (CUBE_POS_X as usize * TURNS + turn) * units + UNIT_POS_X as usize;
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
    let mut shared = Shared::new_slice(2 * units);
    shared[UNIT_POS_X as usize] = by_step.vector_sum();
    shared[units + UNIT_POS_X as usize] = by_offset.vector_sum();
    sync_cube();
    let half = RuntimeCell::<usize>::new(units / 2);
    while half.read() > 0 {
        let unit = UNIT_POS_X as usize;
        if unit < half.read() {
            let other = unit + half.read();
            shared[unit] += shared[other];
            shared[units + unit] += shared[units + other];
        }
        sync_cube();
        half.store(half.read() / 2);
    }
    if UNIT_POS_X == 0 {
        let stretch = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
        sums[stretch] = shared[0];
        sums[(CUBE_COUNT_Y * CUBE_COUNT_X) as usize + stretch] = shared[units];
    }
}

/// Adds up the stretches of a row; the zero point, which comes third, is a constant.
#[cube(launch)]
fn add_up(sums: &[f32], of_parameters: &mut [f32], stretches: usize, scale: f32, #[comptime] units: usize) {
    let row = (CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) as usize;
    let unit = UNIT_POS_X as usize;
    let mut shared = Shared::new_slice(units);
    let mut sum = 0.0f32;
    if CUBE_POS_Y < 2 {
        let mut place = unit;
        while place < stretches {
            sum += sums[row * stretches + place];
            place += units;
        }
    }
    shared[unit] = sum;
    sync_cube();
    let half = RuntimeCell::<usize>::new(units / 2);
    while half.read() > 0 {
        if unit < half.read() {
            shared[unit] += shared[unit + half.read()];
        }
        sync_cube();
        half.store(half.read() / 2);
    }
    if unit == 0 {
        of_parameters[row] = shared[0] * scale;
    }
}

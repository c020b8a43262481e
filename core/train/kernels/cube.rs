//! Shared by kernels for burn's GPUs.

#![expect(missing_docs, reason = "of a function the macro `cube` makes a module and a struct without documentation")]

use burn::tensor::Shape;
use burn_cubecl::{
    cubecl::{self, client::Client, prelude::*},
    ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};

/// Units of a cube: a power of two, since reductions halve them. A CPU has as many as it has cores.
pub fn units(client: &Client) -> u32 {
    const MOST: u32 = 256;
    1 << client.properties().hardware.max_units_per_cube.clamp(1, MOST).ilog2()
}

/// Number of values that a unit processes at once, if rows are that long.
pub fn vector_size(tensor: &CubeTensor, row: usize) -> usize {
    let sizes = tensor.client.io_optimized_vector_sizes(tensor.dtype.size());
    sizes.filter(|size| row.is_multiple_of(*size)).max().unwrap_or(1)
}

/// A new, uninitialised tensor on the device of another.
pub fn empty(beside: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(beside.client.clone(), beside.device.clone(), shape, beside.dtype)
}

/// Column sums over all rows of units, valid in the first row; two values at once.
#[cube]
pub fn over_rows<N: Size>(
    first: Vector<f32, N>,
    second: Vector<f32, N>,
    #[comptime] columns: usize,
    #[comptime] rows: usize,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let units = comptime!(columns * rows);
    let unit = UNIT_POS_Y as usize * columns + UNIT_POS_X as usize;
    let mut shared = Shared::<[Vector<f32, N>]>::new_slice(2 * units);
    shared[unit] = first;
    shared[units + unit] = second;
    sync_cube();
    let half = RuntimeCell::<usize>::new(rows / 2);
    while half.read() > 0 {
        if (UNIT_POS_Y as usize) < half.read() {
            let other = unit + half.read() * columns;
            let (first, second) = (shared[other], shared[units + other]);
            shared[unit] += first;
            shared[units + unit] += second;
        }
        sync_cube();
        half.store(half.read() / 2);
    }
    (shared[unit], shared[units + unit])
}

//! burn's own kernels on a GPU. Activations are in NHWC (channels last) layout, so neighbouring units process
//! neighbouring channels. The forward pass reads the input once for both statistics and once to normalise it; the
//! backward pass does the same with input and gradient. Sums are first over tiles of pixels, then over the tiles.
//!
//! ```text
//! m = s + sum(x - s)/n,   v = (sum((x - s)^2) - sum(x - s)^2/n)/n,   s the mean of some pixels at equal distances
//! ```
//!
//! The subtraction in v loses digits if (s - m)^2 is large compared to v, so s must be close to the mean. A single
//! value would not do: that of a corner, where a convolution has seen padding, may be far from it.

mod kernels;

use super::{
    super::cube::{empty, units, vector_size},
    Outputs, outputs,
};
use burn::{
    backend::{Cube, TensorMetadata},
    tensor::{DType, Shape},
};
use burn_cubecl::{cubecl::prelude::*, kernel::into_contiguous, ops::permute, tensor::CubeTensor};
use kernels::{add_up, back, mean_of_some, normalise, of_parameters, statistics};

/// Most units side by side, each with a vector of channels.
const MOST_COLUMNS: usize = 32;
/// Number of tiles that the pixels are divided into, unless they would be smaller than [`SHORTEST`].
const STRETCHES: usize = 256;
/// Smallest useful number of pixels in a tile.
const SHORTEST: usize = 64;

pub(super) fn evaluated([input, parameters @ ..]: [CubeTensor; 5], epsilon: f64) -> CubeTensor {
    let input = channels_last(input);
    channels_second(Plan::new(&input).normalised(&input, parameters.map(into_contiguous), epsilon))
}

pub(super) fn forward([input, gamma, beta]: [CubeTensor; 3], epsilon: f64) -> Outputs<Cube> {
    let (input, gamma, beta) = (channels_last(input), into_contiguous(gamma), into_contiguous(beta));
    let plan = Plan::new(&input);
    let (shift, mean, variance) = (like(&gamma), like(&gamma), like(&gamma));
    mean_of_some::launch(
        &input.client,
        plan.of_channels(),
        plan.units,
        plan.vector,
        input.clone().into_buffer_arg(),
        shift.clone().into_buffer_arg(),
        plan.pixels,
        plan.vectors,
        plan.columns(),
    );
    let sums = plan.sums(&input, None, &shift);
    statistics::launch(
        &input.client,
        plan.of_channels(),
        plan.units,
        plan.vector,
        sums.into_buffer_arg(),
        shift.into_buffer_arg(),
        mean.clone().into_buffer_arg(),
        variance.clone().into_buffer_arg(),
        plan.stretches,
        plan.vectors,
        plan.pixels as f32,
        plan.columns(),
        plan.rows(),
    );
    let parameters = [gamma.clone(), beta, mean.clone(), variance.clone()];
    let output = plan.normalised(&input, parameters, epsilon);
    outputs(channels_second(output), [channels_second(input), gamma, mean, variance])
}

/// The gradients of input, gamma and beta.
pub(super) fn backward(
    [input, gamma, mean, variance]: [CubeTensor; 4],
    gradient: CubeTensor,
    epsilon: f64,
) -> [CubeTensor; 3] {
    let (input, gradient) = (channels_last(input), channels_last(gradient));
    let plan = Plan::new(&input);
    let sums = plan.sums(&input, Some(&gradient), &mean);
    let (of_gamma, of_beta) = (like(&gamma), like(&gamma));
    of_parameters::launch(
        &input.client,
        plan.of_channels(),
        plan.units,
        plan.vector,
        sums.into_buffer_arg(),
        variance.clone().into_buffer_arg(),
        of_gamma.clone().into_buffer_arg(),
        of_beta.clone().into_buffer_arg(),
        plan.stretches,
        plan.vectors,
        epsilon as f32,
        plan.columns(),
        plan.rows(),
    );
    let of_input = like(&input);
    back::launch(
        &input.client,
        plan.of_all(),
        plan.units,
        plan.vector,
        input.clone().into_buffer_arg(),
        gradient.into_buffer_arg(),
        mean.into_buffer_arg(),
        variance.into_buffer_arg(),
        gamma.into_buffer_arg(),
        of_gamma.clone().into_buffer_arg(),
        of_beta.clone().into_buffer_arg(),
        of_input.clone().into_buffer_arg(),
        plan.pixels,
        plan.stretch,
        plan.vectors,
        epsilon as f32,
        plan.pixels as f32,
        plan.columns(),
        plan.rows(),
    );
    [channels_second(of_input), of_gamma, of_beta]
}

/// Other data types and empty tensors have none.
pub(super) fn has_kernel(input: &CubeTensor) -> bool {
    input.dtype() == DType::F32 && input.shape().num_elements() > 0
}

/// `[batch, channels, height, width]` as contiguous `[batch, height, width, channels]`; copies only if necessary.
fn channels_last(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(permute(tensor, &[0, 2, 3, 1]))
}

/// The inverse, which copies nothing.
fn channels_second(tensor: CubeTensor) -> CubeTensor {
    permute(tensor, &[0, 3, 1, 2])
}

/// An uninitialised tensor of the same shape.
fn like(tensor: &CubeTensor) -> CubeTensor {
    empty(tensor, tensor.shape())
}

/// How pixels and channels are divided among units.
struct Plan {
    pixels: usize,
    /// Number of channels that a unit processes at once.
    vector: usize,
    /// Vectors in a pixel.
    vectors: usize,
    /// Number of pixels in a cube's tile.
    stretch: usize,
    stretches: usize,
    /// Columns of vectors, rows of pixels.
    units: CubeDim,
}

impl Plan {
    fn new(input: &CubeTensor) -> Self {
        let [batch, height, width, channels] = input.shape().dims();
        let pixels = batch * height * width;
        let (vector, units) = (vector_size(input, channels), units(&input.client));
        let vectors = channels / vector;
        let columns = units.min(vectors.next_power_of_two().min(MOST_COLUMNS) as u32);
        let stretch = pixels.div_ceil(STRETCHES).max(SHORTEST);
        let units = CubeDim::new_2d(columns, units / columns);
        Self { pixels, vector, vectors, stretch, stretches: pixels.div_ceil(stretch), units }
    }

    fn columns(&self) -> usize {
        self.units.x as usize
    }

    fn rows(&self) -> usize {
        self.units.y as usize
    }

    fn of_channels(&self) -> CubeCount {
        CubeCount::Static(self.vectors.div_ceil(self.columns()) as u32, 1, 1)
    }

    fn of_all(&self) -> CubeCount {
        CubeCount::Static(self.vectors.div_ceil(self.columns()) as u32, self.stretches as u32, 1)
    }

    /// Normalises the input, whose channels are last. The parameters are contiguous; the statistics come last.
    fn normalised(
        &self,
        input: &CubeTensor,
        [gamma, beta, mean, variance]: [CubeTensor; 4],
        epsilon: f64,
    ) -> CubeTensor {
        let output = like(input);
        normalise::launch(
            &input.client,
            self.of_all(),
            self.units,
            self.vector,
            input.clone().into_buffer_arg(),
            mean.into_buffer_arg(),
            variance.into_buffer_arg(),
            gamma.into_buffer_arg(),
            beta.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            self.pixels,
            self.stretch,
            self.vectors,
            epsilon as f32,
            self.columns(),
            self.rows(),
        );
        output
    }

    /// Per tile and channel the two sums of [`add_up`], `[2, tiles, channels]`.
    fn sums(&self, input: &CubeTensor, gradient: Option<&CubeTensor>, shift: &CubeTensor) -> CubeTensor {
        let sums = empty(input, Shape::new([2, self.stretches, self.vectors * self.vector]));
        add_up::launch(
            &input.client,
            self.of_all(),
            self.units,
            self.vector,
            input.clone().into_buffer_arg(),
            gradient.unwrap_or(input).clone().into_buffer_arg(),
            shift.clone().into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            self.pixels,
            self.stretch,
            self.vectors,
            gradient.is_some(),
            self.columns(),
            self.rows(),
        );
        sums
    }
}

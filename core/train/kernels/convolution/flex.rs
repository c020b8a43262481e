//! Convolution on the CPU by im2col and matrix products, for a few images at a time. With the columns `[in * height *
//! width, pixels]` that im2col makes of them:
//!
//! ```text
//! output   = kernel columns               [out, pixels]
//! dkernel  = sum(g columns^T)             [out, in * height * width]
//! dcolumns = kernel^T g, and dinput = col2im(dcolumns)
//! ```
//!
//! Images are in NCHW layout, so that a row of the kernel over a row of an image is a copy of consecutive values. How a
//! batch is divided depends on its shape only, so the number of threads does not change results.

use super::{Gradients, Window, backward_of_burn, forward_of_burn};
use burn::{
    backend::{Flex, TensorMetadata, flex::FlexTensor, ops::FloatTensorOps},
    tensor::{DType, TensorData},
};
use rayon::prelude::*;

pub(super) fn forward(images: FlexTensor, kernel: FlexTensor, window: Window) -> FlexTensor {
    if is_left_to_burn(&images, window) {
        return forward_of_burn::<Flex>(images, kernel, window);
    }
    let images = images.to_contiguous();
    let geometry = Geometry::new(&images, kernel.shape().dims(), window);
    let kernel = kernel.to_contiguous().reshape([geometry.outputs, geometry.patch()].into());
    let mut output = vec![0.0; geometry.batch * geometry.outputs * geometry.pixels()];
    let blocks = images.storage().par_chunks(geometry.block() * geometry.image());
    let size = geometry.block() * geometry.outputs * geometry.pixels();
    blocks.zip(output.par_chunks_mut(size)).for_each(|(images, output)| {
        let product = Flex::float_matmul(kernel.clone(), geometry.patches(images));
        apart(product.storage(), output, geometry.outputs, geometry.pixels());
    });
    let shape = [geometry.batch, geometry.outputs, geometry.rows, geometry.columns];
    FlexTensor::from_data(TensorData::new(output, shape))
}

pub(super) fn backward(
    [images, kernel]: [FlexTensor; 2],
    gradient: FlexTensor,
    [of_images, of_kernel]: [bool; 2],
    window: Window,
) -> Gradients<Flex> {
    if is_left_to_burn(&images, window) {
        return backward_of_burn::<Flex>([images, kernel], gradient, [of_images, of_kernel], window);
    }
    let (images, gradient) = (images.to_contiguous(), gradient.to_contiguous());
    let geometry = Geometry::new(&images, kernel.shape().dims(), window);
    [
        of_images.then(|| geometry.slopes_of_images(kernel, &gradient)),
        of_kernel.then(|| geometry.slopes_of_kernel(&images, &gradient)),
    ]
}

/// Grouped convolutions are many small products, for which burn has loops; other data types have no kernel here.
fn is_left_to_burn(images: &FlexTensor, window: Window) -> bool {
    window.groups > 1 || images.dtype() != DType::F32 || images.shape().num_elements() == 0
}

/// Smallest number of output pixels in a matrix product: images are combined until there are as many.
const PIXELS: usize = 1024;
/// A batch is divided into at least this many parts, for threads.
const PARTS: usize = 8;

/// Shapes of a convolution with one group, and its window.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel_height: usize,
    kernel_width: usize,
    /// Height of the output.
    rows: usize,
    columns: usize,
    window: Window,
}

impl Geometry {
    fn new(images: &FlexTensor, kernel: [usize; 4], window: Window) -> Self {
        let [batch, channels, height, width] = images.shape().dims();
        let [outputs, _, kernel_height, kernel_width] = kernel;
        let [rows, columns] = window.output([height, width], [kernel_height, kernel_width]);
        Self { batch, channels, height, width, outputs, kernel_height, kernel_width, rows, columns, window }
    }

    /// Number of values in an image.
    fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Number of output pixels of an image.
    fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// Number of values that the kernel covers: rows of the im2col matrix.
    fn patch(&self) -> usize {
        self.channels * self.kernel_height * self.kernel_width
    }

    /// Number of images in a block, those of one matrix product.
    fn block(&self) -> usize {
        PIXELS.div_ceil(self.pixels()).min(self.batch.div_ceil(PARTS)).max(1)
    }

    /// Whether the kernel covers a single pixel: then im2col is the identity.
    fn is_pointwise(&self) -> bool {
        let Window { stride: [down, right], padding, .. } = self.window;
        self.kernel_height * self.kernel_width * down * right == 1 && padding == [0; 4]
    }

    /// im2col of a block of images: `[in * height * width, images * pixels]`.
    fn patches(&self, images: &[f32]) -> FlexTensor {
        if self.is_pointwise() {
            return side_by_side(images, self.channels, self.pixels());
        }
        let count = images.len() / self.image();
        let mut patches = vec![0.0; self.patch() * count * self.pixels()];
        for (place, image) in images.chunks(self.image()).enumerate() {
            self.each_run(place, count, |patch, pixel, length| {
                let line = &mut patches[patch..patch + length];
                match self.window.stride[1] {
                    1 => line.copy_from_slice(&image[pixel..pixel + length]),
                    stride => {
                        line.iter_mut().zip(image[pixel..].iter().step_by(stride)).for_each(|(to, from)| *to = *from)
                    }
                }
            });
        }
        matrix(patches, self.patch())
    }

    /// col2im: adds the columns of a block of images to the pixels that they come from.
    fn put_back(&self, patches: &[f32], images: &mut [f32]) {
        if self.is_pointwise() {
            return apart(patches, images, self.channels, self.pixels());
        }
        let count = images.len() / self.image();
        for (place, image) in images.chunks_mut(self.image()).enumerate() {
            self.each_run(place, count, |patch, pixel, length| {
                let line = &patches[patch..patch + length];
                match self.window.stride[1] {
                    1 => image[pixel..pixel + length].iter_mut().zip(line).for_each(|(to, from)| *to += *from),
                    stride => image[pixel..].iter_mut().step_by(stride).zip(line).for_each(|(to, from)| *to += *from),
                }
            });
        }
    }

    /// The runs of values that one output row takes from the image for one element of the kernel, in a block of
    /// `images`: the offset in the im2col matrix, the offset in the image (the values there are a stride apart), and
    /// their number. Padding is in none of them.
    #[inline(always)]
    fn each_run(&self, place: usize, count: usize, mut work: impl FnMut(usize, usize, usize)) {
        let Window { stride, dilation, padding: [top, left, ..], .. } = self.window;
        let mut line = place * self.pixels();
        for channel in 0..self.channels {
            for down in 0..self.kernel_height {
                for right in 0..self.kernel_width {
                    let (down, right) = (down * dilation[0], right * dilation[1]);
                    // The columns of the output for which this element of the kernel is inside the image.
                    let first = left.saturating_sub(right).div_ceil(stride[1]);
                    let end = (self.width + left).saturating_sub(right).div_ceil(stride[1]).min(self.columns);
                    for row in 0..self.rows {
                        let y = (row * stride[0] + down).checked_sub(top).filter(|&y| y < self.height);
                        if let Some(y) = y.filter(|_| first < end) {
                            let x = first * stride[1] + right - left;
                            let pixel = (channel * self.height + y) * self.width + x;
                            work(line + row * self.columns + first, pixel, end - first);
                        }
                    }
                    line += count * self.pixels();
                }
            }
        }
    }

    fn slopes_of_images(&self, kernel: FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let turned = kernel.to_contiguous().reshape([self.outputs, self.patch()].into()).transpose(0, 1);
        let mut slopes = vec![0.0; self.batch * self.image()];
        let gradients = gradient.storage::<f32>().par_chunks(self.block() * self.outputs * self.pixels());
        gradients.zip(slopes.par_chunks_mut(self.block() * self.image())).for_each(|(gradient, slopes)| {
            let gradient = side_by_side(gradient, self.outputs, self.pixels());
            self.put_back(Flex::float_matmul(turned.clone(), gradient).storage(), slopes);
        });
        FlexTensor::from_data(TensorData::new(slopes, [self.batch, self.channels, self.height, self.width]))
    }

    fn slopes_of_kernel(&self, images: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let part = self.batch.div_ceil(PARTS).next_multiple_of(self.block());
        let outputs = self.outputs * self.pixels();
        let parts = images.storage::<f32>().par_chunks(part * self.image());
        let parts = parts.zip(gradient.storage::<f32>().par_chunks(part * outputs));
        let sums: Vec<FlexTensor> = parts
            .filter_map(|(images, gradients)| {
                let blocks = images.chunks(self.block() * self.image()).zip(gradients.chunks(self.block() * outputs));
                let products = blocks.map(|(images, gradient)| {
                    let gradient = side_by_side(gradient, self.outputs, self.pixels());
                    Flex::float_matmul(gradient, self.patches(images).transpose(0, 1))
                });
                products.reduce(Flex::float_add)
            })
            .collect();
        let sum = sums.into_iter().reduce(Flex::float_add).expect("there is an image");
        sum.reshape([self.outputs, self.channels, self.kernel_height, self.kernel_width].into())
    }
}

fn matrix(numbers: Vec<f32>, rows: usize) -> FlexTensor {
    let columns = numbers.len() / rows;
    FlexTensor::from_data(TensorData::new(numbers, [rows, columns]))
}

/// Concatenates tensors `[rows, pixels]` to one matrix `[rows, tensors * pixels]`.
fn side_by_side(tensors: &[f32], rows: usize, pixels: usize) -> FlexTensor {
    let mut numbers = Vec::with_capacity(tensors.len());
    for row in 0..rows {
        tensors.chunks(rows * pixels).for_each(|tensor| numbers.extend_from_slice(&tensor[row * pixels..][..pixels]));
    }
    matrix(numbers, rows)
}

/// Divides a matrix `[rows, tensors * pixels]` into tensors `[rows, pixels]`.
fn apart(matrix: &[f32], tensors: &mut [f32], rows: usize, pixels: usize) {
    let count = tensors.len() / (rows * pixels);
    for (place, tensor) in tensors.chunks_mut(rows * pixels).enumerate() {
        let lines = matrix.chunks(pixels).skip(place).step_by(count);
        tensor.chunks_mut(pixels).zip(lines).for_each(|(to, from)| to.copy_from_slice(from));
    }
}

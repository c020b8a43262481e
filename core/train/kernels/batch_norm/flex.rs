//! The CPU kernels: vectorised loops, parallel over channels and images.

use super::{super::sums, Outputs, outputs};
use burn::{
    backend::{Flex, TensorMetadata, flex::FlexTensor},
    tensor::{DType, TensorData},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Other data types have none.
pub(super) fn has_kernel(tensor: &FlexTensor) -> bool {
    tensor.dtype() == DType::F32
}

pub(super) fn evaluated(inputs: [FlexTensor; 5], epsilon: f64) -> FlexTensor {
    let [input, gamma, beta, mean, variance] = inputs.map(|tensor| tensor.to_contiguous());
    normalised(&input, [&gamma, &beta, &mean, &variance], epsilon)
}

pub(super) fn forward(inputs: [FlexTensor; 3], epsilon: f64) -> Outputs<Flex> {
    let [input, gamma, beta] = inputs.map(|tensor| tensor.to_contiguous());
    let batch = Batch::new(&input);
    let statistics: Vec<[f32; 2]> =
        batch.each_channel(|channel| Arch::new().dispatch(MeanAndVariance { batch: &batch, channel }));
    let [mean, variance] = [0, 1].map(|place| vector(statistics.iter().map(|statistics| statistics[place]).collect()));
    let output = normalised(&input, [&gamma, &beta, &mean, &variance], epsilon);
    outputs(output, [input, gamma, mean, variance])
}

/// The gradients of input, gamma and beta.
pub(super) fn backward(
    [input, gamma, mean, variance]: [FlexTensor; 4],
    gradient: FlexTensor,
    epsilon: f64,
) -> [FlexTensor; 3] {
    let mut gradient = contiguous(gradient);
    let batch = Batch::new(&input);
    let (scales, means, variances): (&[f32], &[f32], &[f32]) = (gamma.storage(), mean.storage(), variance.storage());
    let slopes: &[f32] = gradient.storage();
    let sums: Vec<[f32; 2]> = batch.each_channel(|channel| {
        Arch::new().dispatch(SlopeSums { batch: &batch, slopes, channel, mean: means[channel] })
    });
    let count = batch.count() as f32;
    let inverse = |channel: usize| inverse_deviation(variances[channel], epsilon);
    batch.each_plane(gradient.storage_mut(), |channel, values, slopes| {
        let [sum, along] = sums[channel];
        let inverse = inverse(channel);
        Arch::new().dispatch(Slopes {
            values,
            slopes,
            mean: means[channel],
            scale: scales[channel] * inverse,
            constant: sum / count,
            along: along / count * inverse * inverse,
        });
    });
    let of_gamma = sums.iter().enumerate().map(|(channel, [_, along])| along * inverse(channel)).collect();
    [gradient, vector(of_gamma), vector(sums.iter().map(|[sum, _]| *sum).collect())]
}

/// Takes ownership, so that a tensor without other owners is overwritten instead of copied.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// All contiguous; the statistics are the mean and the variance.
fn normalised(input: &FlexTensor, parameters: [&FlexTensor; 4], epsilon: f64) -> FlexTensor {
    let [gamma, beta, means, variances] = parameters.map(|tensor| -> &[f32] { tensor.storage() });
    let batch = Batch::new(input);
    let mut output = vec![0.0; batch.values.len()];
    batch.each_plane(&mut output, |channel, values, output| {
        let scale = gamma[channel] * inverse_deviation(variances[channel], epsilon);
        Arch::new().dispatch(Normalise { values, output, mean: means[channel], scale, shift: beta[channel] });
    });
    FlexTensor::from_data(TensorData::new(output, input.shape()))
}

fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

fn vector(numbers: Vec<f32>) -> FlexTensor {
    let count = numbers.len();
    FlexTensor::from_data(TensorData::new(numbers, [count]))
}

/// A contiguous tensor as planes, the values of one channel of one image.
struct Batch<'a> {
    values: &'a [f32],
    channels: usize,
    plane: usize,
}

impl<'a> Batch<'a> {
    fn new(tensor: &'a FlexTensor) -> Self {
        let [_, channels, height, width] = tensor.shape().dims();
        Self { values: tensor.storage(), channels, plane: height * width }
    }

    /// Number of values in a channel.
    fn count(&self) -> usize {
        self.values.len() / self.channels.max(1)
    }

    /// A channel's planes in a tensor of the same shape.
    #[inline(always)]
    fn planes<'b>(&self, tensor: &'b [f32], channel: usize) -> impl Iterator<Item = &'b [f32]> {
        tensor.chunks(self.plane.max(1)).skip(channel).step_by(self.channels)
    }

    fn each_channel<T: Send>(&self, work: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        match self.values.len() {
            few if few < sums::PARALLEL => (0..self.channels).map(work).collect(),
            _ => (0..self.channels).into_par_iter().map(work).collect(),
        }
    }

    /// Iterates over the planes of another tensor of the same shape together with those of this one.
    fn each_plane(&self, other: &mut [f32], work: impl Fn(usize, &[f32], &mut [f32]) + Send + Sync) {
        let plane = self.plane.max(1);
        let image = |values: &[f32], other: &mut [f32]| {
            let planes = values.chunks(plane).zip(other.chunks_mut(plane)).enumerate();
            planes.for_each(|(channel, (values, other))| work(channel, values, other));
        };
        let size = (self.channels * plane).max(1);
        match self.values.len() {
            few if few < sums::PARALLEL => {
                self.values.chunks(size).zip(other.chunks_mut(size)).for_each(|(values, other)| image(values, other));
            }
            _ => {
                let images = self.values.par_chunks(size).zip(other.par_chunks_mut(size));
                images.for_each(|(values, other)| image(values, other));
            }
        }
    }
}

/// Sums of one channel.
struct MeanAndVariance<'a> {
    batch: &'a Batch<'a>,
    channel: usize,
}

impl WithSimd for MeanAndVariance<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; 2] {
        let Self { batch, channel } = self;
        let count = batch.count().max(1) as f64;
        let planes = || batch.planes(batch.values, channel);
        let mean = (planes().map(|plane| sums::sum(plane, |value| value)).sum::<f64>() / count) as f32;
        let squares = planes().map(|plane| sums::sum(plane, |value| (value - mean) * (value - mean)));
        [mean, (squares.sum::<f64>() / count) as f32]
    }
}

/// y = (x - m) scale + shift, on a plane.
struct Normalise<'a> {
    values: &'a [f32],
    output: &'a mut [f32],
    mean: f32,
    scale: f32,
    shift: f32,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (output, value) in self.output.iter_mut().zip(self.values) {
            *output = (value - self.mean) * self.scale + self.shift;
        }
    }
}

/// sum(g) and sum(g (x - m)) of one channel.
struct SlopeSums<'a> {
    batch: &'a Batch<'a>,
    slopes: &'a [f32],
    channel: usize,
    mean: f32,
}

impl WithSimd for SlopeSums<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; 2] {
        let Self { batch, slopes, channel, mean } = self;
        let mut sums = [0.0; 2];
        for (values, slopes) in batch.planes(batch.values, channel).zip(batch.planes(slopes, channel)) {
            let [sum, along] = sums::two(values, slopes, |value, slope| [slope, slope * (value - mean)]);
            sums = [sums[0] + sum, sums[1] + along];
        }
        sums.map(|sum| sum as f32)
    }
}

/// scale (g - constant - (x - m) along), on a plane, in place of g.
struct Slopes<'a> {
    values: &'a [f32],
    slopes: &'a mut [f32],
    mean: f32,
    scale: f32,
    constant: f32,
    along: f32,
}

impl WithSimd for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (slope, value) in self.slopes.iter_mut().zip(self.values) {
            *slope = self.scale * (*slope - self.constant - (value - self.mean) * self.along);
        }
    }
}

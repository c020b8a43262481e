//! Batch normalisation in training (Ioffe and Szegedy, 2015): with the mean m and the biased variance v of a channel over the
//! batch, and n values in it,
//!
//! ```text
//! y  = gamma (x - m) r + beta,   r = 1/sqrt(v + epsilon)
//! dbeta = sum(g),   dgamma = r sum(g (x - m))
//! dx = gamma r (g - sum(g)/n - (x - m) r^2 sum(g (x - m))/n)
//! ```
//!
//! libtorch computes its own gradients. On the CPU each pass reads a channel for its two sums and once more to write; burn
//! composes some ten passes. Other processors keep what burn does.

use super::sums;
use burn::{
    backend::{
        Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{DType, Tensor, TensorData},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::fmt::Debug;

/// What a batch-norm gives in training.
pub(in crate::train) struct Normalised {
    /// As its input.
    pub output: Tensor<4>,
    /// Of each channel, without gradients.
    pub mean: Tensor<1>,
    /// Of each channel, biased, without gradients.
    pub variance: Tensor<1>,
}

/// Normalises `[batch, channels, height, width]` with the statistics of the batch.
pub(in crate::train) fn batch_norm(input: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Normalised {
    let (output, mean, variance) = <Dispatch as BatchNorm>::normalised(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    );
    Normalised {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// Output, mean and variance.
type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

#[backend_extension(Flex, Cube: cfg(feature = "cuda"), LibTorch: cfg(feature = "tch"), Autodiff)]
trait BatchNorm: Backend {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Forward and backward.
trait Differentiable: BatchNorm {
    /// What the backward pass needs of the forward one.
    type Saved: Clone + Debug + Send + 'static;

    fn forward(inputs: [FloatTensor<Self>; 3], epsilon: f64) -> (Three<Self>, Self::Saved);

    /// The gradients of input, gamma and beta.
    fn backward(saved: Self::Saved, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
}

/// Input, gamma, mean and variance, and epsilon.
type Statistics<B> = ([FloatTensor<B>; 4], f64);

fn forward_of_burn<B: Backend>([input, gamma, beta]: [FloatTensor<B>; 3], epsilon: f64) -> (Three<B>, Statistics<B>) {
    let done = B::batch_norm_train(input.clone(), gamma.clone(), beta, epsilon);
    let saved = [input, gamma, done.mean.clone(), done.variance.clone()];
    ((done.output, done.mean, done.variance), (saved, epsilon))
}

fn backward_of_burn<B: Backend>(
    ([input, gamma, mean, variance], epsilon): Statistics<B>,
    gradient: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let back = B::batch_norm_train_backward(input, gamma, mean, variance, epsilon, gradient);
    [back.x_grad, back.gamma_grad, back.beta_grad]
}

#[cfg(feature = "cuda")]
impl BatchNorm for burn::backend::Cube {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Three<Self> {
        forward_of_burn::<Self>([input, gamma, beta], epsilon).0
    }
}

#[cfg(feature = "cuda")]
impl Differentiable for burn::backend::Cube {
    type Saved = Statistics<Self>;

    fn forward(inputs: [FloatTensor<Self>; 3], epsilon: f64) -> (Three<Self>, Self::Saved) {
        forward_of_burn::<Self>(inputs, epsilon)
    }

    fn backward(saved: Self::Saved, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        backward_of_burn::<Self>(saved, gradient)
    }
}

#[cfg(feature = "tch")]
mod libtorch {
    use super::{super::torch::Recorded, BatchNorm, Differentiable, Three};
    use burn::backend::{LibTorch, libtorch::TchTensor, tensor::FloatTensor};
    use tch::Tensor;

    /// Normalises, and gives the statistics: running ones that follow the batch's at once become the batch's.
    fn normalise([input, gamma, beta]: &[Tensor; 3], epsilon: f64) -> [Tensor; 3] {
        let (mean, variance) = (gamma.detach().zeros_like(), gamma.detach().ones_like());
        let output = input.batch_norm(Some(gamma), Some(beta), Some(&mean), Some(&variance), true, 1.0, epsilon, true);
        let sizes = input.size();
        // libtorch's running variance is the unbiased one.
        let count = sizes.iter().product::<i64>() / sizes[1].max(1);
        // The operation keeps the running statistics, and burn writes into what it is given.
        [output, mean.copy(), variance * ((count - 1) as f64 / count.max(1) as f64)]
    }

    impl BatchNorm for LibTorch {
        fn normalised(
            input: FloatTensor<Self>,
            gamma: FloatTensor<Self>,
            beta: FloatTensor<Self>,
            epsilon: f64,
        ) -> Three<Self> {
            let [output, mean, variance] = normalise(&[input, gamma, beta].map(|tensor| tensor.tensor), epsilon);
            (TchTensor::new(output), TchTensor::new(mean), TchTensor::new(variance))
        }
    }

    impl Differentiable for LibTorch {
        type Saved = Recorded<3>;

        fn forward(inputs: [FloatTensor<Self>; 3], epsilon: f64) -> (Three<Self>, Self::Saved) {
            let mut statistics = vec![];
            let (output, saved) = Recorded::run(inputs, |inputs| {
                let [output, mean, variance] = normalise(inputs, epsilon);
                statistics.extend([variance, mean].map(TchTensor::new));
                output
            });
            let mut statistic = || statistics.pop().expect("there are two");
            ((output, statistic(), statistic()), saved)
        }

        fn backward(saved: Self::Saved, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
            saved.gradients(&gradient, [true; 3]).map(|gradient| gradient.expect("all are wanted"))
        }
    }
}

impl BatchNorm for Flex {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Three<Self> {
        Self::forward([input, gamma, beta], epsilon).0
    }
}

impl Differentiable for Flex {
    type Saved = Statistics<Self>;

    fn forward([input, gamma, beta]: [FloatTensor<Self>; 3], epsilon: f64) -> (Three<Self>, Self::Saved) {
        if input.dtype() != DType::F32 {
            return forward_of_burn::<Self>([input, gamma, beta], epsilon);
        }
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.to_contiguous());
        let batch = Batch::new(&input);
        let statistics: Vec<[f32; 2]> =
            batch.each_channel(|channel| Arch::new().dispatch(MeanAndVariance { batch: &batch, channel }));
        let (scales, shifts): (&[f32], &[f32]) = (gamma.storage(), beta.storage());
        let mut output = vec![0.0; batch.values.len()];
        batch.each_plane(&mut output, |channel, values, output| {
            let [mean, variance] = statistics[channel];
            let scale = scales[channel] * inverse_deviation(variance, epsilon);
            Arch::new().dispatch(Normalise { values, output, mean, scale, shift: shifts[channel] });
        });
        let output = FlexTensor::from_data(TensorData::new(output, input.shape()));
        let [mean, variance] =
            [0, 1].map(|place| vector(statistics.iter().map(|statistics| statistics[place]).collect()));
        ((output, mean.clone(), variance.clone()), ([input, gamma, mean, variance], epsilon))
    }

    fn backward((saved, epsilon): Self::Saved, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        if gradient.dtype() != DType::F32 {
            return backward_of_burn::<Self>((saved, epsilon), gradient);
        }
        let ([input, gamma, mean, variance], mut gradient) = (saved, gradient.to_contiguous());
        let batch = Batch::new(&input);
        let (scales, means, variances): (&[f32], &[f32], &[f32]) =
            (gamma.storage(), mean.storage(), variance.storage());
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
}

fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

fn vector(numbers: Vec<f32>) -> FlexTensor {
    let count = numbers.len();
    FlexTensor::from_data(TensorData::new(numbers, [count]))
}

/// A contiguous tensor as planes: a channel's values of one image stand together.
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

    /// Values of a channel.
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

    /// Goes over the planes of another tensor of the same shape together with those of this one.
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

/// Of one channel.
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

impl<B: Differentiable, C: CheckpointStrategy> BatchNorm for Autodiff<B, C> {
    fn normalised(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Three<Self> {
        let ((input, input_node), (gamma, gamma_node), (beta, beta_node)) =
            (input.into_parts(), gamma.into_parts(), beta.into_parts());
        let nodes = [input_node, gamma_node, beta_node];
        let (output, mean, variance) = match StepBack.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let ((output, mean, variance), saved) = B::forward([input, gamma, beta], epsilon);
                (prepared.finish(saved, output), mean, variance)
            }
            OpsKind::UnTracked(prepared) => {
                let (output, mean, variance) = B::normalised(input, gamma, beta, epsilon);
                (prepared.finish(output), mean, variance)
            }
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }
}

/// The backward pass as a node of burn's graph.
#[derive(Debug)]
struct StepBack;

impl<B: Differentiable> Backward<B, 3> for StepBack {
    type State = B::Saved;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut grads::Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(B::backward(ops.state, gradient)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

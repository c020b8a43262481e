//! Batch normalisation in training (Ioffe and Szegedy, 2015): with the mean m and the biased variance v of a channel over the
//! batch, and n values in it,
//!
//! ```text
//! y  = gamma (x - m) r + beta,   r = 1/sqrt(v + epsilon)
//! dbeta = sum(g),   dgamma = r sum(g (x - m))
//! dx = gamma r (g - sum(g)/n - (x - m) r^2 sum(g (x - m))/n)
//! ```
//!
//! In evaluation m and v are running statistics, and y is one operation; with gradients, which only sensitivities need,
//! it is composed of burn's operations.
//!
//! libtorch computes its own gradients. The kernels for the CPU and for burn's GPUs make two or three passes over
//! memory per direction; burn's composition makes about ten.

#[cfg(feature = "cubecl")]
mod cube;
mod flex;
#[cfg(feature = "tch")]
mod libtorch;

use super::{AnyTensor, CustomOp, OpBackend, Outputs, Saved};
#[cfg(feature = "cubecl")]
use burn::backend::Cube;
#[cfg(feature = "tch")]
use burn::backend::LibTorch;
use burn::{
    backend::{Backend, Flex, tensor::FloatTensor},
    tensor::Tensor,
};

/// The result of a batch-norm in training.
pub struct Normalised {
    /// The normalised values, of the input's shape.
    pub output: Tensor<4>,
    /// Mean per channel, without gradients.
    pub mean: Tensor<1>,
    /// Biased variance per channel, without gradients.
    pub variance: Tensor<1>,
}

/// Normalises `[batch, channels, height, width]` with the statistics of the batch.
pub fn batch_norm(input: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Normalised {
    let inputs = [input.into(), gamma.into(), beta.into()];
    let (output, statistics) = BatchNorm { epsilon }.apply_with_constants(inputs);
    let [mean, variance] = statistics.try_into().expect("a mean and a variance");
    Normalised { output, mean: AnyTensor::tensor(mean), variance: AnyTensor::tensor(variance) }
}

/// Normalises `[batch, channels, height, width]` with running statistics, as in evaluation.
pub fn batch_norm_evaluated(input: Tensor<4>, parameters: [Tensor<1>; 4], epsilon: f64) -> Tensor<4> {
    if input.is_autodiff() || parameters.iter().any(Tensor::is_autodiff) {
        return evaluated(input, parameters, epsilon);
    }
    let [gamma, beta, mean, variance] = parameters.map(AnyTensor::from);
    Evaluated { epsilon }.apply([input.into(), gamma, beta, mean, variance])
}

/// Composed of burn's operations. The four parameters of a channel are combined into two, so that two operations
/// instead of four go over all values.
fn evaluated(input: Tensor<4>, [gamma, beta, mean, variance]: [Tensor<1>; 4], epsilon: f64) -> Tensor<4> {
    let scale = gamma / variance.add_scalar(epsilon).sqrt();
    let shift = beta - mean * scale.clone();
    let [scale, shift] = [scale, shift].map(|numbers| {
        let [channels] = numbers.dims();
        numbers.reshape([1, channels, 1, 1])
    });
    input * scale + shift
}

/// With the batch's statistics.
#[derive(Clone, Debug)]
struct BatchNorm {
    epsilon: f64,
}

impl CustomOp<3> for BatchNorm {
    fn forward<B: OpBackend>(&self, [input, gamma, beta]: [FloatTensor<B>; 3], _: bool) -> Outputs<B> {
        let done = B::batch_norm_train(input.clone(), gamma.clone(), beta, self.epsilon);
        outputs(done.output, [input, gamma, done.mean, done.variance])
    }

    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        _: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        let [input, gamma, mean, variance] = saved.unpack();
        let back = B::batch_norm_train_backward(input, gamma, mean, variance, self.epsilon, gradient);
        [back.x_grad, back.gamma_grad, back.beta_grad].map(Some)
    }

    fn forward_flex(&self, inputs: [FloatTensor<Flex>; 3], saves: bool) -> Outputs<Flex> {
        match flex::has_kernel(&inputs[0]) {
            true => flex::forward(inputs, self.epsilon),
            false => self.forward::<Flex>(inputs, saves),
        }
    }

    fn backward_flex(
        &self,
        saved: Saved<Flex>,
        gradient: FloatTensor<Flex>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Flex>>; 3] {
        match flex::has_kernel(&gradient) {
            true => flex::backward(saved.unpack(), gradient, self.epsilon).map(Some),
            false => self.backward::<Flex>(saved, gradient, wanted),
        }
    }

    #[cfg(feature = "tch")]
    fn forward_libtorch(&self, inputs: [FloatTensor<LibTorch>; 3], saves: bool) -> Outputs<LibTorch> {
        libtorch::forward(inputs, self.epsilon, saves)
    }

    #[cfg(feature = "tch")]
    fn backward_libtorch(
        &self,
        saved: Saved<LibTorch>,
        gradient: FloatTensor<LibTorch>,
        _: [bool; 3],
    ) -> [Option<FloatTensor<LibTorch>>; 3] {
        super::torch::gradients::<3, 7>(saved, &gradient, [true; 3])
    }

    #[cfg(feature = "cubecl")]
    fn forward_cube(&self, inputs: [FloatTensor<Cube>; 3], saves: bool) -> Outputs<Cube> {
        match cube::has_kernel(&inputs[0]) {
            true => cube::forward(inputs, self.epsilon),
            false => self.forward::<Cube>(inputs, saves),
        }
    }

    #[cfg(feature = "cubecl")]
    fn backward_cube(
        &self,
        saved: Saved<Cube>,
        gradient: FloatTensor<Cube>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Cube>>; 3] {
        match cube::has_kernel(&gradient) {
            true => cube::backward(saved.unpack(), gradient, self.epsilon).map(Some),
            false => self.backward::<Cube>(saved, gradient, wanted),
        }
    }
}

/// The outputs of a forward pass that saves input, gamma, mean and variance.
fn outputs<B: Backend>(output: FloatTensor<B>, saved: [FloatTensor<B>; 4]) -> Outputs<B> {
    let [_, _, mean, variance] = saved.clone();
    Outputs::new(output).with_constants([mean, variance]).saving(saved)
}

/// With running statistics, without gradients.
#[derive(Clone, Debug)]
struct Evaluated {
    epsilon: f64,
}

impl CustomOp<5> for Evaluated {
    fn forward<B: OpBackend>(&self, [input, parameters @ ..]: [FloatTensor<B>; 5], _: bool) -> Outputs<B> {
        let output = evaluated(B::tensor(input), parameters.map(B::tensor), self.epsilon);
        Outputs::new(B::primitive(output))
    }

    fn forward_flex(&self, inputs: [FloatTensor<Flex>; 5], saves: bool) -> Outputs<Flex> {
        match flex::has_kernel(&inputs[0]) {
            true => Outputs::new(flex::evaluated(inputs, self.epsilon)),
            false => self.forward::<Flex>(inputs, saves),
        }
    }

    #[cfg(feature = "tch")]
    fn forward_libtorch(&self, inputs: [FloatTensor<LibTorch>; 5], _: bool) -> Outputs<LibTorch> {
        Outputs::new(libtorch::evaluated(inputs, self.epsilon))
    }

    #[cfg(feature = "cubecl")]
    fn forward_cube(&self, inputs: [FloatTensor<Cube>; 5], saves: bool) -> Outputs<Cube> {
        match cube::has_kernel(&inputs[0]) {
            true => Outputs::new(cube::evaluated(inputs, self.epsilon)),
            false => self.forward::<Cube>(inputs, saves),
        }
    }
}

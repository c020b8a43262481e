//! By libtorch itself, and differentiated by it.

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

    fn evaluated(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [input, gamma, beta, mean, variance] = [input, gamma, beta, mean, variance].map(|tensor| tensor.tensor);
        let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(Some);
        TchTensor::new(input.batch_norm(gamma, beta, mean, variance, false, 0.0, epsilon, true))
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

//! libtorch's own operation, differentiated by libtorch.

use super::{super::torch::record, Outputs};
use burn::backend::{LibTorch, libtorch::TchTensor};
use tch::Tensor;

/// Normalises, and returns the batch's statistics: running ones with a momentum of 1 become the batch's.
fn normalise([input, gamma, beta]: &[Tensor; 3], epsilon: f64) -> [Tensor; 3] {
    let (mean, variance) = (gamma.detach().zeros_like(), gamma.detach().ones_like());
    let output = input.batch_norm(Some(gamma), Some(beta), Some(&mean), Some(&variance), true, 1.0, epsilon, true);
    let sizes = input.size();
    // libtorch's running variance is the unbiased one.
    let count = sizes.iter().product::<i64>() / sizes[1].max(1);
    // The operation keeps the running statistics, and burn may write into the tensors that it gets.
    [output, mean.copy(), variance * ((count - 1) as f64 / count.max(1) as f64)]
}

pub(super) fn forward(inputs: [TchTensor; 3], epsilon: f64, saves: bool) -> Outputs<LibTorch> {
    if !saves {
        let normalised = normalise(&inputs.map(|input| input.tensor), epsilon);
        let [output, mean, variance] = normalised.map(TchTensor::new);
        return Outputs::new(output).with_constants([mean, variance]);
    }
    let mut statistics = vec![];
    let recorded = record(inputs, |inputs| {
        let [output, mean, variance] = normalise(inputs, epsilon);
        statistics.extend([mean, variance].map(TchTensor::new));
        output
    });
    recorded.with_constants(statistics)
}

pub(super) fn evaluated(inputs: [TchTensor; 5], epsilon: f64) -> TchTensor {
    let [input, parameters @ ..] = inputs.map(|tensor| tensor.tensor);
    let [gamma, beta, mean, variance] = parameters.map(Some);
    TchTensor::new(input.batch_norm(gamma, beta, mean, variance, false, 0.0, epsilon, true))
}

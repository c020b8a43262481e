//! ReLU. For the backward pass burn saves its input, which nobody else needs after a batch-norm, and on libtorch
//! computes the gradient by a mask in one thread; here the output is saved, which the next layer's quantizer saves as
//! well.

use super::{CustomOp, OpBackend, Outputs, Saved};
use burn::{backend::tensor::FloatTensor, tensor::Tensor};

/// max(x, 0), with gradient 0 at 0.
pub fn relu(input: Tensor<4>) -> Tensor<4> {
    Relu.apply([input.into()])
}

#[derive(Clone, Debug)]
struct Relu;

impl CustomOp<1> for Relu {
    fn forward<B: OpBackend>(&self, [input]: [FloatTensor<B>; 1], _: bool) -> Outputs<B> {
        let output = B::relu(input);
        Outputs::new(output.clone()).saving([output])
    }

    fn backward<B: OpBackend>(
        &self,
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        _: [bool; 1],
    ) -> [Option<FloatTensor<B>>; 1] {
        let [output] = saved.unpack();
        [Some(B::relu_backward(output, gradient))]
    }

    #[cfg(feature = "tch")]
    fn backward_libtorch(
        &self,
        saved: Saved<burn::backend::LibTorch>,
        gradient: burn::backend::libtorch::TchTensor,
        _: [bool; 1],
    ) -> [Option<burn::backend::libtorch::TchTensor>; 1] {
        let [output] = saved.unpack();
        let gradient = output.tensor.threshold_backward(&gradient.tensor, 0.0);
        [Some(burn::backend::libtorch::TchTensor::new(gradient))]
    }
}

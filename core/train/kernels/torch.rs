//! Backward passes of PyTorch's own: an operation runs forward under libtorch's autograd, which later gives its gradients.
//!
//! burn does not know of libtorch's graph. What enters an operation here is cut off from whatever made it, what leaves it is
//! cut off from the operation; each operation is a graph of its own, kept until its gradients are asked for.

use burn::backend::libtorch::TchTensor;
use tch::Tensor;

/// An operation that was run forward, and waits for the gradient of its output.
#[derive(Clone, Debug)]
pub(super) struct Recorded<const N: usize> {
    /// What entered. burn writes into tensors that nobody else holds; these are still needed as they are.
    _kept: [TchTensor; N],
    /// The same memory, as leaves of the graph.
    leaves: [TchTensor; N],
    output: TchTensor,
}

impl<const N: usize> Recorded<N> {
    /// Runs an operation.
    pub fn run(inputs: [TchTensor; N], operation: impl FnOnce(&[Tensor; N]) -> Tensor) -> (TchTensor, Self) {
        let leaves = inputs.each_ref().map(|input| input.tensor.detach().set_requires_grad(true));
        let output = tch::with_grad(|| operation(&leaves));
        let outside = TchTensor::new(output.detach());
        (outside, Self { _kept: inputs, leaves: leaves.map(TchTensor::new), output: TchTensor::new(output) })
    }

    /// The gradients of those inputs that are wanted.
    pub fn gradients(self, gradient: &TchTensor, wanted: [bool; N]) -> [Option<TchTensor>; N] {
        let inputs: Vec<&Tensor> =
            self.leaves.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(leaf, _)| &leaf.tensor).collect();
        // libtorch starts at a number. The dot product with g is one whose gradient is g, to the last bit.
        let flat = |tensor: &Tensor| tensor.reshape([-1]);
        let start = tch::with_grad(|| flat(&self.output.tensor).dot(&flat(&gradient.tensor)));
        let mut gradients = Tensor::run_backward(&[start], &inputs, false, false).into_iter().map(TchTensor::new);
        wanted.map(|wanted| if wanted { gradients.next() } else { None })
    }
}

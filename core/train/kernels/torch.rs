//! Backward passes of PyTorch's own: an operation runs forward under libtorch's autograd, which later gives its gradients.
//!
//! burn does not know of libtorch's graph. What enters an operation here is cut off from whatever made it, what leaves it is
//! cut off from the operation; each operation is a graph of its own, kept until its gradients are asked for.

use burn::backend::libtorch::TchTensor;
use tch::{Device, Tensor};

/// `[batch, channels, height, width]` as `[batch, height, width, channels]`, and the way back.
const LAST: [i64; 4] = [0, 2, 3, 1];
const SECOND: [i64; 4] = [0, 3, 1, 2];

/// Whether a convolution of so many values with so many weights is done with channels last. On the processor libtorch's kernels are
/// faster so, but for many weights and few pixels, as measured; for GPUs that is NVIDIA's advice, not measured.
pub(super) fn channels_last(on_gpu: bool, values: usize, weights: usize) -> bool {
    on_gpu || values >= weights
}

/// Images and a kernel as a convolution takes them; those that do not lie so are copied.
pub(super) fn laid_out([images, kernel]: [TchTensor; 2]) -> [TchTensor; 2] {
    let on_gpu = images.tensor.device() != Device::Cpu;
    let last = channels_last(on_gpu, images.tensor.numel(), kernel.tensor.numel());
    [images, kernel].map(|TchTensor { tensor, storage }| match last {
        true => TchTensor::from_existing(tensor.permute(LAST).contiguous().permute(SECOND), storage),
        false => TchTensor::from_existing(tensor.contiguous(), storage),
    })
}

/// Whether the channels of neighbouring pixels, and not the pixels of a channel, lie side by side.
fn is_channels_last(tensor: &Tensor) -> bool {
    tensor.dim() == 4 && !tensor.is_contiguous() && tensor.permute(LAST).is_contiguous()
}

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
        let permuted = is_channels_last(&self.output.tensor);
        let flat = |tensor: &Tensor| match permuted {
            true => tensor.permute(LAST).reshape([-1]),
            false => tensor.reshape([-1]),
        };
        let start = tch::with_grad(|| flat(&self.output.tensor).dot(&flat(&gradient.tensor)));
        let mut gradients = Tensor::run_backward(&[start], &inputs, false, false).into_iter().map(TchTensor::new);
        wanted.map(|wanted| if wanted { gradients.next() } else { None })
    }
}

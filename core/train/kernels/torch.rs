//! Backward passes of PyTorch's own: an operation runs forward under libtorch's autograd, which later gives its gradients.
//!
//! burn does not know of libtorch's graph. What enters an operation here is cut off from whatever made it, what leaves it is
//! cut off from the operation; each operation is a graph of its own, kept until its gradients are asked for.

use super::{Outputs, Saved};
use burn::backend::{LibTorch, libtorch::TchTensor};
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

/// Runs an operation forward for [`gradients`].
pub(super) fn record<const N: usize>(
    inputs: [TchTensor; N],
    operation: impl FnOnce(&[Tensor; N]) -> Tensor,
) -> Outputs<LibTorch> {
    // The same memory, as leaves of the graph.
    let leaves = inputs.each_ref().map(|input| input.tensor.detach().set_requires_grad(true));
    let output = tch::with_grad(|| operation(&leaves));
    let outside = TchTensor::new(output.detach());
    // burn writes into tensors that nobody else holds; the inputs are still needed as they are.
    let graph = leaves.into_iter().chain([output]).map(TchTensor::new);
    Outputs::new(outside).saving(inputs.into_iter().chain(graph))
}

/// The gradients of those inputs of [`record`] that are wanted; `SAVED` is 2 * N + 1.
pub(super) fn gradients<const N: usize, const SAVED: usize>(
    saved: Saved<LibTorch>,
    gradient: &TchTensor,
    wanted: [bool; N],
) -> [Option<TchTensor>; N] {
    const { assert!(SAVED == 2 * N + 1, "inputs, leaves and the output") };
    let saved: [TchTensor; SAVED] = saved.unpack();
    let (leaves, output) = (&saved[N..2 * N], &saved[2 * N].tensor);
    let inputs: Vec<&Tensor> =
        leaves.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(leaf, _)| &leaf.tensor).collect();
    // libtorch starts at a number. The dot product with g is one whose gradient is g, to the last bit.
    let permuted = is_channels_last(output);
    let flat = |tensor: &Tensor| match permuted {
        true => tensor.permute(LAST).reshape([-1]),
        false => tensor.reshape([-1]),
    };
    let start = tch::with_grad(|| flat(output).dot(&flat(&gradient.tensor)));
    let mut gradients = Tensor::run_backward(&[start], &inputs, false, false).into_iter().map(TchTensor::new);
    wanted.map(|wanted| if wanted { gradients.next() } else { None })
}

//! Backward passes by PyTorch: an operation runs forward under libtorch's autograd, which later computes its gradients.
//!
//! burn does not know libtorch's graph. Inputs are detached from the graph they come from, and outputs from the
//! operation; each operation has its own graph, kept until its gradients are computed.

use super::{Outputs, Saved};
use burn::backend::{LibTorch, libtorch::TchTensor};
use tch::{Device, Tensor};

/// The permutation of `[batch, channels, height, width]` to `[batch, height, width, channels]`, and its inverse.
const LAST: [i64; 4] = [0, 2, 3, 1];
const SECOND: [i64; 4] = [0, 3, 1, 2];

/// Whether a convolution with so many values and weights runs in channels-last layout. On the CPU libtorch's kernels
/// are faster in it, except for many weights and few pixels, as measured; for GPUs that is NVIDIA's advice, not
/// measured.
pub(super) fn channels_last(on_gpu: bool, values: usize, weights: usize) -> bool {
    on_gpu || values >= weights
}

/// Images and kernel in the layout of the convolution, copied if necessary.
pub(super) fn laid_out([images, kernel]: [TchTensor; 2]) -> [TchTensor; 2] {
    let on_gpu = images.tensor.device() != Device::Cpu;
    let last = channels_last(on_gpu, images.tensor.numel(), kernel.tensor.numel());
    [images, kernel].map(|TchTensor { tensor, storage }| match last {
        true => TchTensor::from_existing(tensor.permute(LAST).contiguous().permute(SECOND), storage),
        false => TchTensor::from_existing(tensor.contiguous(), storage),
    })
}

/// Whether a tensor is in channels-last layout.
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
    // burn overwrites tensors without other owners; the inputs are still needed.
    let graph = leaves.into_iter().chain([output]).map(TchTensor::new);
    Outputs::new(outside).saving(inputs.into_iter().chain(graph))
}

/// The wanted gradients of inputs of [`record`]; `SAVED` is 2 * N + 1.
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
    // Backpropagation in libtorch starts at a scalar. The gradient of the dot product with g is g, to the last bit.
    let permuted = is_channels_last(output);
    let flat = |tensor: &Tensor| match permuted {
        true => tensor.permute(LAST).reshape([-1]),
        false => tensor.reshape([-1]),
    };
    let start = tch::with_grad(|| flat(output).dot(&flat(&gradient.tensor)));
    let mut gradients = Tensor::run_backward(&[start], &inputs, false, false).into_iter().map(TchTensor::new);
    wanted.map(|wanted| if wanted { gradients.next() } else { None })
}

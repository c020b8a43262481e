//! libtorch. On the processor its tensors are plain numbers as well, and one pass over them beats libtorch's own operations, of
//! which each is a pass; on a GPU those are what there is.

use super::{Bounds, FakeQuantize, Gradients, loops, primitives};
use burn::backend::{LibTorch, libtorch::TchTensor, tensor::FloatTensor};
use tch::{Device, Kind, Tensor};

impl FakeQuantize for LibTorch {
    fn fake_quantize(values: FloatTensor<Self>, parameters: FloatTensor<Self>, bounds: Bounds) -> FloatTensor<Self> {
        if !is_plain(&values) {
            return primitives::forward::<Self>(values, parameters, bounds);
        }
        let (values, parameters) = (values.tensor.contiguous(), parameters.tensor.contiguous());
        let mut output = values.empty_like();
        loops::forward(numbers(&values), numbers(&parameters), parameters.size()[0] as usize, bounds, own(&mut output));
        TchTensor::new(output)
    }
}

impl Gradients for LibTorch {
    fn gradients(
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        bounds: Bounds,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !is_plain(&values) {
            return primitives::backward::<Self>(values, parameters, gradient, bounds);
        }
        let (values, parameters) = (values.tensor.contiguous(), parameters.tensor.contiguous());
        let mut of_values = written_over(gradient);
        let size = parameters.size();
        let of_parameters =
            loops::backward(numbers(&values), numbers(&parameters), size[0] as usize, bounds, own(&mut of_values));
        let of_parameters = Tensor::from_slice(&of_parameters).reshape(size);
        (TchTensor::new(of_values), TchTensor::new(of_parameters))
    }
}

fn is_plain(values: &TchTensor) -> bool {
    values.tensor.device() == Device::Cpu && values.tensor.kind() == Kind::Float
}

/// The same numbers, contiguous, in memory that nobody else has: a copy if need be.
fn written_over(tensor: TchTensor) -> Tensor {
    let contiguous = tensor.tensor.contiguous();
    match tensor.can_mut() || contiguous.data_ptr() != tensor.tensor.data_ptr() {
        true => contiguous,
        false => contiguous.copy(),
    }
}

/// The numbers of a contiguous tensor of 32-bit floats on the processor.
#[expect(unsafe_code, reason = "tch gives numbers as a pointer or as a copy")]
fn numbers(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: a contiguous tensor has so many numbers of its kind at its pointer, for as long as it lives. Nobody writes to
    // them meanwhile: burn writes in place only to tensors that it alone holds, and this one is held here.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The same, of a tensor whose memory nobody else has.
#[expect(unsafe_code, reason = "tch gives numbers as a pointer or as a copy")]
fn own(tensor: &mut Tensor) -> &mut [f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as above, and it is borrowed for as long as it is written to.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

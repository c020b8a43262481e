//! Tensors in host memory, for custom loops: those of burn's CPU backend, and those of libtorch on the CPU.

use super::OpBackend;
use burn::{
    backend::{Backend, Flex, TensorMetadata, flex::FlexTensor, tensor::FloatTensor},
    tensor::{DType, Shape, TensorData},
};

/// A contiguous tensor of 32-bit floats in host memory.
#[derive(Clone, Debug)]
pub struct HostTensor<B: OpBackend>(FloatTensor<B>);

impl<B: OpBackend> HostTensor<B> {
    /// Tensors, copied if they are not contiguous; returned unchanged if one of them is on a GPU or has another data
    /// type.
    ///
    /// # Errors
    /// The tensors, if the operation must be done in another way.
    pub fn all<const N: usize>(tensors: [FloatTensor<B>; N]) -> Result<[Self; N], [FloatTensor<B>; N]> {
        match tensors.iter().all(B::is_host) {
            true => Ok(tensors.map(|tensor| Self(B::contiguous(tensor)))),
            false => Err(tensors),
        }
    }

    /// A contiguous tensor of this shape with these values, on the device of `self`.
    pub fn beside(&self, values: Vec<f32>, shape: impl Into<Shape>) -> Self {
        Self(B::float_from_data(TensorData::new(values, shape), &self.0.device()))
    }

    /// An uninitialised tensor of the same shape.
    pub fn like(&self) -> Self {
        Self(B::host_like(&self.0))
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.0.shape()
    }

    /// Its values.
    pub fn values(&self) -> &[f32] {
        B::host_values(&self.0)
    }

    /// Its values, to be written to; they are copied first if others share the memory.
    pub fn values_mut(&mut self) -> &mut [f32] {
        B::host_values_mut(&mut self.0)
    }

    /// The backend's tensor.
    pub fn into_tensor(self) -> FloatTensor<B> {
        self.0
    }
}

/// What [`HostTensor`] needs from a backend.
pub trait Host: Backend {
    /// Whether these are 32-bit floats in host memory. The other functions may only be called for such tensors.
    fn is_host(tensor: &FloatTensor<Self>) -> bool;

    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    fn host_like(tensor: &FloatTensor<Self>) -> FloatTensor<Self>;

    fn host_values(tensor: &FloatTensor<Self>) -> &[f32];

    fn host_values_mut(tensor: &mut FloatTensor<Self>) -> &mut [f32];
}

impl Host for Flex {
    fn is_host(tensor: &FlexTensor) -> bool {
        tensor.dtype() == DType::F32
    }

    /// Takes ownership, so that a tensor without other owners is overwritten instead of copied.
    fn contiguous(tensor: FlexTensor) -> FlexTensor {
        tensor.to_contiguous()
    }

    fn host_like(tensor: &FlexTensor) -> FlexTensor {
        let shape = tensor.shape();
        FlexTensor::from_data(TensorData::new(vec![0f32; shape.num_elements()], shape))
    }

    fn host_values(tensor: &FlexTensor) -> &[f32] {
        tensor.storage()
    }

    fn host_values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
        tensor.storage_mut()
    }
}

#[cfg(feature = "cubecl")]
impl Host for burn::backend::Cube {
    fn is_host(_: &FloatTensor<Self>) -> bool {
        false
    }

    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor
    }

    fn host_like(_: &FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("no tensor is on the host")
    }

    fn host_values(_: &FloatTensor<Self>) -> &[f32] {
        unreachable!("no tensor is on the host")
    }

    fn host_values_mut(_: &mut FloatTensor<Self>) -> &mut [f32] {
        unreachable!("no tensor is on the host")
    }
}

#[cfg(feature = "tch")]
mod libtorch {
    use super::Host;
    use burn::backend::{LibTorch, libtorch::TchTensor};
    use tch::{Device, Kind};

    impl Host for LibTorch {
        fn is_host(tensor: &TchTensor) -> bool {
            tensor.tensor.device() == Device::Cpu && tensor.tensor.kind() == Kind::Float
        }

        fn contiguous(TchTensor { tensor, storage }: TchTensor) -> TchTensor {
            TchTensor::from_existing(tensor.contiguous(), storage)
        }

        fn host_like(tensor: &TchTensor) -> TchTensor {
            TchTensor::new(tensor.tensor.empty_like())
        }

        #[expect(unsafe_code, reason = "tch gives numbers as a pointer or as a copy")]
        fn host_values(tensor: &TchTensor) -> &[f32] {
            let tensor = checked(tensor);
            if tensor.numel() == 0 {
                return &[];
            }
            // SAFETY: a contiguous tensor has so many numbers of its kind at its pointer, for as long as it lives. Nobody writes
            // to them meanwhile: burn writes in place only to tensors that it alone holds, and this one is held here.
            unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
        }

        #[expect(unsafe_code, reason = "tch gives numbers as a pointer or as a copy")]
        fn host_values_mut(tensor: &mut TchTensor) -> &mut [f32] {
            if !tensor.can_mut() {
                *tensor = TchTensor::new(tensor.tensor.copy());
            }
            let tensor = checked(tensor);
            if tensor.numel() == 0 {
                return &mut [];
            }
            // SAFETY: as above, nobody else has the memory, and it is borrowed for as long as it is written to.
            unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
        }
    }

    fn checked(tensor: &TchTensor) -> &tch::Tensor {
        assert!(LibTorch::is_host(tensor) && tensor.tensor.is_contiguous());
        &tensor.tensor
    }
}

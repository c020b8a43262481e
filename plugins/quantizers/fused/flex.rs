//! The CPU's own backend: its tensors are plain numbers.

use super::{Bounds, FakeQuantize, Gradients, loops, primitives};
use burn::{
    backend::{Flex, flex::FlexTensor, tensor::FloatTensor},
    tensor::{DType, TensorData},
};

impl FakeQuantize for Flex {
    fn fake_quantize(values: FloatTensor<Self>, parameters: FloatTensor<Self>, bounds: Bounds) -> FloatTensor<Self> {
        if values.dtype() != DType::F32 {
            return primitives::forward::<Self>(values, parameters, bounds);
        }
        let (values, parameters) = (values.to_contiguous(), parameters.to_contiguous());
        let count = parameters.layout().shape()[0];
        let mut output = vec![0.0; values.layout().num_elements()];
        loops::forward(values.storage(), parameters.storage(), count, bounds, &mut output);
        FlexTensor::from_data(TensorData::new(output, values.layout().shape().clone()))
    }
}

impl Gradients for Flex {
    fn gradients(
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        bounds: Bounds,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if values.dtype() != DType::F32 {
            return primitives::backward::<Self>(values, parameters, gradient, bounds);
        }
        // The gradient is taken, so that one that nobody else has is written over.
        let (values, mut gradient) = (values.to_contiguous(), gradient.to_contiguous());
        let parameters = parameters.to_contiguous();
        let shape = parameters.layout().shape().clone();
        let of_parameters =
            loops::backward(values.storage(), parameters.storage(), shape[0], bounds, gradient.storage_mut());
        (gradient, FlexTensor::from_data(TensorData::new(of_parameters, shape)))
    }
}

//! Finds tensors of a pre-trained network that are all zero: pruned weights, dead activations. Quantization does not
//! change them, and their initial step sizes mean nothing.

use super::{Network, Plan, Role, SensitivityContext, TrainError};
use burn::tensor::Tensor;

impl SensitivityContext<'_> {
    /// The searchable layers whose weights are all zero, or whose inputs are all zero on the first batch of training
    /// images, in execution order.
    ///
    /// # Errors
    /// When the pre-trained parameters do not fit or a sample cannot be read.
    pub fn zeros(&self) -> Result<Vec<(String, Role)>, TrainError> {
        let plan = Plan::full_precision(self.graph.clone(), self.quantizer.clone());
        let network = Network::new(&plan, self.pretrained, self.train.device)?;
        let images = self.train.first_batch(self.recipe.batch_size)?;
        let layers = self.graph.layers();
        let mut zeros = vec![];
        network.forward_with(images, &mut |layer, input, kernel| {
            for (role, values) in [(Role::Weight, &kernel), (Role::Act, &input)] {
                if !layers[layer].fixed && all_zero(values.clone()) {
                    zeros.push((layers[layer].name.clone(), role));
                }
            }
            (input, kernel)
        });
        Ok(zeros)
    }
}

fn all_zero(values: Tensor<4>) -> bool {
    let largest: f32 = values.abs().max().into_scalar();
    largest == 0.0
}

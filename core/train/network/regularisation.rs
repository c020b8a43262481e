//! What quantizers know of the tensors of a network, and the terms that they add to the loss.

use super::{Bits, Network, forward::rows};
use crate::train::{Role, TensorInfo};
use burn::{module::Param, tensor::Tensor};

impl Network {
    /// The same network after this fraction of the steps of its training.
    pub fn at(self, progress: f64) -> Self {
        Self { progress, ..self }
    }

    /// What a quantizer knows of a layer's tensor.
    pub(super) fn info(&self, layer: usize, role: Role) -> TensorInfo<'_> {
        let (progress, role) = (self.progress, self.plan.nature(layer, role));
        let layer = &self.plan.layers[layer];
        TensorInfo { layer: &layer.name, role, fixed: layer.fixed, progress }
    }

    /// The sum of the quantizer's terms in the loss of a pass, of shape `[1]`; none if it has none.
    pub fn regularisation(&self, bits: &Bits) -> Option<Tensor<1>> {
        let quantized = bits.iter().enumerate().filter_map(|(layer, bits)| Some((layer, (*bits)?)));
        let terms = quantized.filter_map(|(layer, bits)| {
            let kernel = self.weights[layer].kernel.as_ref()?;
            let slot = self.slot(layer, Role::Weight, bits.weight);
            let parameters: Vec<Tensor<1>> = self.steps[layer].weight[slot].iter().map(Param::val).collect();
            let weights = rows(&self.plan, Role::Weight, kernel.val());
            let grid = self.plan.grid(layer, Role::Weight, bits);
            self.plan.quantizer.loss(&self.info(layer, Role::Weight), weights, &parameters, grid)
        });
        terms.reduce(|sum, next| sum + next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Builder, Conv},
        search::Precision,
        train::{Grid, NoIndicator, Plan, Quantizer, State},
    };
    use burn::tensor::Device;
    use std::sync::{Arc, Mutex};

    /// Rounds nothing, writes down what it is told, and has a term: the sum of all weights times its one parameter.
    #[derive(Default)]
    struct Spy {
        /// Groups of the weights of a channel.
        groups: usize,
        seen: Mutex<Vec<String>>,
    }

    impl Spy {
        fn see(&self, what: &str, tensor: &TensorInfo, values: &Tensor<2>) {
            let TensorInfo { layer, role, fixed, progress } = *tensor;
            let fixed = if fixed { " fixed" } else { "" };
            let line = format!("{what} {layer} {} {:?}{fixed} at {progress}", role.name(), values.dims());
            self.seen.lock().unwrap().push(line);
        }
    }

    impl Quantizer for Spy {
        fn per_channel(&self, role: Role) -> bool {
            role == Role::Weight
        }

        fn groups(&self, _: usize) -> usize {
            self.groups
        }

        fn init(&self, _: Role, values: Tensor<2>, _: Grid) -> Vec<Tensor<1>> {
            vec![Tensor::ones([values.dims()[0]], &values.device())]
        }

        fn quantize(&self, _: Role, _: Tensor<2>, _: &[Tensor<1>], _: Grid) -> Tensor<2> {
            unreachable!("networks call the other one")
        }

        fn quantize_tensor(&self, tensor: &TensorInfo, values: Tensor<2>, _: &[Tensor<1>], _: Grid) -> Tensor<2> {
            self.see("quantize", tensor, &values);
            values
        }

        fn loss(
            &self,
            weights: &TensorInfo,
            values: Tensor<2>,
            parameters: &[Tensor<1>],
            _: Grid,
        ) -> Option<Tensor<1>> {
            self.see("loss", weights, &values);
            let factors = parameters[0].clone().reshape([-1, 1]);
            (!weights.fixed).then(|| (values * factors).sum())
        }

        fn indicator(&self, _: Role, _: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
            Ok(1.0)
        }
    }

    #[test]
    fn quantizers_know_tensor_layer_and_progress_and_have_a_term_in_the_loss() {
        let (mut b, x) = Builder::new("two", "2x4x4".parse().unwrap(), 10);
        let x = b.fixed_conv("stem", x, Conv::new(4, 3));
        let x = b.conv("body", x, Conv::new(2, 3));
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        let graph = Arc::new(b.finish().unwrap());
        let spy = Arc::new(Spy { groups: 2, ..Spy::default() });
        let bits = Precision::uniform(4).unwrap();
        // The classifier runs in full precision.
        let passed = vec![Some(bits), Some(bits), None];
        let slots = passed.iter().map(|bits| bits.iter().copied().collect()).collect();
        let plan = Plan::new(graph.clone(), slots, spy.clone()).with_plain_images();
        let state = State::random(&graph, 1);
        let device = Device::flex().autodiff();
        let images = Tensor::ones([1, 2, 4, 4], &device);
        let network = Network::new(&plan, &state, &device).unwrap().calibrate(images.clone()).at(0.25);
        network.forward(images, &passed, true);
        let term = network.regularisation(&passed).unwrap();
        assert_eq!(
            *spy.seen.lock().unwrap(),
            [
                "quantize stem weight [8, 9] fixed at 0.25",
                "quantize body act [1, 64] at 0.25",
                "quantize body weight [4, 18] at 0.25",
                "loss stem weight [8, 9] fixed at 0.25",
                "loss body weight [4, 18] at 0.25",
            ]
        );
        let gradients = term.backward();
        let kernel = |layer: usize| network.weights[layer].kernel.as_ref().unwrap().val();
        let of_weights = kernel(1).grad(&gradients).unwrap();
        assert_eq!(of_weights.into_data().try_to_vec::<f32>().unwrap(), [1.0; 72]);
        let sums = network.steps[1].weight[0][0].val().grad(&gradients).unwrap();
        let weights = kernel(1).inner().reshape([4, 18]).sum_dim(1).reshape([4]);
        assert_eq!(sums.into_data(), weights.into_data());
        assert!(kernel(0).grad(&gradients).is_none(), "the stem has no term");
    }
}

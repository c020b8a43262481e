//! Initialisation of the quantization parameters of activations: from a full-precision forward pass, or per bit-width in a
//! training pass at that bit-width.

use super::{super::Role, Bits, Network, forward::rows, on};
use crate::{graph::Second, ops::Statistics, search::Precision};
use burn::{module::Param, tensor::Tensor};

/// Parameters of the operands that are activations, by layer and slot: first operands, then second ones of products.
type Initial = [Vec<Vec<Vec<Tensor<1>>>>; 2];

impl Network {
    /// Initialises the activation parameters from one batch, run in full precision with the running statistics.
    pub fn calibrate(self, images: Tensor<4>) -> Self {
        self.calibrate_on(&[images])
    }

    /// The same from several batches, combined by [`super::super::Quantizer::init_from_batches`].
    pub fn calibrate_on(self, batches: &[Tensor<4>]) -> Self {
        self.initialised(batches, |network, images, [first, second]| {
            network.run_all(images, &network.plan.no_bits(), Statistics::Running, &mut |layer, input, other| {
                for (slot, &bits) in network.plan.slots[layer].iter().enumerate() {
                    first[layer][slot] = network.init_of(layer, Role::Act, &input, bits);
                    second[layer][slot] = network.init_of(layer, Role::Weight, &other, bits);
                }
                (input, other)
            });
        })
    }

    /// Initialises the activation parameters as LIMPQ's code does: those of each bit-width in the first training pass at that
    /// bit-width, where the earlier layers are already quantized and batch-norms normalise with the batch's statistics. `passes`
    /// are the uniform ones of a step. Running statistics stay as they are: the step itself, on the same batch, moves them.
    /// Several batches are combined by [`super::super::Quantizer::init_from_batches`].
    pub fn init_quantized(self, batches: &[Tensor<4>], passes: &[Bits]) -> Self {
        self.initialised(batches, |network, images, [first, second]| {
            for bits in passes {
                network.run_all(images.clone(), bits, Statistics::Batch, &mut |layer, input, other| {
                    let Some(bits) = bits[layer] else { return (input, other) };
                    let parameters = network.init_of(layer, Role::Act, &input, bits);
                    let input = network.fake_quantize(layer, Role::Act, input, &parameters, bits);
                    first[layer][network.slot(layer, Role::Act, bits.act)] = parameters;
                    if !network.is_product(layer) {
                        return (input, network.quantized(layer, Role::Weight, other, bits.weight));
                    }
                    let parameters = network.init_of(layer, Role::Weight, &other, bits);
                    let other = network.fake_quantize(layer, Role::Weight, other, &parameters, bits);
                    second[layer][network.slot(layer, Role::Weight, bits.weight)] = parameters;
                    (input, other)
                });
            }
        })
    }

    /// Whether activation parameters are still to be initialised by [`Network::calibrate`].
    pub fn is_uncalibrated(&self) -> bool {
        let lacks = |(layer, steps): (usize, &super::QuantizationParameters)| {
            self.plan.quantizes(layer, Role::Act) && steps.act.iter().any(Vec::is_empty)
                || self.is_product(layer) && steps.weight.iter().any(Vec::is_empty)
        };
        self.steps.iter().enumerate().any(lacks)
    }

    /// `init` collects the initial parameters of one batch; the quantizer combines those of all batches.
    fn initialised(mut self, batches: &[Tensor<4>], init: impl Fn(&Self, Tensor<4>, &mut Initial)) -> Self {
        let device = self.weights.iter().find_map(|weights| Some(weights.kernel.as_ref()?.val().device()));
        let device = device.unwrap_or_else(|| batches[0].device());
        let none: Vec<Vec<Vec<Tensor<1>>>> = self.plan.slots.iter().map(|slots| vec![vec![]; slots.len()]).collect();
        let of_batch = |images: &Tensor<4>| {
            let mut initial = [none.clone(), none.clone()];
            init(&self, images.clone(), &mut initial);
            initial
        };
        let found: Vec<Initial> = batches.iter().map(of_batch).collect();
        let quantizer = self.plan.quantizer.clone();
        let combined = |operand: usize, layer: usize| -> Vec<Vec<Param<Tensor<1>>>> {
            let of_slot = |slot: usize| {
                let of_batches = found.iter().map(|initial| initial[operand][layer][slot].clone()).collect();
                let combined = quantizer.init_from_batches(of_batches).into_iter();
                combined.map(|values| Param::from_tensor(on(values, &device))).collect()
            };
            (0..found[0][operand][layer].len()).map(of_slot).collect()
        };
        let products: Vec<bool> = (0..self.steps.len()).map(|layer| self.is_product(layer)).collect();
        for (layer, steps) in self.steps.iter_mut().enumerate() {
            steps.act = combined(0, layer);
            if products[layer] {
                steps.weight = combined(1, layer);
            }
        }
        self
    }

    /// Whether both operands of a layer are activations.
    fn is_product(&self, layer: usize) -> bool {
        matches!(self.plan.layers[layer].second, Second::Activations { .. })
    }

    /// Initial parameters for the input of a layer; none for a tensor that is not quantized or not an activation.
    fn init_of(&self, layer: usize, role: Role, values: &Tensor<4>, bits: Precision) -> Vec<Tensor<1>> {
        if !self.plan.quantizes(layer, role) || self.plan.nature(layer, role) == Role::Weight {
            return vec![];
        }
        let rows = rows(&self.plan, Role::Act, values.clone().inner());
        self.plan.quantizer.init(Role::Act, rows, self.plan.grid(layer, role, bits))
    }
}

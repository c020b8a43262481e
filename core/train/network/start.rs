//! Where activation parameters start: in full precision, or each bit-width in a training pass of its own.

use super::{super::Role, Bits, Network, on, walk::rows};
use crate::{graph::Second, ops::Statistics, search::Precision};
use burn::{module::Param, tensor::Tensor};

/// Parameters of the operands that are activations, by layer and slot: first operands, then second ones of products.
type Started = [Vec<Vec<Vec<Tensor<1>>>>; 2];

impl Network {
    /// Starts the activation parameters from one batch, run in full precision with the running statistics.
    pub fn calibrate(self, images: Tensor<4>) -> Self {
        self.calibrate_on(&[images])
    }

    /// The same from several batches, by [`super::super::Quantizer::start_from_batches`].
    pub fn calibrate_on(self, batches: &[Tensor<4>]) -> Self {
        self.started(batches, |network, images, [first, second]| {
            network.walk(images, &network.plan.no_bits(), Statistics::Running, &mut |layer, input, other| {
                for (slot, &bits) in network.plan.slots[layer].iter().enumerate() {
                    first[layer][slot] = network.start_of(layer, Role::Act, &input, bits);
                    second[layer][slot] = network.start_of(layer, Role::Weight, &other, bits);
                }
                (input, other)
            });
        })
    }

    /// Starts the activation parameters as LIMPQ's code does: those of each bit-width in the first training pass at that
    /// bit-width, where the layers before are quantized already and batch-norms normalise with the batch's statistics. `passes`
    /// are the uniform ones of a step. Running statistics stay as they are: the step itself, on the same batch, moves them.
    /// From several batches: the mean of what each gives.
    pub fn start_quantized(self, batches: &[Tensor<4>], passes: &[Bits]) -> Self {
        self.started(batches, |network, images, [first, second]| {
            for bits in passes {
                network.walk(images.clone(), bits, Statistics::Batch, &mut |layer, input, other| {
                    let Some(bits) = bits[layer] else { return (input, other) };
                    let start = network.start_of(layer, Role::Act, &input, bits);
                    let input = network.fake_quantize(layer, Role::Act, input, &start, bits);
                    first[layer][network.slot(layer, Role::Act, bits.act)] = start;
                    if !network.is_product(layer) {
                        return (input, network.quantized(layer, Role::Weight, other, bits.weight));
                    }
                    let start = network.start_of(layer, Role::Weight, &other, bits);
                    let other = network.fake_quantize(layer, Role::Weight, other, &start, bits);
                    second[layer][network.slot(layer, Role::Weight, bits.weight)] = start;
                    (input, other)
                });
            }
        })
    }

    /// Whether activation parameters are still to be started by [`Network::calibrate`].
    pub fn is_uncalibrated(&self) -> bool {
        let lacks = |(layer, steps): (usize, &super::Steps)| {
            self.plan.quantizes(layer, Role::Act) && steps.act.iter().any(Vec::is_empty)
                || self.is_product(layer) && steps.weight.iter().any(Vec::is_empty)
        };
        self.steps.iter().enumerate().any(lacks)
    }

    /// With what the quantizer makes of what each batch gives.
    fn started(mut self, batches: &[Tensor<4>], start: impl Fn(&Self, Tensor<4>, &mut Started)) -> Self {
        let device = self.weights.iter().find_map(|weights| Some(weights.kernel.as_ref()?.val().device()));
        let device = device.unwrap_or_else(|| batches[0].device());
        let none: Vec<Vec<Vec<Tensor<1>>>> = self.plan.slots.iter().map(|slots| vec![vec![]; slots.len()]).collect();
        let of_batch = |images: &Tensor<4>| {
            let mut started = [none.clone(), none.clone()];
            start(&self, images.clone(), &mut started);
            started
        };
        let found: Vec<Started> = batches.iter().map(of_batch).collect();
        let quantizer = self.plan.quantizer.clone();
        let combined = |operand: usize, layer: usize| -> Vec<Vec<Param<Tensor<1>>>> {
            let start = |slot: usize| {
                let of_batches = found.iter().map(|started| started[operand][layer][slot].clone()).collect();
                let start = quantizer.start_from_batches(of_batches).into_iter();
                start.map(|values| Param::from_tensor(on(values, &device))).collect()
            };
            (0..found[0][operand][layer].len()).map(start).collect()
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

    /// Parameters to start from, given what reaches a layer; none for what is not quantized, or not an activation.
    fn start_of(&self, layer: usize, role: Role, values: &Tensor<4>, bits: Precision) -> Vec<Tensor<1>> {
        if !self.plan.quantizes(layer, role) || self.plan.nature(layer, role) == Role::Weight {
            return vec![];
        }
        let rows = rows(&self.plan, Role::Act, values.clone().inner());
        self.plan.quantizer.start(Role::Act, rows, self.plan.grid(layer, role, bits))
    }
}

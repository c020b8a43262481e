//! Where activation parameters start: in full precision, or each bit-width in a training pass of its own.

use super::{super::Role, Bits, Network, on, walk::rows};
use crate::search::Precision;
use burn::{module::Param, tensor::Tensor};

/// Activation parameters by layer and slot.
type Started = Vec<Vec<Vec<Tensor<1>>>>;

impl Network {
    /// Starts the activation parameters from one batch, run in full precision with the running statistics.
    pub fn calibrate(self, images: Tensor<4>) -> Self {
        self.calibrate_on(&[images])
    }

    /// The same from several batches, by [`super::super::Quantizer::start_from_batches`].
    pub fn calibrate_on(self, batches: &[Tensor<4>]) -> Self {
        self.started(batches, |network, images, started| {
            network.walk(images, &network.plan.no_bits(), None, &mut |layer, input, kernel| {
                for (slot, &bits) in network.plan.slots[layer].iter().enumerate() {
                    started[layer][slot] = network.start_of(layer, &input, bits);
                }
                (input, kernel)
            });
        })
    }

    /// Starts the activation parameters as LIMPQ's code does: those of each bit-width in the first training pass at that
    /// bit-width, where the layers before are quantized already and batch-norms normalise with the batch's statistics. `passes`
    /// are the uniform ones of a step. Running statistics stay as they are: the step itself, on the same batch, moves them.
    /// From several batches: the mean of what each gives.
    pub fn start_quantized(self, batches: &[Tensor<4>], passes: &[Bits]) -> Self {
        self.started(batches, |network, images, started| {
            for bits in passes {
                // A momentum of 0: the batch's statistics, and nothing kept of them.
                network.walk(images.clone(), bits, Some(0.0), &mut |layer, input, kernel| {
                    let Some(bits) = bits[layer] else { return (input, kernel) };
                    let start = network.start_of(layer, &input, bits);
                    let input = network.fake_quantize(layer, Role::Act, input, &start, bits);
                    started[layer][network.slot(layer, Role::Act, bits.act)] = start;
                    (input, network.quantized(layer, Role::Weight, kernel, bits.weight))
                });
            }
        })
    }

    /// Whether activation parameters are still to be started by [`Network::calibrate`].
    pub fn is_uncalibrated(&self) -> bool {
        let lacks = |(layer, steps): (usize, &super::Steps)| {
            self.plan.quantizes(layer, Role::Act) && steps.act.iter().any(Vec::is_empty)
        };
        self.steps.iter().enumerate().any(lacks)
    }

    /// With what the quantizer makes of what each batch gives.
    fn started(mut self, batches: &[Tensor<4>], start: impl Fn(&Self, Tensor<4>, &mut Started)) -> Self {
        let device = self.weights[0].kernel.val().device();
        let empty: Started = self.plan.slots.iter().map(|slots| vec![vec![]; slots.len()]).collect();
        let of_batch = |images: &Tensor<4>| {
            let mut started = empty.clone();
            start(&self, images.clone(), &mut started);
            started
        };
        let found: Vec<Started> = batches.iter().map(of_batch).collect();
        let quantizer = self.plan.quantizer.clone();
        for (layer, steps) in self.steps.iter_mut().enumerate() {
            let start = |slot: usize| {
                let of_batches = found.iter().map(|started: &Started| started[layer][slot].clone()).collect();
                let start = quantizer.start_from_batches(of_batches).into_iter();
                start.map(|numbers| Param::from_tensor(on(numbers, &device))).collect()
            };
            steps.act = (0..found[0][layer].len()).map(start).collect();
        }
        self
    }

    /// Parameters to start from, given what reaches a layer; none where its input is not quantized.
    fn start_of(&self, layer: usize, input: &Tensor<4>, bits: Precision) -> Vec<Tensor<1>> {
        if !self.plan.quantizes(layer, Role::Act) {
            return vec![];
        }
        let rows = rows(&self.plan, Role::Act, input.clone().inner());
        self.plan.quantizer.start(Role::Act, rows, self.plan.grid(layer, Role::Act, bits))
    }
}

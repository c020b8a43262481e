//! Running a network: the way from images to scores, with fake quantization at the inputs of each layer.

use super::{
    super::{Role, kernels},
    Bits, Network, Outputs, Plan, host,
};
use crate::{
    graph::NodeId,
    ops::{Call, Operand, Statistics},
    search::{BitWidth, Precision},
};
use burn::{module::Param, tensor::Tensor};

/// One step of training.
pub(super) const TRAIN: Statistics = Statistics::Train { passes: 1 };

impl Network {
    /// Class scores `[batch, classes]` of images `[batch, channels, height, width]` with every layer at the given bits.
    /// `training` normalises with the batch's statistics and updates the running ones.
    pub fn forward(&self, images: Tensor<4>, bits: &Bits, training: bool) -> Tensor<2> {
        self.run_all(images, bits, if training { TRAIN } else { Statistics::Running }, &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        })
    }

    /// Class scores in full precision, but with the input and weights of each layer (its place in [`Plan::layers`]) as
    /// `prepare` gives them back. It may look, or replace tensors by others of the same shape. Batch-norms use the first of
    /// their copies; in an untrained network all copies are the pre-trained one.
    pub fn forward_with(
        &self,
        images: Tensor<4>,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> Tensor<2> {
        self.run_all(images, &self.plan.no_bits(), Statistics::Running, prepare)
    }

    /// A layer's weights or input activations rounded to the grid of one of its bit-widths.
    pub fn quantized(&self, layer: usize, role: Role, values: Tensor<4>, bits: BitWidth) -> Tensor<4> {
        let slot = self.slot(layer, role, bits);
        let parameters = match role {
            Role::Weight => &self.steps[layer].weight[slot],
            Role::Act => &self.steps[layer].act[slot],
        };
        let parameters: Vec<Tensor<1>> = parameters.iter().map(Param::val).collect();
        self.fake_quantize(layer, role, values, &parameters, Precision { weight: bits, act: bits })
    }

    /// Moves the running statistics of batch-norms towards those of a batch by a share of the way; 1 replaces them.
    pub fn observe(&self, images: Tensor<4>, bits: &Bits, share: f64) {
        self.run_all(images, bits, Statistics::Observe { share }, &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
    }

    /// The first values of a forward pass, before the logits, that are not finite, in words. `training` is as in
    /// [`Self::forward`], but no running statistics move.
    pub fn not_finite(&self, images: Tensor<4>, bits: &Bits, training: bool) -> Option<String> {
        let mut place = None;
        let finite = |tensor: &Tensor<4>| host(tensor.clone()).iter().all(|value| value.is_finite());
        let statistics = if training { Statistics::Batch } else { Statistics::Running };
        self.run_all(images, bits, statistics, &mut |layer, input, kernel| {
            let name = &self.plan.layers[layer].name;
            if place.is_none() && !finite(&kernel) {
                place = Some(format!("the weights of layer {name}"));
            }
            if place.is_none() && !finite(&input) {
                place = Some(format!("the activations that reach layer {name}"));
            }
            let (input, kernel) = self.prepared(layer, bits[layer], input, kernel);
            if place.is_none() && !(finite(&kernel) && finite(&input)) {
                place = Some(format!("the quantized tensors of layer {name}"));
            }
            (input, kernel)
        });
        place
    }

    /// Input and weights of a layer as its convolution sees them.
    pub(super) fn prepared(
        &self,
        layer: usize,
        bits: Option<Precision>,
        input: Tensor<4>,
        kernel: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let Some(bits) = bits else { return (input, kernel) };
        let input = match self.plan.quantizes(layer, Role::Act) {
            true => self.quantized(layer, Role::Act, input, bits.act),
            false => input,
        };
        (input, self.quantized(layer, Role::Weight, kernel, bits.weight))
    }

    /// The values rounded with these parameters of the quantizer.
    pub(super) fn fake_quantize(
        &self,
        layer: usize,
        role: Role,
        values: Tensor<4>,
        parameters: &[Tensor<1>],
        bits: Precision,
    ) -> Tensor<4> {
        let shape = values.dims();
        let grid = self.plan.grid(layer, role, bits);
        let tensor = self.info(layer, role);
        let nature = tensor.role;
        let quantize = |rows| self.plan.quantizer.quantize_tensor(&tensor, rows, parameters, grid);
        match (self.plan.quantizer.per_channel(nature), nature) {
            (false, Role::Act) => {
                let kernel = self.weights[layer].kernel.as_ref();
                // Products of two activations are never computed with channels last.
                let weights = kernel.map_or(usize::MAX, |kernel| kernel.val().dims().iter().product());
                kernels::in_memory_order(values, weights, quantize)
            }
            (true, Role::Act) => {
                let [batch, channels, height, width] = shape;
                let quantized = quantize(rows(&self.plan, nature, values));
                quantized.reshape([channels, batch, height, width]).swap_dims(0, 1)
            }
            (_, Role::Weight) => quantize(rows(&self.plan, nature, values)).reshape(shape),
        }
    }

    /// Runs the graph; `prepare` sees and may replace the two operands of each layer: its input, and its weights or the other
    /// input of a product.
    pub(super) fn run_all(
        &self,
        images: Tensor<4>,
        bits: &Bits,
        statistics: Statistics,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> Tensor<2> {
        let graph = &self.plan.graph;
        let (all, last) = (vec![true; graph.nodes.len()], graph.nodes.len() - 1);
        let mut outputs = Outputs::new(graph, &all, &[last]);
        outputs.put(0, images);
        self.run(&mut outputs, &all, bits, statistics, prepare);
        flat(outputs.read(last))
    }

    /// Runs some of the nodes, as [`Self::run_all`] runs all. What they read of others must have been put into the outputs, the
    /// network's input, node 0, too.
    pub(super) fn run(
        &self,
        outputs: &mut Outputs,
        runs: &[bool],
        bits: &Bits,
        statistics: Statistics,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) {
        let (mut layers, mut others) = (0.., 0..);
        for (id, node) in self.plan.graph.nodes.iter().enumerate() {
            let mut next = || layers.next().expect("they are endless");
            let layer = self.plan.graph.is_layer(id).then(&mut next);
            let has_values = layer.is_none() && !self.plan.parameters[id].is_empty();
            let other = has_values.then(|| others.next().expect("they are endless"));
            if !runs[id] || node.inputs.is_empty() {
                continue;
            }
            let mut call = Call {
                inputs: node.inputs.iter().map(|&input| outputs.read(input)).collect(),
                weight: None,
                statistics,
                arithmetic: self.arithmetic,
                parameters: &self.plan.parameters[id],
                learned: &[],
                running: &[],
            };
            if let Some(layer) = layer {
                call.learned = &self.weights[layer].learned;
                self.prepare(layer, &mut call, node.op.operands().expect("it is a layer"), prepare);
            }
            if let Some(other) = other {
                let copy = &self.others[other][self.copy(id, other, bits)];
                (call.learned, call.running) = (&copy.learned, &copy.running);
            }
            outputs.put(id, node.op.forward(call));
        }
    }

    /// Has the operands of a layer prepared.
    fn prepare(
        &self,
        layer: usize,
        call: &mut Call<'_>,
        [first, second]: [Operand; 2],
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) {
        let Operand::Input(first) = first else { unreachable!("the first operand of a layer is an input") };
        match second {
            Operand::Weight => {
                let kernel = self.weights[layer].kernel.as_ref().expect("the operator asked for weights").val();
                let (input, kernel) = prepare(layer, call.inputs.remove(first), kernel);
                call.inputs.insert(first, input);
                call.weight = Some(kernel);
            }
            Operand::Input(second) => {
                let (input, other) = prepare(layer, call.inputs[first].clone(), call.inputs[second].clone());
                (call.inputs[first], call.inputs[second]) = (input, other);
            }
        }
    }

    /// The copy of a node's parameters for the weight bits of the layer that it reads, if there are several.
    fn copy(&self, node: NodeId, other: usize, bits: &Bits) -> usize {
        if self.others[other].len() == 1 {
            return 0;
        }
        let layer = self.plan.graph.normalised_layer(node);
        let layer = layer.and_then(|node| self.plan.layers.iter().position(|layer| layer.node == node));
        layer.and_then(|layer| Some(self.slot(layer, Role::Weight, bits[layer]?.weight))).unwrap_or_default()
    }
}

/// Logits `[batch, classes, 1, 1]` without their pixels; a network that ends otherwise has its values side by side.
pub(super) fn flat(logits: Tensor<4>) -> Tensor<2> {
    let [batch, classes, height, width] = logits.dims();
    logits.reshape([batch, classes * height * width])
}

/// A tensor as the rows that a quantizer works on: one in all, one for each channel, or one for each group of a channel's weights.
pub(super) fn rows(plan: &Plan, role: Role, values: Tensor<4>) -> Tensor<2> {
    let [first, second, height, width] = values.dims();
    match (plan.quantizer.per_channel(role), role) {
        (false, _) => values.reshape([1, first * second * height * width]),
        (true, Role::Weight) => {
            let elements = second * height * width;
            let groups = plan.quantizer.groups(elements);
            values.reshape([first * groups, elements / groups])
        }
        (true, Role::Act) => values.swap_dims(0, 1).reshape([second, first * height * width]),
    }
}

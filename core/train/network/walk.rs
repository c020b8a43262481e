//! Running a network: the way from images to scores, with fake quantization at the inputs of each layer.

use super::{
    super::{
        Arithmetic, Role,
        kernels::{self, Normalised, Window},
    },
    Bits, Network, Norm, Outputs, Plan, Weights, host,
};
use crate::{
    graph::Op,
    search::{BitWidth, Precision},
};
use burn::{
    module::Param,
    tensor::{
        FloatDType, Tensor,
        module::{adaptive_avg_pool2d, max_pool2d},
        ops::MaxPoolOptions,
    },
};

/// What batch-norm adds to a variance, as PyTorch does.
pub const EPSILON: f64 = 1e-5;
pub(super) const MOMENTUM: f64 = 0.1;

impl Network {
    /// Class scores `[batch, classes]` of images `[batch, channels, height, width]` with every layer at the given bits.
    /// `training` normalises with the batch's statistics and updates the running ones.
    pub fn forward(&self, images: Tensor<4>, bits: &Bits, training: bool) -> Tensor<2> {
        self.walk(images, bits, training.then_some(MOMENTUM), &mut |layer, input, kernel| {
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
        self.walk(images, &self.plan.no_bits(), None, prepare)
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
        self.walk(images, bits, Some(share), &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
    }

    /// The first values of a forward pass, before the logits, that are not finite, in words. `training` is as in
    /// [`Self::forward`], but no running statistics move.
    pub fn not_finite(&self, images: Tensor<4>, bits: &Bits, training: bool) -> Option<String> {
        let mut place = None;
        let finite = |tensor: &Tensor<4>| host(tensor.clone()).iter().all(|value| value.is_finite());
        self.walk(images, bits, training.then_some(0.0), &mut |layer, input, kernel| {
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
        let quantize = |rows| self.plan.quantizer.quantize_tensor(&tensor, rows, parameters, grid);
        match (self.plan.quantizer.per_channel(role), role) {
            (false, Role::Act) => {
                let weights = self.weights[layer].kernel.val().dims().iter().product();
                kernels::in_memory_order(values, weights, quantize)
            }
            (true, Role::Act) => {
                let [batch, channels, height, width] = shape;
                let quantized = quantize(rows(&self.plan, role, values));
                quantized.reshape([channels, batch, height, width]).swap_dims(0, 1)
            }
            (_, Role::Weight) => quantize(rows(&self.plan, role, values)).reshape(shape),
        }
    }

    /// Runs the graph; `prepare` sees and may replace the input and the weights of each layer. With a `momentum`,
    /// batch-norms use the batch's statistics and move the running ones towards them by this share.
    pub(super) fn walk(
        &self,
        images: Tensor<4>,
        bits: &Bits,
        momentum: Option<f64>,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> Tensor<2> {
        let graph = &self.plan.graph;
        let (all, last) = (vec![true; graph.nodes.len()], graph.nodes.len() - 1);
        let mut outputs = Outputs::new(graph, &all, &[last]);
        outputs.put(0, images);
        self.run(&mut outputs, &all, bits, momentum, prepare);
        flat(outputs.read(last))
    }

    /// Runs some of the nodes, as [`Self::walk`] runs all. What they read of others must have been put into the outputs, the
    /// network's input, node 0, too.
    pub(super) fn run(
        &self,
        outputs: &mut Outputs,
        runs: &[bool],
        bits: &Bits,
        momentum: Option<f64>,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) {
        let (mut layers, mut norms) = (0.., 0..);
        for (id, node) in self.plan.graph.nodes.iter().enumerate() {
            let layer = || layers.next().expect("they are endless");
            let layer = matches!(node.op, Op::Conv(_) | Op::Linear { .. }).then(layer);
            let norm = (node.op == Op::BatchNorm).then(|| norms.next().expect("they are endless"));
            if !runs[id] || node.op == Op::Input {
                continue;
            }
            let mut inputs = node.inputs.iter().map(|&input| outputs.read(input)).collect::<Vec<_>>().into_iter();
            let mut input = || inputs.next().expect("an operation has its inputs");
            let output = match &node.op {
                Op::Input => unreachable!("it was passed over"),
                Op::Relu => kernels::relu(input()),
                Op::Add => input() + input(),
                Op::Concat => Tensor::cat(inputs.collect(), 1),
                Op::MaxPool { kernel, stride, padding } => {
                    let (k, s, p) = (*kernel, *stride, *padding);
                    max_pool2d(input(), MaxPoolOptions::new([k, k]).with_stride([s, s]).with_padding([p, p]))
                }
                Op::GlobalAvgPool => adaptive_avg_pool2d(input(), [1, 1]),
                Op::BatchNorm => {
                    let copy = self.norm_copy(id, norm.expect("it was counted"), bits);
                    copy.forward(input(), momentum)
                }
                Op::Conv(conv) => {
                    let window = Window::square(conv.stride, conv.padding, conv.groups);
                    self.layer(layer.expect("it was counted"), input(), window, prepare)
                }
                Op::Linear { .. } => {
                    let input = input();
                    let [batch, channels, height, width] = input.dims();
                    let input = input.reshape([batch, channels * height * width, 1, 1]);
                    self.layer(layer.expect("it was counted"), input, Window::POINT, prepare)
                }
            };
            outputs.put(id, output);
        }
    }

    fn layer(
        &self,
        layer: usize,
        input: Tensor<4>,
        window: Window,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> Tensor<4> {
        let weights = &self.weights[layer];
        let (x, kernel) = prepare(layer, input, weights.kernel.val());
        self.multiply(x, kernel, weights, window)
    }

    fn multiply(&self, x: Tensor<4>, kernel: Tensor<4>, weights: &Weights, window: Window) -> Tensor<4> {
        let product = match self.arithmetic {
            Arithmetic::Float32 => kernels::convolution(x, kernel, window),
            Arithmetic::BFloat16 => {
                let half = FloatDType::BF16;
                kernels::convolution(x.cast(half), kernel.cast(half), window).cast(FloatDType::F32)
            }
        };
        match &weights.bias {
            None => product,
            Some(bias) => product + bias.val().reshape([1, -1, 1, 1]),
        }
    }

    /// The copy for the weight bits of the convolution before it, if there are several.
    fn norm_copy(&self, node: usize, norm: usize, bits: &Bits) -> &Norm {
        let copies = &self.norms[norm];
        let layer = self.plan.graph.normalised_layer(node);
        let layer = layer.and_then(|node| self.plan.layers.iter().position(|layer| layer.node == node));
        let slot = match layer.and_then(|layer| Some(self.slot(layer, Role::Weight, bits[layer]?.weight))) {
            Some(slot) if copies.len() > 1 => slot,
            _ => 0,
        };
        &copies[slot]
    }
}

impl Norm {
    fn forward(&self, input: Tensor<4>, momentum: Option<f64>) -> Tensor<4> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        let Some(momentum) = momentum else {
            let statistics = [gamma, beta, self.mean.value(), self.variance.value()];
            return kernels::batch_norm_evaluated(input, statistics, EPSILON);
        };
        let [batch, _, height, width] = input.dims();
        let count = (batch * height * width) as f64;
        let Normalised { output, mean, variance } = kernels::batch_norm(input, gamma, beta, EPSILON);
        if momentum == 0.0 {
            return output;
        }
        // As PyTorch: the running variance is the unbiased one.
        let unbiased = variance.mul_scalar(count / (count - 1.0).max(1.0));
        for (running, batch) in [(&self.mean, mean), (&self.variance, unbiased)] {
            let old = running.value_sync();
            running.update((old.mul_scalar(1.0 - momentum) + batch.mul_scalar(momentum)).detach());
        }
        output
    }
}

/// Scores `[batch, classes, 1, 1]` without their pixels.
pub(super) fn flat(scores: Tensor<4>) -> Tensor<2> {
    let [batch, classes, ..] = scores.dims();
    scores.reshape([batch, classes])
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

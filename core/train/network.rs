//! A graph as one burn module: weights, batch-norm copies for each bit-width, and fake quantization at the inputs of
//! every convolution and fully connected layer.

use super::{
    Arithmetic, Grid, NoIndicator, Quantizer, Role, StepSize,
    state::{Array, State, StateError, has_bias, weight_shape},
};
use crate::{
    graph::{Graph, Layer, Op},
    search::{BitWidth, Precision},
};
use burn::{
    module::{Module, Param, ParamId, RunningState},
    tensor::{
        Device, FloatDType, Tensor, TensorData,
        module::{adaptive_avg_pool2d, batch_norm, batch_norm_train, conv2d, max_pool2d},
        ops::{ConvOptions, MaxPoolOptions},
    },
};
use std::{cell::Cell, fmt, sync::Arc};

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// The bits of every layer for one pass, in the order of [`Graph::layers`]; `None` is full precision.
pub type Bits = Vec<Option<Precision>>;

/// What a network is made for: its graph, and the bit-widths that each layer can run at.
#[derive(Clone)]
pub struct Plan {
    /// The network's description.
    pub graph: Arc<Graph>,
    /// Its layers in execution order.
    pub layers: Vec<Layer>,
    /// Bit-widths of each layer's weights and activations; a layer without any runs in full precision.
    pub slots: Vec<Vec<Precision>>,
    /// How tensors are quantized.
    pub quantizer: Arc<dyn Quantizer>,
}

impl Plan {
    /// A network whose layers can run at these precisions, in the order of [`Graph::layers`].
    pub fn new(graph: Arc<Graph>, slots: Vec<Vec<Precision>>, quantizer: Arc<dyn Quantizer>) -> Self {
        let layers = graph.layers();
        assert_eq!(layers.len(), slots.len(), "there is a list of bit-widths for each layer");
        Self { graph, layers, slots, quantizer }
    }

    /// A network in full precision only.
    pub fn full_precision(graph: Arc<Graph>, quantizer: Arc<dyn Quantizer>) -> Self {
        let slots = graph.layers().iter().map(|_| vec![]).collect();
        Self::new(graph, slots, quantizer)
    }

    /// Every layer in full precision, for one pass.
    pub fn no_bits(&self) -> Bits {
        vec![None; self.layers.len()]
    }

    fn grid(&self, layer: usize, role: Role, bits: Precision) -> Grid {
        match role {
            Role::Weight => Grid { bits: bits.weight, signed: true },
            Role::Act => Grid { bits: bits.act, signed: self.layers[layer].signed_input },
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({}, {} layers)", self.graph.model, self.layers.len())
    }
}

/// Weights of one layer; a fully connected layer is a 1x1 convolution of the flattened input.
#[derive(Module, Debug)]
struct Weights {
    kernel: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
}

/// One copy of a batch-norm's numbers.
#[derive(Module, Debug)]
struct Norm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    mean: RunningState<Tensor<1>>,
    variance: RunningState<Tensor<1>>,
}

/// Quantization parameters of one layer: for each slot, each of the quantizer's parameters.
#[derive(Module, Debug)]
struct Steps {
    weight: Vec<Vec<Param<Tensor<1>>>>,
    act: Vec<Vec<Param<Tensor<1>>>>,
}

/// A runnable network.
#[derive(Module, Debug)]
pub struct Network {
    weights: Vec<Weights>,
    norms: Vec<Vec<Norm>>,
    steps: Vec<Steps>,
    #[module(skip)]
    plan: Plan,
    #[module(skip)]
    arithmetic: Arithmetic,
}

impl Network {
    /// A network with these numbers on this device.
    ///
    /// Batch-norm copies and quantization parameters that the state does not have are started: the copies from the one
    /// that is there, weight parameters from the weights. Activation parameters wait for [`Network::calibrate`].
    ///
    /// # Errors
    /// When the state is another model's.
    pub fn new(plan: &Plan, state: &State, device: &Device) -> Result<Self, StateError> {
        // Numbered in order of making, so that an optimizer's memory that was saved fits the same network made again.
        let number = Cell::new(0);
        let id = || ParamId::from(number.replace(number.get() + 1));
        let param = |array: &Array| learned(id(), tensor1(array, device));
        let mut weights = vec![];
        let mut steps = vec![];
        for (index, layer) in plan.layers.iter().enumerate() {
            let array = state.get(&format!("{}.weight", layer.name), &weight_shape(&plan.graph, layer))?;
            let mut shape = [1; 4];
            shape[..array.shape.len()].copy_from_slice(&array.shape);
            let kernel = Tensor::<4>::from_data(TensorData::new(array.values.clone(), shape), device);
            let bias = match has_bias(&plan.graph, layer) {
                true => Some(param(state.get(&format!("{}.bias", layer.name), &[layer.out_shape.channels])?)),
                false => None,
            };
            let saved = |role: Role, bits: Precision| {
                let prefix = step_name(layer, role, bits);
                let arrays = (0..).map_while(|place| state.0.get(&format!("{prefix}.{place}")));
                arrays.map(param).collect::<Vec<_>>()
            };
            let weight_steps = plan.slots[index].iter().map(|&bits| match saved(Role::Weight, bits) {
                parameters if !parameters.is_empty() => parameters,
                _ => {
                    let rows = rows(plan, Role::Weight, kernel.clone().inner());
                    let start = plan.quantizer.start(Role::Weight, rows, plan.grid(index, Role::Weight, bits));
                    start.into_iter().map(|values| learned(id(), on(values, device))).collect()
                }
            });
            let weight = weight_steps.collect();
            let act = plan.slots[index].iter().map(|&bits| saved(Role::Act, bits)).collect();
            steps.push(Steps { weight, act });
            weights.push(Weights { kernel: learned(id(), kernel), bias });
        }
        let mut norms = vec![];
        for (node, copies) in plan.norms() {
            let channels = [plan.graph.nodes[node].shape.channels];
            let plain = plan.graph.nodes[node].name.as_str();
            let of = |copy: &Option<BitWidth>| {
                // A single copy of a network that had several: the one for the bits that are left.
                let own = norm_name(plain, copy.or_else(|| plan.only_bits(node)));
                let name = if state.0.contains_key(&format!("{own}.weight")) { own.as_str() } else { plain };
                let part = |part: &str| state.get(&format!("{name}.{part}"), &channels);
                Ok(Norm {
                    gamma: param(part("weight")?),
                    beta: param(part("bias")?),
                    mean: RunningState::new(tensor1(part("running_mean")?, device)),
                    variance: RunningState::new(tensor1(part("running_var")?, device)),
                })
            };
            norms.push(copies.iter().map(of).collect::<Result<_, StateError>>()?);
        }
        Ok(Self { weights, norms, steps, plan: plan.clone(), arithmetic: Arithmetic::Float32 })
    }

    /// What the network is made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The same network, with other numbers in its convolutions.
    pub fn computing(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Class scores `[batch, classes]` of images `[batch, channels, height, width]` with every layer at the given bits.
    /// `training` normalises with the batch's statistics and updates the running ones.
    pub fn forward(&self, images: Tensor<4>, bits: &Bits, training: bool) -> Tensor<2> {
        self.walk(images, bits, training.then_some(MOMENTUM), &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        })
    }

    /// Class scores in full precision, but with the input and weights of each layer (its place in [`Graph::layers`]) as
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
        self.fake_quantize(layer, role, values, parameters, Precision { weight: bits, act: bits })
    }

    /// Moves the running statistics of batch-norms towards those of a batch by a share of the way; 1 replaces them.
    pub fn observe(&self, images: Tensor<4>, bits: &Bits, share: f64) {
        self.walk(images, bits, Some(share), &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
    }

    /// The first numbers on the way from images to scores that are not finite, in words.
    pub fn not_finite(&self, images: Tensor<4>, bits: &Bits) -> Option<String> {
        let mut place = None;
        let finite = |tensor: &Tensor<4>| host(tensor.clone()).iter().all(|value| value.is_finite());
        self.walk(images, bits, Some(MOMENTUM), &mut |layer, input, kernel| {
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
    fn prepared(
        &self,
        layer: usize,
        bits: Option<Precision>,
        input: Tensor<4>,
        kernel: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let Some(bits) = bits else { return (input, kernel) };
        (self.quantized(layer, Role::Act, input, bits.act), self.quantized(layer, Role::Weight, kernel, bits.weight))
    }

    /// Starts the activation parameters from one batch, run in full precision.
    pub fn calibrate(mut self, images: Tensor<4>) -> Self {
        let device = self.weights[0].kernel.val().device();
        let mut act: Vec<Vec<Vec<Param<Tensor<1>>>>> = vec![vec![]; self.steps.len()];
        let plan = &self.plan;
        self.walk(images, &plan.no_bits(), None, &mut |layer, input, kernel| {
            act[layer] = plan.slots[layer]
                .iter()
                .map(|&bits| {
                    let rows = rows(plan, Role::Act, input.clone().inner());
                    let start = plan.quantizer.start(Role::Act, rows, plan.grid(layer, Role::Act, bits));
                    start.into_iter().map(|values| Param::from_tensor(on(values, &device))).collect()
                })
                .collect();
            (input, kernel)
        });
        for (steps, act) in self.steps.iter_mut().zip(act) {
            steps.act = act;
        }
        self
    }

    /// Whether activation parameters are still to be started by [`Network::calibrate`].
    pub fn is_uncalibrated(&self) -> bool {
        self.steps.iter().any(|steps| steps.act.iter().any(Vec::is_empty))
    }

    /// Brings quantization parameters back into their domain after an optimizer step.
    pub fn project(mut self) -> Self {
        let quantizer = self.plan.quantizer.clone();
        for slot in self.steps.iter_mut().flat_map(|steps| steps.weight.iter_mut().chain(steps.act.iter_mut())) {
            let values = slot.iter().map(|parameter| parameter.val().inner()).collect();
            let projected = quantizer.project(values);
            let device = |parameter: &Param<Tensor<1>>| parameter.val().device();
            *slot = std::mem::take(slot)
                .into_iter()
                .zip(projected)
                .map(|(parameter, value)| {
                    let value = on(value, &device(&parameter)).require_grad();
                    Param::initialized(parameter.id, value)
                })
                .collect();
        }
        self
    }

    /// The numbers of the quantization parameters of one layer and tensor at one of its precisions.
    pub fn parameters(&self, layer: usize, role: Role, bits: Precision) -> Vec<Vec<f32>> {
        let of = match role {
            Role::Weight => &self.steps[layer].weight[self.slot(layer, role, bits.weight)],
            Role::Act => &self.steps[layer].act[self.slot(layer, role, bits.act)],
        };
        of.iter().map(|parameter| host(parameter.val())).collect()
    }

    /// The importance indicator of one layer and tensor at one of its precisions.
    ///
    /// # Errors
    /// When the quantizer has none.
    pub fn indicator(&self, layer: usize, role: Role, bits: Precision) -> Result<f64, NoIndicator> {
        self.plan.quantizer.indicator(role, &self.parameters(layer, role, bits), self.plan.grid(layer, role, bits))
    }

    /// The step sizes of all layers and bit-widths, for those who watch; none of a quantizer that keeps none.
    pub fn step_sizes(&self) -> Vec<StepSize> {
        let mut sizes = vec![];
        for (index, layer) in self.plan.layers.iter().enumerate() {
            for (&bits, role) in self.plan.slots[index].iter().flat_map(|bits| Role::BOTH.map(|role| (bits, role))) {
                if let Ok(value) = self.indicator(index, role, bits) {
                    let bits = if role == Role::Weight { bits.weight } else { bits.act };
                    sizes.push(StepSize { layer: layer.name.clone(), role, bits, value });
                }
            }
        }
        sizes
    }

    /// Identifiers of the parameters that weight decay applies to: weights, and quantization parameters of a quantizer
    /// that asks for it; not biases and batch-norms.
    pub fn decayed(&self) -> Vec<burn::module::ParamId> {
        let quantizer = &self.plan.quantizer;
        let of = |role: Role, slots: &[Vec<Param<Tensor<1>>>]| match quantizer.decayed(role) {
            true => slots.iter().flatten().map(|parameter| parameter.id).collect(),
            false => vec![],
        };
        let steps = self.steps.iter().flat_map(|s| [of(Role::Weight, &s.weight), of(Role::Act, &s.act)]).flatten();
        self.weights.iter().map(|weights| weights.kernel.id).chain(steps).collect()
    }

    /// Identifiers of the quantization parameters.
    pub fn quantization_parameters(&self) -> Vec<ParamId> {
        let slots = self.steps.iter().flat_map(|steps| steps.weight.iter().chain(&steps.act));
        slots.flatten().map(|parameter| parameter.id).collect()
    }

    /// All numbers by state-dict name. Batch-norm copies and quantization parameters carry their bit-width in the name
    /// (`bn1.b4.weight`, `conv1.act_quantizer.b4.0`).
    pub fn state(&self) -> State {
        let mut state = State::default();
        let mut put = |name: String, shape: Vec<usize>, values: Vec<f32>| {
            state.0.insert(name, Array { shape, values });
        };
        for ((layer, weights), steps) in self.plan.layers.iter().zip(&self.weights).zip(&self.steps) {
            let shape = weight_shape(&self.plan.graph, layer);
            put(format!("{}.weight", layer.name), shape, host(weights.kernel.val()));
            if let Some(bias) = &weights.bias {
                put(format!("{}.bias", layer.name), vec![layer.out_shape.channels], host(bias.val()));
            }
            let slots = &self.plan.slots[self.weights_index(layer)];
            for (slot, &bits) in slots.iter().enumerate() {
                for (role, parameters) in [(Role::Weight, &steps.weight), (Role::Act, &steps.act)] {
                    for (place, parameter) in parameters[slot].iter().enumerate() {
                        let values = host(parameter.val());
                        put(format!("{}.{place}", step_name(layer, role, bits)), vec![values.len()], values);
                    }
                }
            }
        }
        for ((node, bits), copies) in self.plan.norms().into_iter().zip(&self.norms) {
            for (norm, bits) in copies.iter().zip(bits) {
                let name = norm_name(&self.plan.graph.nodes[node].name, bits);
                let channels = vec![self.plan.graph.nodes[node].shape.channels];
                put(format!("{name}.weight"), channels.clone(), host(norm.gamma.val()));
                put(format!("{name}.bias"), channels.clone(), host(norm.beta.val()));
                put(format!("{name}.running_mean"), channels.clone(), host(norm.mean.value_sync()));
                put(format!("{name}.running_var"), channels, host(norm.variance.value_sync()));
            }
        }
        state
    }

    fn weights_index(&self, layer: &Layer) -> usize {
        self.plan.layers.iter().position(|other| other.node == layer.node).expect("the layer is the plan's own")
    }

    /// The slot that one of a layer's tensors runs in. Weights and activations are looked up each by itself, so that a pass
    /// may pair any two bit-widths that the plan has.
    fn slot(&self, layer: usize, role: Role, bits: BitWidth) -> usize {
        let own = |slot: &Precision| if role == Role::Weight { slot.weight } else { slot.act };
        let found = self.plan.slots[layer].iter().position(|slot| own(slot) == bits);
        found.expect("a pass uses only bit-widths that the plan has")
    }

    fn fake_quantize(
        &self,
        layer: usize,
        role: Role,
        values: Tensor<4>,
        parameters: &[Param<Tensor<1>>],
        bits: Precision,
    ) -> Tensor<4> {
        let shape = values.dims();
        let parameters: Vec<Tensor<1>> = parameters.iter().map(Param::val).collect();
        let grid = self.plan.grid(layer, role, bits);
        let quantized = self.plan.quantizer.quantize(role, rows(&self.plan, role, values), &parameters, grid);
        if role == Role::Act && self.plan.quantizer.per_channel(role) {
            let [batch, channels, height, width] = shape;
            return quantized.reshape([channels, batch, height, width]).swap_dims(0, 1);
        }
        quantized.reshape(shape)
    }

    /// Runs the graph; `prepare` sees and may replace the input and the weights of each layer. With a `momentum`,
    /// batch-norms use the batch's statistics and move the running ones towards them by this share.
    fn walk(
        &self,
        images: Tensor<4>,
        bits: &Bits,
        momentum: Option<f64>,
        prepare: &mut dyn FnMut(usize, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> Tensor<2> {
        let graph = &self.plan.graph;
        let mut outputs: Vec<Tensor<4>> = Vec::with_capacity(graph.nodes.len());
        let (mut layer, mut norm) = (0, 0);
        for (id, node) in graph.nodes.iter().enumerate() {
            let input = |place: usize| outputs[node.inputs[place]].clone();
            let output = match &node.op {
                Op::Input => images.clone(),
                Op::Relu => burn::tensor::activation::relu(input(0)),
                Op::Add => input(0) + input(1),
                Op::Concat => Tensor::cat((0..node.inputs.len()).map(input).collect(), 1),
                Op::MaxPool { kernel, stride, padding } => {
                    let (k, s, p) = (*kernel, *stride, *padding);
                    max_pool2d(input(0), MaxPoolOptions::new([k, k]).with_stride([s, s]).with_padding([p, p]))
                }
                Op::GlobalAvgPool => adaptive_avg_pool2d(input(0), [1, 1]),
                Op::BatchNorm => {
                    let copy = self.norm_copy(id, norm, bits);
                    norm += 1;
                    copy.forward(input(0), momentum)
                }
                Op::Conv(conv) => {
                    let weights = &self.weights[layer];
                    let (x, kernel) = prepare(layer, input(0), weights.kernel.val());
                    layer += 1;
                    let (s, p) = (conv.stride, conv.padding);
                    let options = ConvOptions::new([s, s], [p, p], [1, 1], conv.groups);
                    self.multiply(x, kernel, weights, options)
                }
                Op::Linear { .. } => {
                    let weights = &self.weights[layer];
                    let [batch, channels, height, width] = input(0).dims();
                    let flat = input(0).reshape([batch, channels * height * width, 1, 1]);
                    let (x, kernel) = prepare(layer, flat, weights.kernel.val());
                    layer += 1;
                    let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
                    self.multiply(x, kernel, weights, options)
                }
            };
            outputs.push(output);
        }
        let scores = outputs.pop().expect("a graph has nodes");
        let [batch, classes, ..] = scores.dims();
        scores.reshape([batch, classes])
    }

    fn multiply(&self, x: Tensor<4>, kernel: Tensor<4>, weights: &Weights, options: ConvOptions<2>) -> Tensor<4> {
        let bias = weights.bias.as_ref().map(Param::val);
        match self.arithmetic {
            Arithmetic::Float32 => conv2d(x, kernel, bias, options),
            Arithmetic::BFloat16 => {
                let half = FloatDType::BF16;
                let product = conv2d(x.cast(half), kernel.cast(half), None, options).cast(FloatDType::F32);
                match bias {
                    None => product,
                    Some(bias) => product + bias.reshape([1, -1, 1, 1]),
                }
            }
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

impl Plan {
    /// Weight bits of the layer that a batch-norm normalises, if it runs at only one precision.
    fn only_bits(&self, batch_norm: usize) -> Option<BitWidth> {
        let node = self.graph.normalised_layer(batch_norm)?;
        let layer = self.layers.iter().position(|layer| layer.node == node)?;
        match self.slots[layer][..] {
            [only] => Some(only.weight),
            _ => None,
        }
    }

    /// Every batch-norm with the bit-widths of its copies: one for each slot of the convolution it normalises, or a
    /// single nameless one.
    fn norms(&self) -> Vec<(usize, Vec<Option<BitWidth>>)> {
        let nodes = self.graph.nodes.iter().enumerate().filter(|(_, node)| node.op == Op::BatchNorm);
        nodes
            .map(|(id, _)| {
                let node = self.graph.normalised_layer(id);
                let layer = node.and_then(|node| self.layers.iter().position(|layer| layer.node == node));
                let slots = layer.map(|layer| &self.slots[layer]).filter(|slots| slots.len() > 1);
                let copies = match slots {
                    Some(slots) => slots.iter().map(|bits| Some(bits.weight)).collect(),
                    None => vec![None],
                };
                (id, copies)
            })
            .collect()
    }
}

impl Norm {
    fn forward(&self, input: Tensor<4>, momentum: Option<f64>) -> Tensor<4> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        let Some(momentum) = momentum else {
            return batch_norm(input, gamma, beta, self.mean.value(), self.variance.value(), EPSILON);
        };
        let [batch, _, height, width] = input.dims();
        let count = (batch * height * width) as f64;
        let result = batch_norm_train(input, gamma, beta, EPSILON);
        // As PyTorch: the running variance is the unbiased one.
        let unbiased = result.variance.mul_scalar(count / (count - 1.0).max(1.0));
        for (running, batch) in [(&self.mean, result.mean), (&self.variance, unbiased)] {
            let old = running.value_sync();
            running.update((old.mul_scalar(1.0 - momentum) + batch.mul_scalar(momentum)).detach());
        }
        result.output
    }
}

/// A tensor as the rows that a quantizer works on: one in all, or one for each channel.
fn rows(plan: &Plan, role: Role, values: Tensor<4>) -> Tensor<2> {
    let [first, second, height, width] = values.dims();
    match (plan.quantizer.per_channel(role), role) {
        (false, _) => values.reshape([1, first * second * height * width]),
        (true, Role::Weight) => values.reshape([first, second * height * width]),
        (true, Role::Act) => values.swap_dims(0, 1).reshape([second, first * height * width]),
    }
}

fn norm_name(plain: &str, bits: Option<BitWidth>) -> String {
    bits.map_or(plain.to_owned(), |bits| format!("{plain}.b{bits}"))
}

fn step_name(layer: &Layer, role: Role, bits: Precision) -> String {
    let width = if role == Role::Weight { bits.weight } else { bits.act };
    format!("{}.{}_quantizer.b{width}", layer.name, role.name())
}

fn tensor1(array: &Array, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(array.values.clone(), [array.values.len()]), device)
}

/// The same values on a device, outside any graph.
fn on(values: Tensor<1>, device: &Device) -> Tensor<1> {
    let data = values.into_data();
    Tensor::from_data(data, device)
}

/// A parameter; it has gradients where the device keeps them.
fn learned<const D: usize>(id: ParamId, value: Tensor<D>) -> Param<Tensor<D>> {
    let value = if value.device().is_autodiff() { value.require_grad() } else { value };
    Param::initialized(id, value)
}

/// A tensor's numbers.
pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("networks hold 32-bit floats")
}

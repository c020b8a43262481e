//! A graph as one burn module: weights, batch-norm copies for each bit-width, and fake quantization at the inputs of
//! every convolution and fully connected layer.

mod forward;
mod init;
mod outputs;
mod pass;
mod plan;
mod regularisation;
mod shared_prefix;

use super::{
    Arithmetic, NoIndicator, Role, StepSize, Unusable,
    state::{Array, State, StateError, tensor_name},
};
use crate::{
    graph::Layer,
    ops::{Parameter, ParameterKind},
    search::{BitWidth, Precision},
};
use burn::{
    module::{Module, Param, ParamId, RunningState},
    tensor::{Device, Tensor, TensorData},
};
use forward::rows;
use outputs::Outputs;
pub use plan::{Bits, Plan};
use plan::{copy_name, step_name};
use shared_prefix::SharedPrefix;
use std::cell::Cell;

/// Parameters of one layer.
#[derive(Module, Debug)]
struct Weights {
    /// Its quantized weights; a product of two activations has none.
    kernel: Option<Param<Tensor<4>>>,
    /// What it learns in full precision, such as a bias.
    learned: Vec<Param<Tensor<1>>>,
}

/// One copy of the parameters of a node that is not a layer.
#[derive(Module, Debug)]
struct Values {
    learned: Vec<Param<Tensor<1>>>,
    running: Vec<RunningState<Tensor<1>>>,
}

/// Quantization parameters of one layer: for each slot, each of the quantizer's parameters.
#[derive(Module, Debug)]
struct QuantizationParameters {
    weight: Vec<Vec<Param<Tensor<1>>>>,
    act: Vec<Vec<Param<Tensor<1>>>>,
}

/// A runnable network.
#[derive(Module, Debug)]
pub struct Network {
    weights: Vec<Weights>,
    /// For each node with parameters that is not a layer, its copies.
    others: Vec<Vec<Values>>,
    steps: Vec<QuantizationParameters>,
    #[module(skip)]
    plan: Plan,
    #[module(skip)]
    arithmetic: Arithmetic,
    /// That of [`super::TensorInfo`].
    #[module(skip)]
    progress: f64,
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
            let named = |parameter: &Parameter| tensor_name(&plan.graph, layer.node, parameter);
            let array = |parameter: &Parameter| state.get(&named(parameter), &parameter.shape);
            let kernel = plan.of_kind(layer.node, ParameterKind::Weight).map(array).next().transpose()?;
            let kernel = kernel.map(|array| {
                let mut shape = [1; 4];
                shape[..array.shape.len()].copy_from_slice(&array.shape);
                Tensor::<4>::from_data(TensorData::new(array.values.clone(), shape), device)
            });
            let learned_arrays = plan.of_kind(layer.node, ParameterKind::Learned).map(array);
            let learned_values = learned_arrays.map(|array| Ok(param(array?))).collect::<Result<_, StateError>>()?;
            let saved = |role: Role, bits: Precision| {
                let prefix = step_name(layer, role, bits);
                let arrays = (0..).map_while(|place| state.0.get(&format!("{prefix}.{place}")));
                arrays.map(param).collect::<Vec<_>>()
            };
            let weight_parameters = plan.slots[index].iter().map(|&bits| match (saved(Role::Weight, bits), &kernel) {
                (parameters, Some(kernel)) if parameters.is_empty() => {
                    let rows = rows(plan, Role::Weight, kernel.clone().inner());
                    let initial = plan.quantizer.init(Role::Weight, rows, plan.grid(index, Role::Weight, bits));
                    initial.into_iter().map(|values| learned(id(), on(values, device))).collect()
                }
                (parameters, _) => parameters,
            });
            let weight = weight_parameters.collect();
            let act = plan.slots[index].iter().map(|&bits| saved(Role::Act, bits)).collect();
            steps.push(QuantizationParameters { weight, act });
            weights.push(Weights { kernel: kernel.map(|kernel| learned(id(), kernel)), learned: learned_values });
        }
        let mut others = vec![];
        for (node, copies) in plan.copies() {
            let plain = plan.graph.nodes[node].name.as_str();
            let of = |copy: &Option<BitWidth>| {
                // A single copy of a network that had several: the one for the bits that are left.
                let own = copy_name(plain, copy.or_else(|| plan.only_bits(node)));
                let first = plan.parameters[node].first().expect("it has parameters");
                let name = if state.0.contains_key(&first.full_name(&own)) { own.as_str() } else { plain };
                let array = |parameter: &Parameter| state.get(&parameter.full_name(name), &parameter.shape);
                let learned = plan.of_kind(node, ParameterKind::Learned).map(|parameter| Ok(param(array(parameter)?)));
                let running = plan.of_kind(node, ParameterKind::Running);
                let running = running.map(|parameter| Ok(RunningState::new(tensor1(array(parameter)?, device))));
                Ok(Values {
                    learned: learned.collect::<Result<_, StateError>>()?,
                    running: running.collect::<Result<_, StateError>>()?,
                })
            };
            others.push(copies.iter().map(of).collect::<Result<_, StateError>>()?);
        }
        let (plan, arithmetic) = (plan.clone(), Arithmetic::Float32);
        Ok(Self { weights, others, steps, plan, arithmetic, progress: 1.0 })
    }

    /// What the network is made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The same network, with other numbers in its convolutions.
    pub fn computing(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// The quantization parameters as they are, without gradients, in an order of their own.
    pub fn quantization(&self) -> Vec<Vec<Tensor<1>>> {
        let slots = self.steps.iter().flat_map(|steps| steps.weight.iter().chain(&steps.act));
        slots.map(|slot| slot.iter().map(|parameter| parameter.val().inner()).collect()).collect()
    }

    /// Brings quantization parameters back into their domain, which an optimizer step took away from `before`, those of
    /// [`Self::quantization`].
    pub fn project(mut self, before: &[Vec<Tensor<1>>]) -> Self {
        let quantizer = self.plan.quantizer.clone();
        let slots = self.steps.iter_mut().flat_map(|steps| steps.weight.iter_mut().chain(steps.act.iter_mut()));
        for (slot, before) in slots.zip(before) {
            let values: Vec<_> = slot.iter().map(|parameter| parameter.val().inner()).collect();
            if values.is_empty() {
                continue;
            }
            let projected = quantizer.after_step(before, values);
            // A new leaf of the graph, and no way by the host, which would wait for the device.
            let parameters = std::mem::take(slot).into_iter().zip(projected);
            let leaf = |value| Tensor::from_inner(value).require_grad();
            *slot = parameters.map(|(parameter, value)| Param::initialized(parameter.id, leaf(value))).collect();
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
            let quantized = Role::BOTH.into_iter().filter(|&role| self.plan.quantizes(index, role));
            let tensors =
                self.plan.slots[index].iter().flat_map(|bits| quantized.clone().map(move |role| (bits, role)));
            for (&bits, role) in tensors {
                if let Ok(value) = self.indicator(index, role, bits) {
                    let bits = if role == Role::Weight { bits.weight } else { bits.act };
                    sizes.push(StepSize { layer: layer.name.clone(), role, bits, value });
                }
            }
        }
        sizes
    }

    /// Identifiers of the parameters that weight decay applies to: those whose operator says so (weights, not biases and
    /// batch-norms), and quantization parameters of a quantizer that asks for it.
    pub fn decayed(&self) -> Vec<ParamId> {
        let quantizer = &self.plan.quantizer;
        let of = |role: Role, slots: &[Vec<Param<Tensor<1>>>]| match quantizer.decayed(role) {
            true => slots.iter().flatten().map(|parameter| parameter.id).collect(),
            false => vec![],
        };
        let mut ids = vec![];
        for (layer, weights) in self.plan.layers.iter().zip(&self.weights) {
            let kernel = self.plan.of_kind(layer.node, ParameterKind::Weight).zip(&weights.kernel);
            ids.extend(kernel.filter(|(parameter, _)| parameter.decay).map(|(_, kernel)| kernel.id));
            ids.extend(self.decayed_of(layer.node, &weights.learned));
        }
        for ((node, _), copies) in self.plan.copies().into_iter().zip(&self.others) {
            ids.extend(copies.iter().flat_map(|copy| self.decayed_of(node, &copy.learned)));
        }
        let steps = self.steps.iter().flat_map(|s| [of(Role::Weight, &s.weight), of(Role::Act, &s.act)]).flatten();
        ids.into_iter().chain(steps).collect()
    }

    fn decayed_of(&self, node: usize, learned: &[Param<Tensor<1>>]) -> Vec<ParamId> {
        let parameters = self.plan.of_kind(node, ParameterKind::Learned).zip(learned);
        parameters.filter(|(parameter, _)| parameter.decay).map(|(_, value)| value.id).collect()
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
            let named = |parameter: &Parameter| tensor_name(&self.plan.graph, layer.node, parameter);
            let kernel = self.plan.of_kind(layer.node, ParameterKind::Weight).zip(&weights.kernel);
            kernel.for_each(|(parameter, value)| put(named(parameter), parameter.shape.clone(), host(value.val())));
            let learned = self.plan.of_kind(layer.node, ParameterKind::Learned).zip(&weights.learned);
            learned.for_each(|(parameter, value)| put(named(parameter), parameter.shape.clone(), host(value.val())));
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
        for ((node, bits), copies) in self.plan.copies().into_iter().zip(&self.others) {
            for (copy, bits) in copies.iter().zip(bits) {
                let name = copy_name(&self.plan.graph.nodes[node].name, bits);
                let learned = copy.learned.iter().map(|value| host(value.val()));
                let learned = self.plan.of_kind(node, ParameterKind::Learned).zip(learned);
                let running = copy.running.iter().map(|value| host(value.value_sync()));
                let running = self.plan.of_kind(node, ParameterKind::Running).zip(running);
                for (parameter, values) in learned.chain(running) {
                    put(parameter.full_name(&name), parameter.shape.clone(), values);
                }
            }
        }
        state
    }

    /// The first running statistic that is not finite, in words. They show in no loss of training, since batch-norm normalises
    /// with the batch's own statistics.
    pub fn overflowed_statistics(&self) -> Option<String> {
        let running = self.others.iter().flatten().flat_map(|copy| &copy.running);
        let all: Vec<Tensor<1>> = running.map(|value| value.value_sync().inner()).map(|v| v.clone() - v).collect();
        // For all of them together that is one number, 0 or NaN.
        if all.is_empty() || host(Tensor::cat(all, 0).sum())[0] == 0.0 {
            return None;
        }
        self.unusable().map(|unusable| unusable.to_string())
    }

    /// The first value, by the tensor's name, that no forward pass can compute with.
    pub fn unusable(&self) -> Option<Unusable> {
        self.state().unusable(&self.plan.graph)
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

//! A graph as one burn module: weights, batch-norm copies for each bit-width, and fake quantization at the inputs of
//! every convolution and fully connected layer.

mod branch;
mod outputs;
mod plan;
mod regularisation;
mod start;
mod trunk;
mod walk;

use super::{
    Arithmetic, NoIndicator, Role, StepSize,
    state::{Array, State, StateError, has_bias, weight_shape},
};
use crate::{
    graph::Layer,
    search::{BitWidth, Precision},
};
use burn::{
    module::{Module, Param, ParamId, RunningState},
    tensor::{Device, Tensor, TensorData},
};
use outputs::Outputs;
pub use plan::{Bits, Plan};
use plan::{norm_name, step_name};
use std::cell::Cell;
use trunk::Trunk;
pub(super) use walk::EPSILON;
use walk::rows;

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
        Ok(Self { weights, norms, steps, plan: plan.clone(), arithmetic: Arithmetic::Float32, progress: 1.0 })
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

    /// Identifiers of the parameters that weight decay applies to: weights, and quantization parameters of a quantizer
    /// that asks for it; not biases and batch-norms.
    pub fn decayed(&self) -> Vec<ParamId> {
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

    /// The first batch-norm whose running statistics are not finite, in words. They show in no loss of training, since it
    /// normalises with the batch's own statistics.
    ///
    /// Variances are looked at alone: one is finite only if the mean of the same values is. For all of them together that is one
    /// number, 0 or NaN.
    pub fn overflowed_statistics(&self) -> Option<String> {
        let variances = || self.norms.iter().flatten().map(|norm| norm.variance.value_sync().inner());
        let all: Vec<Tensor<1>> = variances().map(|variance| variance.clone() - variance).collect();
        if all.is_empty() || host(Tensor::cat(all, 0).sum())[0] == 0.0 {
            return None;
        }
        self.state().unusable().map(|unusable| unusable.to_string())
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

//! Builds burn's optimizers from a recipe, restores their state on the run's device, and clips gradients by their
//! global norm.

use super::{
    Network, StepSizeRate,
    kernels::total,
    recipe::{Optimizer, Recipe},
};
use burn::{
    grad_clipping::GradientClipping,
    module::{Module, ModuleVisitor, Param, ParamGroup, ParamId},
    optim::{
        AdamConfig, AdamWConfig, DynOptimizer, DynState, GradientsParams, ModuleOptimizer, Optimizer as Rule,
        SgdConfig, StateSink, StateSource, decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{Device, Tensor, kind::BridgeTensor},
};

/// The optimizer of a network on a device; weight decay goes to [`Network::decayed`] only.
pub(super) fn optimizer(network: &Network, recipe: &Recipe, device: &Device) -> ModuleOptimizer {
    let (beta_1, beta_2, epsilon) = (recipe.momentum as f32, recipe.beta2 as f32, recipe.epsilon as f32);
    let decay = recipe.weight_decay as f32;
    match recipe.optimizer {
        Optimizer::Sgd => {
            let momentum = MomentumConfig { momentum: recipe.momentum, dampening: 0.0, nesterov: recipe.nesterov };
            let sgd = SgdConfig::new().with_momentum(Some(momentum));
            let decayed = sgd.clone().with_weight_decay(Some(WeightDecayConfig::new(decay)));
            groups(network, recipe, device, sgd.build(), decayed.build())
        }
        Optimizer::Adam => {
            let adam = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(epsilon);
            let decayed = adam.clone().with_weight_decay(Some(WeightDecayConfig::new(decay)));
            groups(network, recipe, device, adam.build(), decayed.build())
        }
        Optimizer::AdamW => {
            let adam = AdamWConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(epsilon);
            let (plain, decayed) = (adam.clone().with_weight_decay(0.0), adam.with_weight_decay(decay));
            groups(network, recipe, device, plain.build(), decayed.build())
        }
    }
}

fn groups(network: &Network, recipe: &Recipe, device: &Device, rest: impl Rule, decayed: impl Rule) -> ModuleOptimizer {
    let clip = (recipe.clip_value > 0.0).then_some(GradientClipping::Value(recipe.clip_value as f32));
    // burn starts from a rule for all parameters; if a parameter is in several groups, the last one counts.
    let optimizer = ModuleOptimizer::from(rest.clone())
        .with_group(ParamGroup::all(), Here::new(rest.clone(), device), clip.clone())
        .with_group(ParamGroup::from_ids(network.decayed()), Here::new(decayed.clone(), device), clip.clone());
    if recipe.step_size_learning_rate == StepSizeRate::Same {
        return optimizer;
    }
    let factor = recipe.step_size_learning_rate.factor(recipe.learning_rate);
    let all_decayed = network.decayed();
    let (own_decayed, own): (Vec<_>, Vec<_>) =
        network.quantization_parameters().into_iter().partition(|id| all_decayed.contains(id));
    optimizer
        .with_group(ParamGroup::from_ids(own), Here { factor, ..Here::new(rest, device) }, clip.clone())
        .with_group(ParamGroup::from_ids(own_decayed), Here { factor, ..Here::new(decayed, device) }, clip)
}

/// A rule whose state is read from a checkpoint onto the run's own device. burn reads it onto the default device, which
/// in a build with the feature `cuda` is a GPU, even if there is none.
struct Here<R> {
    rule: R,
    device: Device,
    /// Factor of the learning rate.
    factor: f64,
}

impl<R> Here<R> {
    fn new(rule: R, device: &Device) -> Self {
        Self { rule, device: device.clone(), factor: 1.0 }
    }
}

impl<R: Rule> DynOptimizer for Here<R> {
    fn step_dyn(
        &self,
        rank: usize,
        learning_rate: f64,
        tensor: BridgeTensor,
        gradient: BridgeTensor,
        memory: Option<DynState>,
    ) -> (BridgeTensor, Option<DynState>) {
        self.rule.step_dyn(rank, learning_rate * self.factor, tensor, gradient, memory)
    }

    fn to_device_dyn(&self, memory: DynState, device: &Device) -> DynState {
        self.rule.to_device_dyn(memory, device)
    }

    fn state_flatten(&self, prefix: &str, memory: &DynState, out: &mut StateSink) {
        self.rule.state_flatten(prefix, memory, out);
    }

    fn state_unflatten(&self, rank: usize, prefix: &str, from: &mut StateSource, _: &Device) -> Option<DynState> {
        self.rule.state_unflatten(rank, prefix, from, &self.device)
    }
}

/// Scales all gradients by one factor so that their global norm is at most `limit`, as PyTorch's `clip_grad_norm_`
/// does. burn's own clipping by norm treats each tensor separately.
pub(super) fn clip_norm(network: &Network, gradients: GradientsParams, limit: f64) -> GradientsParams {
    let mut squares = Squares { gradients: &gradients, sum: None };
    network.visit(&mut squares);
    let Some(sum) = squares.sum else { return gradients };
    // PyTorch adds 1e-6 to the norm, too.
    let factor = sum.sqrt().add_scalar(1e-6).recip().mul_scalar(limit).clamp_max(1.0);
    let mut scaled = Scaled { gradients, factor, scaled: GradientsParams::new() };
    network.visit(&mut scaled);
    scaled.scaled
}

/// Only the gradients of these vectors. The optimizer skips parameters without a gradient, weight decay included.
pub(super) fn only(vectors: &[ParamId], mut gradients: GradientsParams) -> GradientsParams {
    let mut kept = GradientsParams::new();
    for &id in vectors {
        if let Some(gradient) = gradients.remove::<1>(id) {
            kept.register(id, gradient);
        }
    }
    kept
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let square = total(gradient.square());
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + square,
            None => square,
        });
    }
}

struct Scaled {
    gradients: GradientsParams,
    factor: Tensor<1>,
    scaled: GradientsParams,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        self.scaled.register(param.id, gradient * self.factor.clone().reshape([1; D]));
    }
}

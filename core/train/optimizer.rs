//! From a recipe to burn's optimizers, and clipping of gradients by their common norm.

use super::{
    Network,
    recipe::{Optimizer, Recipe},
};
use burn::{
    grad_clipping::GradientClipping,
    module::{Module, ModuleVisitor, Param, ParamGroup, ParamId},
    optim::{
        AdamConfig, AdamWConfig, DynOptimizer, GradientsParams, ModuleOptimizer, SgdConfig, decay::WeightDecayConfig,
        momentum::MomentumConfig,
    },
    tensor::Tensor,
};

/// The optimizer; weight decay goes to [`Network::decayed`] only.
pub(super) fn optimizer(network: &Network, recipe: &Recipe) -> ModuleOptimizer {
    let (beta_1, beta_2, epsilon) = (recipe.momentum as f32, recipe.beta2 as f32, recipe.epsilon as f32);
    let decay = recipe.weight_decay as f32;
    match recipe.optimizer {
        Optimizer::Sgd => {
            let momentum = MomentumConfig { momentum: recipe.momentum, dampening: 0.0, nesterov: recipe.nesterov };
            let sgd = SgdConfig::new().with_momentum(Some(momentum));
            let decayed = sgd.clone().with_weight_decay(Some(WeightDecayConfig::new(decay)));
            groups(network, recipe, sgd.build().into(), decayed.build())
        }
        Optimizer::Adam => {
            let adam = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(epsilon);
            let decayed = adam.clone().with_weight_decay(Some(WeightDecayConfig::new(decay)));
            groups(network, recipe, adam.build().into(), decayed.build())
        }
        Optimizer::AdamW => {
            let adam = AdamWConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(epsilon);
            let (plain, decayed) = (adam.clone().with_weight_decay(0.0), adam.with_weight_decay(decay));
            groups(network, recipe, plain.build().into(), decayed.build())
        }
    }
}

fn groups(
    network: &Network,
    recipe: &Recipe,
    rest: ModuleOptimizer,
    decayed: impl DynOptimizer + 'static,
) -> ModuleOptimizer {
    let clip = (recipe.clip_value > 0.0).then_some(GradientClipping::Value(recipe.clip_value as f32));
    let rest = match clip.clone() {
        Some(clip) => rest.with_grad_clipping(clip),
        None => rest,
    };
    rest.with_group(ParamGroup::from_ids(network.decayed()), decayed, clip)
}

/// Scales all gradients together so that the norm of all their elements is at most `limit`, as PyTorch's
/// `clip_grad_norm_` does. burn's own clipping by norm takes each tensor alone.
pub(super) fn clip_norm(network: &Network, gradients: GradientsParams, limit: f64) -> GradientsParams {
    let mut squares = Squares { gradients: &gradients, sum: None };
    network.visit(&mut squares);
    let Some(sum) = squares.sum else { return gradients };
    // PyTorch adds 1e-6 to the norm too.
    let factor = sum.sqrt().add_scalar(1e-6).recip().mul_scalar(limit).clamp_max(1.0);
    let mut scaled = Scaled { gradients, factor, scaled: GradientsParams::new() };
    network.visit(&mut scaled);
    scaled.scaled
}

/// The gradients of these vectors alone. A parameter without a gradient stays as it is: the optimizer skips it, decay and
/// all.
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
        let square = gradient.square().sum();
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

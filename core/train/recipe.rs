//! How a network is trained.

use super::StepSizeRate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// The optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam (Kingma and Ba, 2015); weight decay is added to the gradient.
    Adam,
    /// AdamW (Loshchilov and Hutter, 2019); weight decay shrinks the weights directly.
    AdamW,
}

/// Which network is the result of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// That of the last step.
    #[default]
    Last,
    /// That of the epoch with the highest accuracy on the validation images, the first of several.
    Best,
}

/// When the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// At every step; the cosine begins after the warm-up.
    #[default]
    Step,
    /// At the end of every epoch, as timm's `CosineLRScheduler` with its defaults: the first epoch of a warm-up has the
    /// lowest learning rate, and the cosine is counted from the first epoch on, so that the warm-up replaces its
    /// beginning.
    Epoch,
}

/// Data type of the operands of convolutions and fully connected layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// 32-bit floats.
    #[default]
    Float32,
    /// Mixed precision: bfloat16 for the operands of convolutions and fully connected layers. Weights, fake
    /// quantization, batch-norm, loss and optimizer stay in 32 bits.
    BFloat16,
}

/// A training recipe: optimizer, cosine learning rate with warm-up, label smoothing, clipping, distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Passes over the training images, without those of the cool-down.
    pub epochs: usize,
    /// Further epochs at `final_learning_rate`.
    pub cooldown_epochs: usize,
    /// Fraction of each class's training images that this stage trains on, after that of `split`.
    pub fraction: f64,
    /// Images per step.
    pub batch_size: usize,
    /// "sgd", "adam" or "adamw".
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine, and at the start of the warm-up.
    pub final_learning_rate: f64,
    /// Learning rate of quantization parameters such as step sizes: a number in the place of `learning_rate`, or a factor of it
    /// such as "10x"; it rises and falls with that of the weights. Left out, it is that of the weights. In short trainings step
    /// sizes of activations hardly move at that one.
    #[serde(skip_serializing_if = "StepSizeRate::is_same")]
    pub step_size_learning_rate: StepSizeRate,
    /// Epochs over which the learning rate rises linearly.
    pub warmup_epochs: f64,
    /// When the learning rate changes: "step", at every step, or "epoch", at the end of every epoch as timm does
    /// (LIMPQ's code).
    pub schedule: Schedule,
    /// Momentum of SGD; decay of Adam's first moment (beta 1).
    pub momentum: f64,
    /// Whether the momentum of SGD is Nesterov's.
    pub nesterov: bool,
    /// Decay of Adam's second moment (beta 2).
    pub beta2: f64,
    /// Added to the square root of Adam's second moment.
    pub epsilon: f64,
    /// Weight decay of weights, and of quantization parameters if the quantizer asks for it; none for biases and
    /// batch-norm.
    pub weight_decay: f64,
    /// Number of training batches from which the quantization parameters of activations are initialised; the quantizer
    /// combines what each gives. `learned_step` has options of its own.
    pub calibration_batches: NonZeroUsize,
    /// Fraction of the target that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// Elements of gradients are clipped to this magnitude; 0 is off.
    pub clip_value: f64,
    /// The norm of all gradients together is clipped to this, before `clip_value`; 0 is off.
    pub clip_norm: f64,
    /// Fraction of the loss that is knowledge distillation, the divergence from the full-precision network's logits; 0
    /// is off. Not for pre-training, which has no teacher.
    pub distillation: f64,
    /// Temperature of both networks' logits in distillation.
    pub temperature: f64,
    /// What convolutions compute with in training: "float32", or "bfloat16" (mixed precision) where the device has it.
    /// Evaluation is in 32 bits either way.
    pub arithmetic: Arithmetic,
    /// Whether the backward pass recomputes activations: only those at the boundaries between segments of the network
    /// are kept. Less memory for one more forward pass, and the same results. Segments end where a single tensor leads
    /// on; a network without such places is one segment.
    pub gradient_checkpointing: bool,
    /// "last" or "best" by accuracy on the validation images; "best" needs `split.validation`.
    pub keep: Keep,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 10,
            cooldown_epochs: 0,
            fraction: 1.0,
            batch_size: 64,
            optimizer: Optimizer::Sgd,
            learning_rate: 0.01,
            final_learning_rate: 1e-5,
            step_size_learning_rate: StepSizeRate::Same,
            warmup_epochs: 0.0,
            schedule: Schedule::Step,
            momentum: 0.9,
            nesterov: false,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 2.5e-5,
            calibration_batches: NonZeroUsize::MIN,
            label_smoothing: 0.1,
            clip_value: 0.0,
            clip_norm: 0.0,
            distillation: 0.0,
            temperature: 4.0,
            arithmetic: Arithmetic::Float32,
            gradient_checkpointing: false,
            keep: Keep::Last,
        }
    }
}

impl Recipe {
    /// The first invalid value, as (key, reason).
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let fault = |key, value: f64, allowed: &str| Some((key, format!("must be {allowed}, got {value}")));
        match self {
            r if !(r.fraction > 0.0 && r.fraction <= 1.0) => fault("fraction", r.fraction, "above 0 and at most 1"),
            // Without epochs it is the size of the calibration batch.
            r if r.batch_size == 0 => fault("batch_size", 0.0, "at least 1"),
            r if r.batch_size < 2 && r.epochs > 0 => {
                fault("batch_size", r.batch_size as f64, "at least 2 (batch-norm needs a variance)")
            }
            r if !positive(r.learning_rate) => fault("learning_rate", r.learning_rate, "a positive number"),
            r if !not_negative(r.final_learning_rate) => {
                fault("final_learning_rate", r.final_learning_rate, "0 or a positive number")
            }
            r if !not_negative(r.warmup_epochs) => fault("warmup_epochs", r.warmup_epochs, "0 or a positive number"),
            r if !share(r.momentum) => fault("momentum", r.momentum, "in 0..1"),
            r if !not_negative(r.weight_decay) => fault("weight_decay", r.weight_decay, "0 or a positive number"),
            r if !share(r.label_smoothing) => fault("label_smoothing", r.label_smoothing, "in 0..1"),
            r if !not_negative(r.clip_value) => fault("clip_value", r.clip_value, "0 or a positive number"),
            r if !not_negative(r.clip_norm) => fault("clip_norm", r.clip_norm, "0 or a positive number"),
            r if !share(r.beta2) => fault("beta2", r.beta2, "in 0..1"),
            r if !positive(r.epsilon) => fault("epsilon", r.epsilon, "a positive number"),
            r if !(0.0..=1.0).contains(&r.distillation) => fault("distillation", r.distillation, "in 0..=1"),
            r if !positive(r.temperature) => fault("temperature", r.temperature, "a positive number"),
            r if r.cooldown_epochs > 0 && r.epochs == 0 => {
                Some(("cooldown_epochs", "comes after other epochs, and epochs is 0".to_owned()))
            }
            r if r.nesterov && r.optimizer != Optimizer::Sgd => {
                Some(("nesterov", "is an option of optimizer = \"sgd\" only".to_owned()))
            }
            _ => None,
        }
    }

    /// Number of epochs, including the cool-down.
    pub fn all_epochs(&self) -> usize {
        self.epochs + self.cooldown_epochs
    }

    /// The learning rate of a step, counted from 0, out of `steps` with `steps_per_epoch`, those of the cool-down
    /// included.
    pub fn learning_rate_at(&self, step: usize, steps: usize, steps_per_epoch: usize) -> f64 {
        // Current position, end of the warm-up, start of the cosine and its length; in steps or in epochs.
        let (now, warmup, begin, length) = match self.schedule {
            Schedule::Step => {
                let warmup = self.warmup_epochs * steps_per_epoch as f64;
                let cosine = steps.saturating_sub(self.cooldown_epochs * steps_per_epoch) as f64 - warmup;
                (step as f64, warmup, warmup, cosine.max(1.0))
            }
            Schedule::Epoch => ((step / steps_per_epoch) as f64, self.warmup_epochs, 0.0, self.epochs as f64),
        };
        let (low, high) = (self.final_learning_rate, self.learning_rate);
        if now < warmup {
            return low + (high - low) * now / warmup;
        }
        let progress = ((now - begin) / length).min(1.0);
        low + (high - low) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_decays() {
        let recipe = Recipe { learning_rate: 1.0, final_learning_rate: 0.0, warmup_epochs: 1.0, ..Recipe::default() };
        let at = |step| recipe.learning_rate_at(step, 30, 10);
        assert_eq!((at(0), at(5), at(10)), (0.0, 0.5, 1.0));
        assert!((at(20) - 0.5).abs() < 1e-12 && at(29) < 0.01);
    }

    #[test]
    fn cools_down_at_the_final_learning_rate() {
        let recipe = Recipe { epochs: 3, cooldown_epochs: 2, ..Recipe::default() };
        let alone = Recipe { epochs: 3, ..Recipe::default() };
        for step in 0..30 {
            assert_eq!(recipe.learning_rate_at(step, 50, 10), alone.learning_rate_at(step, 30, 10), "step {step}");
        }
        assert_eq!((30..50).map(|step| recipe.learning_rate_at(step, 50, 10)).find(|&rate| rate != 1e-5), None);
        let none = Recipe { epochs: 0, ..recipe };
        assert_eq!(none.fault().unwrap().0, "cooldown_epochs");
    }

    #[test]
    fn names_the_faulty_key() {
        let recipe = Recipe { momentum: 1.5, ..Recipe::default() };
        assert_eq!(recipe.fault(), Some(("momentum", "must be in 0..1, got 1.5".into())));
        assert_eq!(Recipe::default().fault(), None);
        let at = |epochs, batch_size| Recipe { epochs, batch_size, ..Recipe::default() }.fault().map(|fault| fault.0);
        assert_eq!((at(1, 1), at(0, 1), at(0, 0)), (Some("batch_size"), None, Some("batch_size")));
    }
}

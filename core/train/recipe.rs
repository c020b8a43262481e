//! How a network is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A training recipe: SGD with momentum, cosine learning rate with warm-up, label smoothing, clipping by value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Times the training set is gone through.
    pub epochs: usize,
    /// Images for each step.
    pub batch_size: usize,
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine, and at the start of the warm-up.
    pub final_learning_rate: f64,
    /// Epochs over which the learning rate rises linearly.
    pub warmup_epochs: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Whether the momentum looks ahead (Nesterov).
    pub nesterov: bool,
    /// Weight decay of weights, and of quantization parameters where the quantizer asks for it; biases and batch-norm get
    /// none.
    pub weight_decay: f64,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f64,
    /// Largest magnitude of a gradient's element; 0 leaves gradients alone.
    pub clip_value: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 64,
            learning_rate: 0.01,
            final_learning_rate: 1e-5,
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 2.5e-5,
            label_smoothing: 0.1,
            clip_value: 0.0,
        }
    }
}

impl Recipe {
    /// What is wrong with the values, as (key, reason).
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let fault = |key, value: f64, allowed: &str| Some((key, format!("must be {allowed}, got {value}")));
        match self {
            r if r.batch_size < 2 => {
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
            _ => None,
        }
    }

    /// The learning rate of a step, counted from 0, out of `steps` with `steps_per_epoch`.
    pub fn learning_rate_at(&self, step: usize, steps: usize, steps_per_epoch: usize) -> f64 {
        let warmup = self.warmup_epochs * steps_per_epoch as f64;
        let (low, high) = (self.final_learning_rate, self.learning_rate);
        if (step as f64) < warmup {
            return low + (high - low) * step as f64 / warmup;
        }
        let progress = (step as f64 - warmup) / (steps as f64 - warmup).max(1.0);
        low + (high - low) * 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
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
    fn names_the_faulty_key() {
        let recipe = Recipe { momentum: 1.5, ..Recipe::default() };
        assert_eq!(recipe.fault(), Some(("momentum", "must be in 0..1, got 1.5".into())));
        assert_eq!(Recipe::default().fault(), None);
    }
}

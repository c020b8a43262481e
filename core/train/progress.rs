//! The observer of a run: what it is told.

use super::{Role, Score};
use crate::search::BitWidth;

/// Observes a run. All methods but the first two do nothing by default.
pub trait Progress {
    /// A stage of `steps` steps starts, or continues after the first `done` of them.
    fn start(&self, label: &str, steps: usize, done: usize);

    /// The stage is over, or stops early.
    fn finish(&self);

    /// A remark that is not an error but matters for the results.
    fn remark(&self, _remark: &str) {}

    /// One step of a stage that does not train is done; `note` says how it goes.
    fn note(&self, _note: &str) {}

    /// One optimizer step is done.
    fn step(&self, _step: &Step) {}

    /// An epoch is over and was validated.
    fn validated(&self, _validation: &Validation) {}

    /// The step sizes after `step` steps.
    fn step_sizes(&self, _step: usize, _sizes: &[StepSize]) {}

    /// A checkpoint is about to be saved. A killed run continues from there, so everything reported so far must be on
    /// disk now.
    fn saving(&self) {}
}

/// Ignores everything.
impl Progress for () {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Steps of the stage that are done, including this one.
    pub done: usize,
    /// The epoch that it belongs to, from 0.
    pub epoch: usize,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Number of images in its batch.
    pub images: usize,
    /// Its passes: one, or one per bit-width in joint training.
    pub passes: Vec<Pass>,
}

impl Step {
    /// Mean loss of the passes.
    pub fn loss(&self) -> f64 {
        self.passes.iter().map(|pass| f64::from(pass.loss)).sum::<f64>() / self.passes.len().max(1) as f64
    }
}

/// One forward and backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// `w4a4` if all searched layers share these bits, else `mixed` or `full precision`.
    pub bits: String,
    /// Its loss on the batch.
    pub loss: f32,
    /// Fraction of the batch whose largest logit is that of their class.
    pub accuracy: f64,
}

/// A measurement on the validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Number of steps that are done.
    pub done: usize,
    /// The epoch that is over, from 0.
    pub epoch: usize,
    /// The score.
    pub score: Score,
    /// Whether no earlier epoch was as good.
    pub best: bool,
}

/// The step size of one tensor at one bit-width: the distance between neighbouring levels.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSize {
    /// The layer.
    pub layer: String,
    /// Weights or activations.
    pub role: Role,
    /// The bit-width.
    pub bits: BitWidth,
    /// The step size, the mean over channels if there are several.
    pub value: f64,
}

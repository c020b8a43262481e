//! What a run tells those who watch it.

use super::{Role, Score};
use crate::search::BitWidth;

/// Watches a run. Every method but the first two does nothing unless a watcher wants it.
pub trait Progress {
    /// A stage of so many steps starts, or goes on after the first `done` of them.
    fn start(&self, label: &str, steps: usize, done: usize);

    /// The stage is over, or ends early.
    fn finish(&self);

    /// Something that is no error, but that whoever believes the results should know.
    fn remark(&self, _remark: &str) {}

    /// One step of a stage that is no training is done; `note` says how it goes.
    fn note(&self, _note: &str) {}

    /// One optimizer step is done.
    fn step(&self, _step: &Step) {}

    /// An epoch is over and was measured on the validation images.
    fn validated(&self, _validation: &Validation) {}

    /// The quantization parameters as they are after `step` steps.
    fn step_sizes(&self, _step: usize, _sizes: &[StepSize]) {}

    /// A checkpoint is about to be kept. A run that is killed goes on from there, so what was told up to here must not be lost
    /// any more.
    fn saving(&self) {}
}

/// Nobody watches.
impl Progress for () {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Steps of the stage that are done, this one among them.
    pub done: usize,
    /// The epoch that it belongs to, from 0.
    pub epoch: usize,
    /// The learning rate that it used.
    pub learning_rate: f64,
    /// Images in its batch.
    pub images: usize,
    /// Its passes: one, or one for each bit-width in joint training.
    pub passes: Vec<Pass>,
}

impl Step {
    /// Mean loss of the passes.
    pub fn loss(&self) -> f64 {
        self.passes.iter().map(|pass| f64::from(pass.loss)).sum::<f64>() / self.passes.len().max(1) as f64
    }
}

/// One pass forward and backward.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// `w4a4` if all searched layers share these bits, else `mixed` or `full precision`.
    pub bits: String,
    /// Its loss on the batch.
    pub loss: f32,
    /// Share of the batch whose highest score is its class.
    pub accuracy: f64,
}

/// A measurement on the validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Steps that are done.
    pub done: usize,
    /// The epoch that is over, from 0.
    pub epoch: usize,
    /// What was measured.
    pub score: Score,
    /// Whether no earlier epoch was as good.
    pub best: bool,
}

/// The step size of one tensor at one bit-width: the distance of neighbouring levels.
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

//! Those who watch a run, one file each: the terminal, `metrics.jsonl`, TensorBoard, plots.

mod interrupt;
pub mod metrics;
mod terminal;
mod view;

pub use interrupt::listen;

use interrupt::Interrupt;
use limpq_core::train::{Progress, Step, StepSize, Validation};
use metrics::Metrics;
use std::path::Path;

/// Several watchers as one.
pub struct Watchers(Vec<Box<dyn Progress>>);

impl Watchers {
    /// Those of the run in a folder.
    pub fn new(folder: &Path) -> Self {
        let mut all: Vec<Box<dyn Progress>> = vec![Box::new(Interrupt)];
        all.extend(terminal::watchers());
        all.push(Box::new(Metrics::new(folder)));
        Self(all)
    }
}

impl Progress for Watchers {
    fn start(&self, label: &str, steps: usize, done: usize) {
        self.0.iter().for_each(|watcher| watcher.start(label, steps, done));
    }

    fn finish(&self) {
        self.0.iter().for_each(|watcher| watcher.finish());
    }

    fn note(&self, note: &str) {
        self.0.iter().for_each(|watcher| watcher.note(note));
    }

    fn step(&self, step: &Step) {
        self.0.iter().for_each(|watcher| watcher.step(step));
    }

    fn validated(&self, validation: &Validation) {
        self.0.iter().for_each(|watcher| watcher.validated(validation));
    }

    fn step_sizes(&self, step: usize, sizes: &[StepSize]) {
        self.0.iter().for_each(|watcher| watcher.step_sizes(step, sizes));
    }

    fn saving(&self) {
        self.0.iter().for_each(|watcher| watcher.saving());
    }

    fn interrupted(&self) -> bool {
        self.0.iter().any(|watcher| watcher.interrupted())
    }
}

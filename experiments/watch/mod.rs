//! Those who watch a run, one file each: the terminal, `metrics.jsonl`, TensorBoard, plots.

mod interrupt;
pub mod metrics;
pub mod plots;
pub mod tensorboard;
mod terminal;
mod view;

pub use interrupt::listen;

use interrupt::Interrupt;
use limpq_core::train::{Progress, Step, StepSize, Validation};
use metrics::Metrics;
use plots::Plots;
use std::path::Path;
use tensorboard::TensorBoard;

/// What of a run is kept to be looked at, beside its metrics. No result depends on it.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Sights {
    /// Write event files for TensorBoard into the run's folder, under tensorboard/.
    #[arg(long)]
    tensorboard: bool,
    /// Draw no plots at the end of a stage; `limpq plot` draws them later.
    #[arg(long)]
    no_plots: bool,
}

/// A stage as part of a file's name.
fn stage_file(stage: &str) -> String {
    stage.replace(' ', "-")
}

/// Several watchers as one.
pub struct Watchers(Vec<Box<dyn Progress>>);

impl Watchers {
    /// Those of the run in a folder.
    pub fn new(folder: &Path, sights: Sights) -> Self {
        let mut all: Vec<Box<dyn Progress>> = vec![Box::new(Interrupt)];
        all.extend(terminal::watchers());
        all.push(Box::new(Metrics::new(folder)));
        if sights.tensorboard {
            all.push(Box::new(TensorBoard::new(folder)));
        }
        // After the metrics, which they are drawn from.
        if !sights.no_plots {
            all.push(Box::new(Plots::new(folder)));
        }
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

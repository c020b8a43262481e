//! Observers of a run, one file each: the terminal, `metrics.jsonl`, TensorBoard, plots.

mod interrupt;
pub mod metrics;
pub mod plots;
pub mod tensorboard;
mod terminal;
mod view;

pub use interrupt::listen;

use limpq_core::escape::escaped;
use limpq_core::train::{Progress, Step, StepSize, Validation};
use metrics::Metrics;
use plots::Plots;
use std::{
    cell::RefCell,
    fs,
    io::{self, Write, stderr},
    path::Path,
    rc::Rc,
};
use tensorboard::TensorBoard;

/// What a run logs besides its metrics. No result depends on it.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct LogOptions {
    /// Write event files for TensorBoard into the run's folder, under tensorboard/.
    #[arg(long)]
    tensorboard: bool,
    /// Draw no plots at the end of a stage; `limpq plot` draws them later.
    #[arg(long)]
    no_plots: bool,
}

/// A stage as part of a file's name; `None` if such a file could lie outside the folder.
fn stage_file(stage: &str) -> Option<String> {
    let plain = stage.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c));
    (plain && (1..=100).contains(&stage.len()) && !stage.starts_with('.')).then(|| stage.replace(' ', "-"))
}

/// Makes a folder within a run's folder unless it exists. A link in its place is refused: it could lead outside.
fn own_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path),
        Err(error) => Err(error),
    }
}

/// Writes a message to stderr. Errors are ignored: stderr may be closed.
pub fn tell(words: &str) {
    let _ = writeln!(stderr(), "{}", escaped(words));
}

/// Plots that could not be drawn. The run continues without them, but exits with an error.
#[derive(Clone, Debug, Default)]
struct Faults(Rc<RefCell<Vec<String>>>);

impl Faults {
    fn add(&self, fault: String) {
        tell(&format!("warning: {fault}; the run continues"));
        self.0.borrow_mut().push(fault);
    }
}

/// Several observers as one.
pub struct Observers {
    all: Vec<Box<dyn Progress>>,
    faults: Faults,
}

impl Observers {
    /// The observers of the run in a folder.
    pub fn new(folder: &Path, logs: LogOptions) -> Self {
        let mut all = terminal::observers();
        let faults = Faults::default();
        all.push(Box::new(Metrics::new(folder)));
        if logs.tensorboard {
            all.push(Box::new(TensorBoard::new(folder)));
        }
        // After the metrics, from which they are drawn.
        if !logs.no_plots && crate::plot::available().is_ok() {
            all.push(Box::new(Plots::new(folder, &faults)));
        }
        Self { all, faults }
    }

    /// Checks, at the end of a run, that all plots could be drawn.
    ///
    /// # Errors
    /// Names the plots that could not.
    pub fn check(&self) -> anyhow::Result<()> {
        let faults = self.faults.0.borrow();
        let all = faults.join("; ");
        anyhow::ensure!(
            faults.is_empty(),
            "the run is done and its results are kept, but {all}. `limpq plot` tries again"
        );
        Ok(())
    }
}

impl Progress for Observers {
    fn start(&self, label: &str, steps: usize, done: usize) {
        self.all.iter().for_each(|observer| observer.start(label, steps, done));
    }

    fn finish(&self) {
        self.all.iter().for_each(|observer| observer.finish());
    }

    fn note(&self, note: &str) {
        self.all.iter().for_each(|observer| observer.note(note));
    }

    fn remark(&self, remark: &str) {
        tell(&format!("note: {remark}"));
    }

    fn step(&self, step: &Step) {
        self.all.iter().for_each(|observer| observer.step(step));
    }

    fn validated(&self, validation: &Validation) {
        self.all.iter().for_each(|observer| observer.validated(validation));
    }

    fn step_sizes(&self, step: usize, sizes: &[StepSize]) {
        self.all.iter().for_each(|observer| observer.step_sizes(step, sizes));
    }

    fn saving(&self) {
        self.all.iter().for_each(|observer| observer.saving());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_names_a_file_in_its_folder_or_none() {
        assert_eq!(stage_file("fine-tune found").as_deref(), Some("fine-tune-found"));
        assert_eq!(stage_file("infoq v1.5").as_deref(), Some("infoq-v1.5"));
        let long = "x".repeat(101);
        for stage in ["", ".", "..", "../../x", "/x", "a/b", "a\\b", ".hidden", "a\0", "a\u{1b}[31m", "a\n", &long] {
            assert_eq!(stage_file(stage), None, "{stage:?}");
        }
    }
}

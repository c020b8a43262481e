//! Ctrl-C in every part of a run: it ends soon, says how to go on, and the same command ends with the same numbers.

use crate::{
    fixtures::tree,
    runs::{Stages, tiny},
};
use limpq_core::{
    run::{Config, Place, RunError, Summary, run, run_in},
    train::{CancelToken, Progress, Step},
};
use std::{
    cell::{Cell, RefCell},
    path::Path,
};

/// Wants the run to end after so many steps of a stage, or when the stage is over.
pub struct Impatient {
    stage: &'static str,
    steps: Option<usize>,
    seen: Cell<usize>,
    now: RefCell<String>,
    enough: CancelToken,
}

impl Impatient {
    pub fn after(steps: usize, stage: &'static str) -> Self {
        Self { stage, steps: Some(steps), seen: Cell::new(0), now: RefCell::default(), enough: CancelToken::default() }
    }

    fn behind(stage: &'static str) -> Self {
        Self { steps: None, ..Self::after(0, stage) }
    }

    /// Runs a config until it has had enough.
    pub fn run(&self, config: &Config, folder: &Path) -> Result<Summary, RunError> {
        self.run_in(config, Place { folder, others: &[], replace: false })
    }

    /// The same in a place of which more is said.
    pub fn run_in(&self, config: &Config, place: Place) -> Result<Summary, RunError> {
        run_in(config, place, self, &self.enough)
    }

    fn count(&self) {
        if *self.now.borrow() == self.stage {
            self.seen.set(self.seen.get() + 1);
            if self.steps.is_some_and(|steps| self.seen.get() >= steps) {
                self.enough.cancel();
            }
        }
    }
}

impl Progress for Impatient {
    fn start(&self, label: &str, _: usize, _: usize) {
        label.clone_into(&mut self.now.borrow_mut());
    }
    fn finish(&self) {
        if self.steps.is_none() && *self.now.borrow() == self.stage {
            self.enough.cancel();
        }
    }
    fn note(&self, _: &str) {
        self.count();
    }
    fn step(&self, _: &Step) {
        self.count();
    }
}

/// What an interrupted run says.
fn said(config: &Config, out: &Path, impatient: &Impatient) -> String {
    impatient.run(config, out).unwrap_err().to_string()
}

#[test]
fn every_part_of_a_run_can_be_interrupted_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (whole, stopped) = (home.path().join("whole"), home.path().join("stopped"));
    let config = tiny(&[
        "sensitivity.name=fisher",
        "refine.evaluations=4",
        "refine.images=32",
        "evaluate.batch_norm_images=300",
        "checkpoints.every_steps=3",
    ]);
    run(&config, &whole, &Stages::default()).unwrap();
    let again = "The same command does that again; what was finished before is kept";
    for (impatient, doing) in [
        (Impatient::after(1, "fisher"), "measuring fisher"),
        // What is measured is kept, and the next thing is not begun.
        (Impatient::behind("fisher"), "searching"),
        (Impatient::after(2, "refine"), "refining the policy"),
        (Impatient::behind("refine"), "estimating batch-norm statistics"),
        (Impatient::behind("fine-tune found"), "estimating batch-norm statistics"),
        (Impatient::behind("fine-tune refined"), "estimating batch-norm statistics"),
    ] {
        assert_eq!(said(&config, &stopped, &impatient), format!("stopped while {doing}. {again}"));
        assert_eq!(stopped.join("indicators.json").exists(), impatient.stage != "fisher" || doing == "searching");
    }
    let error = said(&config, &stopped, &Impatient::after(5, "fine-tune uniform"));
    let steps =
        "stopped after step 5 of 22 of fine-tune uniform, which is saved. The same command continues from there";
    assert_eq!(error, steps);
    let stages = Stages::default();
    run(&config, &stopped, &stages).unwrap();
    assert_eq!(stages.0.into_inner(), ["fine-tune uniform"], "what was finished is kept");
    let (whole, stopped) = (tree(&whole), tree(&stopped));
    assert!(whole.keys().eq(stopped.keys()), "{:?} {:?}", whole.keys(), stopped.keys());
    for (name, content) in &whole {
        assert!(stopped[name] == *content, "{name} differs");
    }
}

#[test]
fn evaluation_can_be_interrupted() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["sensitivity.name=random", "pretrain.epochs=0", "finetune.epochs=0"]);
    let error = said(&config, home.path(), &Impatient::behind("fine-tune found"));
    assert!(error.starts_with("stopped while measuring accuracy on the test images. The same command"), "{error}");
    assert!(!home.path().join("summary.json").exists());
}

#[test]
fn the_last_checkpoints_are_kept_and_no_others() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["checkpoints.every_steps=3", "checkpoints.last=3"]);
    said(&config, home.path(), &Impatient::after(14, "pretrain"));
    let kept: Vec<String> = tree(home.path()).into_keys().filter(|name| name.starts_with("checkpoints/")).collect();
    // After every third step, and after the one that was interrupted.
    let steps = [9, 12, 14].map(|step| format!("checkpoints/pretrain-{step:010}.safetensors"));
    assert_eq!(kept, steps);
}

//! Learning rates: those of timm epoch by epoch, whose scheduler LIMPQ's code uses, and those that a run has.
//! `tests/golden/schedules.py` made the file.

use crate::runs::tiny;
use limpq_core::{
    run::run,
    train::{Progress, Recipe, Schedule, Step},
};
use serde::Deserialize;
use std::cell::RefCell;

#[derive(Deserialize)]
struct Golden {
    timm: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    recipe: Recipe,
    nesterov: bool,
    learning_rates: Vec<f64>,
}

#[test]
fn an_epoch_has_timm_s_learning_rate() {
    let golden: Golden = serde_json::from_str(include_str!("golden/schedules.json")).unwrap();
    assert_eq!((golden.timm.as_str(), golden.cases.len()), ("1.0.31", 6));
    for Case { name, recipe, nesterov, learning_rates } in golden.cases {
        assert!(nesterov, "timm's sgd looks ahead, as the recipes of LIMPQ here do");
        let recipe = Recipe { schedule: Schedule::Epoch, ..recipe };
        assert_eq!((recipe.fault(), recipe.all_epochs()), (None, learning_rates.len()), "{name}");
        const PER_EPOCH: usize = 7;
        for step in 0..PER_EPOCH * learning_rates.len() {
            let wanted = learning_rates[step / PER_EPOCH];
            let found = recipe.learning_rate_at(step, PER_EPOCH * learning_rates.len(), PER_EPOCH);
            assert!((found / wanted - 1.0).abs() < 1e-12, "{name}, step {step}: {found}, timm has {wanted}");
        }
    }
}

/// The learning rate of each step of fine-tuning the found policy.
#[derive(Default)]
struct Rates {
    on: RefCell<bool>,
    seen: RefCell<Vec<f64>>,
}

impl Progress for Rates {
    fn start(&self, stage: &str, _: usize, _: usize) {
        *self.on.borrow_mut() = stage == "fine-tune found";
    }
    fn step(&self, step: &Step) {
        if *self.on.borrow() {
            self.seen.borrow_mut().push(step.learning_rate);
        }
    }
    fn finish(&self) {}
}

#[test]
fn a_run_has_the_epochs_and_the_learning_rates_of_its_recipe() {
    let (home, rates) = (tempfile::tempdir().unwrap(), Rates::default());
    let sets = ["pretrain.epochs=0", "indicators.epochs=0", "finetune.batch_size=400", "finetune.epochs=2"];
    let epoch = ["finetune.schedule=epoch", "finetune.warmup_epochs=1", "finetune.cooldown_epochs=1"];
    run(&tiny(&[&sets[..], &epoch].concat()), home.path(), &rates).unwrap();
    // 1442 training images make three batches. Warm-up, the cosine's middle of 0.01 and 1e-5, cool-down.
    let wanted = [1e-5, (0.01 + 1e-5) / 2.0, 1e-5].map(|rate| [rate; 3]).concat();
    let seen = rates.seen.into_inner();
    assert_eq!(seen.len(), wanted.len(), "{seen:?}");
    assert!(seen.iter().zip(&wanted).all(|(found, wanted)| (found / wanted - 1.0).abs() < 1e-12), "{seen:?}");
}

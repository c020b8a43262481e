//! Whole runs on the embedded digits: bit-identical when repeated, resumable.

use crate::fixtures;
use limpq_core::{
    registry::entries,
    run::{Config, Place, Setup, Summary, run, run_in},
    search::{Indicators, Policy},
    train::{CancelToken, Checkpoint, Progress, Quantizer, Sensitivity, State},
};
use std::{cell::RefCell, path::Path};

/// Remembers which stages trained.
#[derive(Default)]
pub struct Stages(pub RefCell<Vec<String>>);

impl Progress for Stages {
    fn start(&self, stage: &str, _: usize, _: usize) {
        self.0.borrow_mut().push(stage.to_owned());
    }
    fn finish(&self) {}
}

/// A network small enough for a test: one block in each stage, four channels, one epoch.
pub const TINY: &str = r#"name = "tiny"
seed = 5
bits = [4, 3, 2]
dataset = { name = "digits" }
model = { name = "resnet20", width = 4, blocks = 1 }
quantizer = { name = "lsq" }
sensitivity = { name = "learned_step" }
solver = { name = "exact" }

[pretrain]
epochs = 1
learning_rate = 0.1

[indicators]
epochs = 1
clip_value = 1.0

[finetune]
epochs = 1

[search.budgets]
bitops = "w3a3"
size = "9x"
"#;

/// The tiny experiment with some settings changed.
pub fn tiny(sets: &[&str]) -> Config {
    use limpq as _;
    let device = format!("device={}", fixtures::device_name());
    let sets: Vec<String> = std::iter::once(device).chain(sets.iter().map(|set| (*set).to_owned())).collect();
    Config::parse("tiny.toml", TINY, &sets).unwrap()
}

/// Runs it, whatever the folder holds; returns the stages that trained.
pub fn go(config: &Config, out: &Path) -> (Summary, Vec<String>) {
    let stages = Stages::default();
    let summary =
        run_in(config, Place { folder: out, others: &[], replace: true }, &stages, &CancelToken::default()).unwrap();
    (summary, stages.0.into_inner())
}

const ARTIFACTS: [&str; 7] = [
    "pretrained.safetensors",
    "indicators.json",
    "policy.yaml",
    "finetuned.safetensors",
    "finetuned.json",
    "uniform.safetensors",
    "config.toml",
];

/// There are 1442 images to train on.
#[test]
fn a_stage_that_trains_nothing_has_no_batch_that_is_too_large() {
    let home = tempfile::tempdir().unwrap();
    let sets = ["sensitivity.name=random", "pretrain.epochs=0", "finetune.epochs=0", "pretrain.batch_size=10000"];
    run(&tiny(&sets), home.path(), &Stages::default()).unwrap();
    let sets = [&sets[..], &["pretrain.epochs=1"]].concat();
    let error = run(&tiny(&sets), &home.path().join("other"), &Stages::default()).unwrap_err().to_string();
    assert!(error.contains("images, fewer than a batch of 10000; lower [pretrain] batch_size"), "{error}");
}

#[test]
fn the_same_config_and_seed_give_the_same_bits_and_a_new_budget_only_solves_again() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let (first, stages) = go(&tiny(&[]), &a);
    assert_eq!(stages, ["pretrain", "indicators", "fine-tune found", "fine-tune uniform"]);
    let (second, _) = go(&tiny(&[]), &b);
    for name in ARTIFACTS {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(&a), read(&b), "{name} differs between two runs of one config");
    }
    assert_eq!(first.networks, second.networks);
    assert!(
        first.networks.len() == 3 && first.networks.iter().all(|e| e.score.loss.is_finite() && e.score.images > 300)
    );
    for budget in &first.budgets {
        assert!(Some(budget.used) <= budget.limit, "{budget:?}");
    }

    let again = |config: &Config| {
        let stages = Stages::default();
        (run(config, &a, &stages).unwrap(), stages.0.into_inner())
    };
    let (same, stages) = again(&tiny(&[]));
    assert_eq!(stages, [""; 0], "a finished run trains nothing again");
    assert_eq!(same.networks, first.networks);

    let (_, stages) = go(&tiny(&["search.budgets.bitops=w2a3"]), &a);
    assert!(!stages.iter().any(|stage| stage == "pretrain" || stage == "indicators"), "{stages:?}");
    assert!(stages.contains(&"fine-tune found".to_owned()));

    // Another seed is another result.
    let (other, _) = go(&tiny(&["seed=6"]), &home.path().join("c"));
    assert_ne!(other.networks, first.networks);
}

#[test]
fn every_sensitivity_gives_its_own_indicators() {
    let home = tempfile::tempdir().unwrap();
    let names: Vec<&str> = entries::<dyn Sensitivity>().unwrap().iter().map(|entry| entry.name).collect();
    let measure = |name: &str| {
        let (summary, _) = go(&tiny(&[&format!("sensitivity.name={name}"), "finetune.epochs=0"]), home.path());
        assert_eq!(summary.networks[1].name, name);
        std::fs::read(home.path().join("indicators.json")).unwrap()
    };
    let files: Vec<Vec<u8>> = names.iter().map(|name| measure(name)).collect();
    assert_eq!(measure(names[0]), files[0], "the same numbers twice");
    let indicators: Vec<Indicators> = files.iter().map(|file| Indicators::from_bytes(file).unwrap()).collect();
    for (index, one) in indicators.iter().enumerate() {
        assert_eq!(one.layers.len(), 8, "one block in each of three stages, two of them with a shortcut");
        for layer in one.layers.values().flat_map(|layer| [&layer.weight, &layer.act]) {
            assert!(layer.len() == 3 && layer.values().all(|v| v.is_finite() && *v >= 0.0), "{:?}", one.provenance);
        }
        assert!(indicators[index + 1..].iter().all(|other| other.layers != one.layers), "{:?}", one.provenance);
    }
    let of = |name: &str| &indicators[names.iter().position(|other| *other == name).expect("it is registered")];
    // The reversed indicators are the learned values, assigned to other layers.
    let sorted = |set: &Indicators| {
        let mut all: Vec<f64> = set.layers.values().flat_map(|layer| layer.weight.values().copied()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    assert_eq!(sorted(of("learned_step")), sorted(of("reversed")));
    assert_ne!(sorted(of("learned_step")), sorted(of("static_step")), "joint training moves the step sizes");
}

#[test]
fn every_quantizer_runs_from_pretraining_to_evaluation() {
    let home = tempfile::tempdir().unwrap();
    let mut without = vec![];
    for entry in entries::<dyn Quantizer>().unwrap() {
        let name = entry.name;
        let quantizer = format!("quantizer.name={name}");
        let refused = Config::parse("tiny.toml", TINY, std::slice::from_ref(&quantizer)).is_err();
        let sensitivity = if refused { "random" } else { "learned_step" };
        if refused {
            without.push(name);
        }
        let config = tiny(&[&quantizer, &format!("sensitivity.name={sensitivity}")]);
        let (summary, stages) = go(&config, home.path());
        let trained = ["fine-tune found", "fine-tune uniform"];
        assert!(stages.ends_with(&trained.map(str::to_owned)), "{name}: {stages:?}");
        assert_eq!(summary.networks.len(), 3, "{name}");
        for network in &summary.networks {
            assert!(network.score.loss.is_finite(), "{name}: {network:?}");
            // Ten classes: guessing gives 0.1.
            assert!(network.score.accuracy > 0.2, "{name}: {network:?}");
        }
        for file in ["finetuned.safetensors", "uniform.safetensors"] {
            let state = State::from_bytes(&std::fs::read(home.path().join(file)).unwrap(), file).unwrap();
            for (tensor, array) in &state.0 {
                assert!(array.values.iter().all(|value| value.is_finite()), "{name}: {tensor} in {file}");
            }
        }
    }
    assert_eq!(without, ["dorefa", "pact"], "those without step sizes for weights");
}

#[test]
fn a_grid_that_is_not_learned_gives_the_indicators_it_starts_from() {
    let home = tempfile::tempdir().unwrap();
    let measure = |quantizer: &str, sensitivity: &str| {
        let start = if sensitivity == "learned_step" { ", activation_init = 'full_precision'" } else { "" };
        let sets = [format!("quantizer.name={quantizer}"), format!("sensitivity={{ name = '{sensitivity}'{start} }}")];
        go(&tiny(&[&sets[0], &sets[1], "finetune.epochs=0"]), home.path());
        Indicators::from_bytes(&std::fs::read(home.path().join("indicators.json")).unwrap()).unwrap().layers
    };
    assert_eq!(measure("minmax", "learned_step"), measure("minmax", "static_step"));
    assert_ne!(measure("ewgs", "learned_step"), measure("ewgs", "static_step"));
}

#[test]
fn weight_decay_reaches_the_parameters_of_a_quantizer_that_asks_for_it() {
    let home = tempfile::tempdir().unwrap();
    let clips = |quantizer: &str, decay: &str| {
        let sets = [format!("quantizer.name={quantizer}"), format!("finetune.weight_decay={decay}")];
        go(&tiny(&[&sets[0], &sets[1], "sensitivity.name=random"]), home.path());
        let file = std::fs::read(home.path().join("finetuned.safetensors")).unwrap();
        let state = State::from_bytes(&file, "finetuned.safetensors").unwrap().0.into_iter();
        let clips = state.filter(|(name, _)| name.contains("act_quantizer"));
        clips.map(|(_, array)| f64::from(array.values[0])).sum::<f64>()
    };
    // Two dozen steps with momentum, at a mean rate of 0.005 * 2, shrink a number by a fifth or so.
    let (strong, none) = (clips("pact", "0.1"), clips("pact", "0"));
    assert!(strong < 0.95 * none, "{strong}, without decay {none}");
}

#[test]
fn equal_policies_get_equal_scores() {
    let home = tempfile::tempdir().unwrap();
    // With one candidate the found policy is the uniform one.
    let (summary, _) = go(&tiny(&["bits=[3]"]), home.path());
    let [_, found, uniform] = &summary.networks[..] else { panic!("{:?}", summary.networks) };
    assert_eq!(found.score, uniform.score, "found and uniform policies see the same batches");
}

#[test]
fn budgets_out_of_reach_are_refused_before_any_training() {
    let home = tempfile::tempdir().unwrap();
    go(&tiny(&["finetune.epochs=0"]), home.path());
    for (set, message) in [
        ("search.budgets.size=900x", "size=900x: asked"),
        ("search.budgets.bitops=abc", "budget bitops: cannot read limit \"abc\""),
        ("search.budgets.bitops=48", "budget bitops: cannot read limit \"48\""),
    ] {
        let stages = Stages::default();
        let error = run(&tiny(&["seed=9", set]), home.path(), &stages).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(stages.0.into_inner().is_empty(), "nothing is trained for a budget that cannot be kept");
        assert!(home.path().join("summary.json").exists(), "the earlier run's results are untouched");
    }
}

#[test]
fn a_diverging_loss_stops_with_the_step_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["pretrain.learning_rate=1e30"]);
    let error = run(&config, home.path(), &Stages::default()).unwrap_err().to_string();
    assert!(
        error.contains("of pretrain at learning rate") && error.contains("Lower [pretrain] learning_rate"),
        "{error}"
    );
    assert!(error.contains("not finite are the activations that reach layer layer1.0."), "{error}");
    assert!(error.ends_with("No checkpoint had been made"), "{error}");
    assert!(!home.path().join("pretrained.safetensors").exists());

    // The first step's values are huge but finite; the second step's loss is not.
    let config = tiny(&["pretrain.learning_rate=1e30", "checkpoints.every_steps=1"]);
    let error = run(&config, &home.path().join("saved"), &Stages::default()).unwrap_err().to_string();
    let step = error.split_once(" in step ").unwrap().1.split(' ').next().unwrap().parse::<usize>().unwrap();
    assert!(step > 1, "{error}");
    assert!(error.ends_with(&format!("The checkpoint of step {} stays", step - 1)), "{error}");
    let last = format!("saved/checkpoints/pretrain-{:010}.safetensors", step - 1);
    let last = std::fs::read(home.path().join(last)).unwrap();
    assert_eq!(Checkpoint::from_bytes(&last, "").unwrap().state.not_finite(), None);
}

#[test]
fn a_network_that_is_infinite_after_its_last_step_is_no_result() {
    let home = tempfile::tempdir().unwrap();
    // One batch, so the one step is the last, and no later loss can show what it did.
    let config = tiny(&["pretrain.learning_rate=1e300", "pretrain.batch_size=1000"]);
    let error = run(&config, home.path(), &Stages::default()).unwrap_err().to_string();
    assert!(error.starts_with("the network overflowed in step 1 of pretrain at learning rate 1000"), "{error}");
    assert!(error.contains("; the first values that are not finite are those of "), "{error}");
    assert!(error.ends_with("No checkpoint had been made"), "{error}");
    assert!(!home.path().join("pretrained.safetensors").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = run(&tiny(&[]), &file.join("run"), &Stages::default()).unwrap_err().to_string();
    assert!(error.contains("file/run"), "{error}");
}

#[test]
fn a_refined_policy_stands_next_to_the_found_one() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["refine.evaluations=3", "refine.images=32"]);
    let (summary, stages) = go(&config, home.path());
    assert_eq!(
        stages,
        ["pretrain", "indicators", "refine", "fine-tune found", "fine-tune refined", "fine-tune uniform"]
    );
    let names: Vec<&str> = summary.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names[1..3], ["learned_step", "learned_step, refined"]);
    let refined = summary.refined.clone().unwrap();
    assert!(refined.evaluations == 3 && refined.loss_after <= refined.loss_before, "{refined:?}");
    for (used, budget) in summary.networks[2].used.iter().zip(&summary.budgets) {
        assert!(*used <= budget.limit, "{}", budget.name);
    }
    let (again, stages) = go(&config, home.path());
    assert_eq!(stages, [""; 0], "nothing is measured or trained again");
    assert_eq!(again.networks, summary.networks);
}

#[test]
fn recipes_change_what_is_trained() {
    let home = tempfile::tempdir().unwrap();
    let score = |sets: &[&str]| {
        let sets = [&["sensitivity.name=static_step"][..], sets].concat();
        let (summary, _) = go(&tiny(&sets), home.path());
        (summary.networks[0].score, summary.networks[1].score)
    };
    let plain = score(&[]);
    assert!(plain.0.top5 >= plain.0.accuracy && plain.0.top5 < 1.0, "{plain:?}");
    for set in [
        "finetune.optimizer=\"adam\"",
        "finetune.optimizer=\"adamw\"",
        "finetune.clip_norm=0.01",
        "finetune.distillation=1.0",
        "finetune.arithmetic=\"bfloat16\"",
        "finetune.fraction=0.5",
    ] {
        let other = score(&[set]);
        assert_eq!(other.0, plain.0, "{set} is about fine-tuning only");
        assert!(other.1.loss.is_finite() && other.1 != plain.1, "{set}: {other:?}");
    }
    let again = score(&["evaluate.batch_norm_images=64"]);
    assert_eq!((plain.1.batch_norm_images, again.1.batch_norm_images), (0, 64));
    assert_ne!(again.1.loss, plain.1.loss);
}

#[test]
fn a_stage_of_a_plugin_runs_when_its_section_is_there_and_is_kept_like_any_other() {
    let home = tempfile::tempdir().unwrap();
    let brief = ["sensitivity.name=random", "pretrain.epochs=0", "finetune.epochs=0"];
    go(&tiny(&brief), home.path());
    let table = home.path().join("layers.csv");
    assert!(!table.exists());
    let asked = tiny(&[&brief[..], &["stages.layer_table={}"]].concat());
    run(&asked, home.path(), &Stages::default()).unwrap();
    let text = std::fs::read_to_string(&table).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let graph = Setup::new(&asked, &()).unwrap().graph;
    assert_eq!(rows.len(), graph.layers().len() + 1, "{text}");
    assert_eq!(rows[1][..6], ["conv1", "conv", "1x8x8", "4x8x8", "3x3", "1x1"], "{text}");
    assert_eq!(rows[1][7..], ["36", "2304", "true", "8", "8"], "4*1*3*3 weights at 64 pixels: {text}");
    let policy = Policy::read(&home.path().join("policy.json"), Some(&graph)).unwrap();
    let found = policy.policy.iter().map(|layer| (layer.weight_bits.to_string(), layer.act_bits.to_string()));
    let searched = rows[1..].iter().filter(|row| row[9] == "false").map(|row| (row[10].to_owned(), row[11].to_owned()));
    assert!(found.eq(searched), "{text}");

    let written = std::fs::metadata(&table).unwrap().modified().unwrap();
    run(&asked, home.path(), &Stages::default()).unwrap();
    assert_eq!(std::fs::metadata(&table).unwrap().modified().unwrap(), written, "the same inputs: it is skipped");

    let wrong = |set: &str| Config::parse("tiny.toml", TINY, &[set.to_owned()]).unwrap_err().to_string();
    let error = wrong("stages.layer_tabel={}");
    assert!(error.contains("no stage is called \"layer_tabel\" (did you mean \"layer_table\"?)"), "{error}");
    let error = wrong("stages.layer_table={bits=3}");
    assert!(error.contains("stages.layer_table") && error.contains("unknown field `bits`"), "{error}");
}

#[test]
fn activations_are_calibrated_on_as_many_batches_as_the_recipe_says() {
    let home = tempfile::tempdir().unwrap();
    let brief = ["sensitivity.name=random", "pretrain.epochs=0", "finetune.epochs=0", "finetune.batch_size=32"];
    let calibrated = |batches: &str| {
        let folder = home.path().join(batches);
        let set = format!("finetune.calibration_batches={batches}");
        go(&tiny(&[&brief[..], &[&set]].concat()), &folder);
        let bytes = std::fs::read(folder.join("finetuned.safetensors")).unwrap();
        State::from_bytes(&bytes, "finetuned.safetensors").unwrap()
    };
    // More batches than there are: each image once.
    let [one, two, all] = ["1", "2", "1000000"].map(calibrated);
    let differing = |a: &State, b: &State| {
        let names = a.0.iter().filter(|(name, array)| b.0[*name].values != array.values);
        names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    for (a, b) in [(&one, &two), (&two, &all)] {
        let differing = differing(a, b);
        assert!(differing.len() > 3, "{differing:?}");
        assert!(differing.iter().all(|name| name.contains(".act_quantizer.")), "only activations: {differing:?}");
    }
    let none = ["finetune.calibration_batches=0".to_owned()];
    let error = Config::parse("tiny.toml", TINY, &none).unwrap_err().to_string();
    assert!(error.contains("finetune.calibration_batches"), "{error}");
}

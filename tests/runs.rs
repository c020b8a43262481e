//! Whole runs on the embedded digits: repeatable to the last bit, resumable, and clear when a config is wrong.

use crate::fixtures;
use limpq_core::{
    registry::entries,
    run::{Config, Summary, run},
    search::Indicators,
    train::{Progress, Quantizer, Sensitivity, State},
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

pub fn go(config: &Config, out: &Path) -> (Summary, Vec<String>) {
    let stages = Stages::default();
    let summary = run(config, out, &stages).unwrap();
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
    assert_eq!(first.entrants, second.entrants);
    assert!(
        first.entrants.len() == 3 && first.entrants.iter().all(|e| e.score.loss.is_finite() && e.score.images > 300)
    );
    for budget in &first.budgets {
        assert!(Some(budget.used) <= budget.limit, "{budget:?}");
    }

    let (again, stages) = go(&tiny(&[]), &a);
    assert_eq!(stages, [""; 0], "a finished run trains nothing again");
    assert_eq!(again.entrants, first.entrants);

    let (_, stages) = go(&tiny(&["search.budgets.bitops=w2a3"]), &a);
    assert!(!stages.iter().any(|stage| stage == "pretrain" || stage == "indicators"), "{stages:?}");
    assert!(stages.contains(&"fine-tune found".to_owned()));

    // Another seed is another result.
    let (other, _) = go(&tiny(&["seed=6"]), &home.path().join("c"));
    assert_ne!(other.entrants, first.entrants);
}

#[test]
fn every_sensitivity_gives_its_own_indicators() {
    let home = tempfile::tempdir().unwrap();
    let names: Vec<&str> = entries::<dyn Sensitivity>().unwrap().iter().map(|entry| entry.name).collect();
    let measure = |name: &str| {
        let (summary, _) = go(&tiny(&[&format!("sensitivity.name={name}"), "finetune.epochs=0"]), home.path());
        assert_eq!(summary.entrants[1].name, name);
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
    // Reversed are the learned numbers, handed to other layers.
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
        assert_eq!(summary.entrants.len(), 3, "{name}");
        for entrant in &summary.entrants {
            assert!(entrant.score.loss.is_finite(), "{name}: {entrant:?}");
            // Ten classes: a guess is right one time in ten.
            assert!(entrant.score.accuracy > 0.2, "{name}: {entrant:?}");
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
        let sets = [format!("quantizer.name={quantizer}"), format!("sensitivity.name={sensitivity}")];
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
    let [_, found, uniform] = &summary.entrants[..] else { panic!("{:?}", summary.entrants) };
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
fn wrong_configs_point_at_line_and_column() {
    let wrong = |from: &str, to: &str| {
        assert!(TINY.contains(from));
        Config::parse("tiny.toml", &TINY.replacen(from, to, 1), &[]).unwrap_err().to_string()
    };
    let cases = [
        ("seed = 5", "sead = 5", "tiny.toml:2:1: sead: unknown field `sead`"),
        ("seed = 5", "seed = 'x'", "tiny.toml:2:1: seed: invalid type: string \"x\", expected u64"),
        ("seed = 5", "seed = 5.9", "tiny.toml:2:1: seed: invalid type: floating point `5.9`, expected u64"),
        ("bits = [4, 3, 2]", "bits = [4, 0]", "bit-width must be 1..=32, got 0"),
        ("bits = [4, 3, 2]", "bits = []", "the list of candidate bit-widths is empty"),
        ("width = 4", "widht = 4", "tiny.toml:5:30: model.widht: unknown field `widht`"),
        ("\"resnet20\"", "\"resnet21\"", "no model is called \"resnet21\" (did you mean \"resnet20\"?)"),
        ("epochs = 1", "epoch = 1", "tiny.toml:11:1: pretrain.epoch: unknown field `epoch`"),
        (
            "learning_rate = 0.1",
            "learning_rate = -0.1",
            "tiny.toml:12:1: pretrain.learning_rate: must be a positive number",
        ),
        ("bitops = ", "bitop = ", "no cost is called \"bitop\" (did you mean \"bitops\"?)"),
        ("seed = 5", "seed = ", "tiny.toml is not TOML: TOML parse error at line 2"),
        (
            "seed = 5",
            "device = 'cuda'",
            "no device is called \"cuda\"; there are: flex, libtorch, libtorch:cuda:N and cuda:N",
        ),
        (
            "size = \"9x\"",
            "size = \"9x\"\n[cost.size]\nbatch = 1",
            "tiny.toml:25:1: cost.size.batch: unknown field `batch`",
        ),
        ("size = \"9x\"", "size = true", "tiny.toml:23:1: search.budgets.size: expected a limit such as"),
        (
            "{ name = \"lsq\" }",
            "\"lsq\"",
            "tiny.toml:6:1: quantizer: invalid type: string \"lsq\", expected a table with the",
        ),
        ("bits = [4, 3, 2]", "bits = [2, 1]", "tiny.toml:3:1: bits: bit-width 1 cannot be trained"),
        ("name = \"lsq\"", "name = \"lsq\", min_step = -1.0", "quantizer.min_step: must be a positive number, got -1"),
        (
            "name = \"lsq\"",
            "name = \"dorefa\"",
            "tiny.toml:6:15: quantizer.name: sensitivity \"learned_step\" asks for importance indicators, but quantizer \
             \"dorefa\" gives no importance indicator for weights: its levels are the same for every layer, and nothing about \
             them is learned. Quantizers that give them: ewgs, lsq, lsq_plus, minmax. Sensitivities that do without: fisher, infoq, \
             loss_drop, random",
        ),
        ("name = \"tiny\"", "name = \"../tiny\"", "tiny.toml:1:1: name: must be a plain file name"),
        ("name = \"tiny\"", "", "missing field `name`"),
    ];
    for (from, to, message) in cases {
        let error = wrong(from, to);
        assert!(error.contains(message), "{from} -> {to}: {error}");
    }
    let set = Config::parse("tiny.toml", TINY, &["model.widht=3".into()]).unwrap_err().to_string();
    assert!(set.starts_with("--set model.widht=3: model.widht: unknown field"), "{set}");
    let set = Config::parse("tiny.toml", TINY, &["model.width".into()]).unwrap_err().to_string();
    assert!(set.contains("expected KEY=VALUE"), "{set}");
}

#[test]
fn a_resolved_config_has_every_default_and_reads_back() {
    let config = tiny(&["search.alpha=1.5"]);
    let text = config.to_toml();
    for default in
        ["min_step", "weight_start", "alpha = 1.5", "label_smoothing", "accounting = \"exact\"", "device = \""]
    {
        assert!(text.contains(default), "{default} is missing in\n{text}");
    }
    assert_eq!(Config::parse("config.toml", &text, &[]).unwrap(), config);
}

#[test]
fn rules_stand_in_a_config_and_hold_in_the_run() {
    let text = TINY.replace(
        "[search.budgets]",
        "[search]\nshare = [\"@residual\"]\n\n[search.layers]\n\"layer1.*\" = \"w2\"\n\n[search.budgets]",
    );
    let config = Config::parse("tiny.toml", &text, &[]).unwrap();
    let rules = config.search.rules().unwrap();
    assert_eq!(rules.rules[0].to_string(), "layer1.*=w2");
    assert_eq!(rules.shares[0].to_string(), "@residual");
    assert_eq!(Config::parse("config.toml", &config.to_toml(), &[]).unwrap(), config);
    let wrong = text.replace("= \"w2\"", "= \"2\"");
    let error = Config::parse("tiny.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("cannot read the rule \"layer1.*=2\""), "{error}");
    let wrong = text.replace("@residual", "@residal");
    let error = Config::parse("tiny.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("cannot read the share \"@residal\""), "{error}");
}

#[test]
fn a_refined_policy_stands_next_to_the_found_one() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["refine.evaluations=4", "refine.images=32"]);
    let (summary, stages) = go(&config, home.path());
    assert_eq!(
        stages,
        ["pretrain", "indicators", "refine", "fine-tune found", "fine-tune refined", "fine-tune uniform"]
    );
    let names: Vec<&str> = summary.entrants.iter().map(|entrant| entrant.name.as_str()).collect();
    assert_eq!(names[1..3], ["learned_step", "learned_step, refined"]);
    let refined = summary.refined.clone().unwrap();
    assert!(refined.evaluations == 4 && refined.loss_after <= refined.loss_before, "{refined:?}");
    for (used, budget) in summary.entrants[2].used.iter().zip(&summary.budgets) {
        assert!(*used <= budget.limit, "{}", budget.name);
    }
    let (again, stages) = go(&config, home.path());
    assert_eq!(stages, [""; 0], "nothing is measured or trained again");
    assert_eq!(again.entrants, summary.entrants);
}

#[test]
fn recipes_change_what_is_trained_and_the_best_epoch_can_be_kept() {
    let home = tempfile::tempdir().unwrap();
    let score = |sets: &[&str]| {
        let sets = [&["sensitivity.name=static_step"][..], sets].concat();
        let (summary, _) = go(&tiny(&sets), home.path());
        (summary.entrants[0].score, summary.entrants[1].score)
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
    let best = score(&["split.validation=0.2", "pretrain.epochs=3", "pretrain.keep=\"best\"", "split.fraction=0.5"]);
    let read = |name: &str| std::fs::read(home.path().join(name)).unwrap();
    assert_eq!(read("pretrained.safetensors"), read("pretrained.best.safetensors"));
    assert!(best.0.loss.is_finite() && home.path().join("pretrained.last.safetensors").exists());
}

#[test]
fn recipes_that_lack_something_are_refused_with_the_config() {
    let refused = |set: &str| Config::parse("tiny.toml", TINY, &[set.to_owned()]).unwrap_err().to_string();
    for (set, message) in [
        ("pretrain.keep=\"best\"", "pretrain.keep: \"best\" is judged on held-out images; give split.validation"),
        ("indicators.keep=\"best\"", "indicators.keep: indicators are those of the last step"),
        ("pretrain.distillation=0.5", "pretrain.distillation: there is no teacher"),
        ("split.fraction=0", "split.fraction: must be above 0 and at most 1, got 0"),
        ("indicators.fraction=1.5", "indicators.fraction: must be above 0 and at most 1, got 1.5"),
        ("finetune.temperature=0", "finetune.temperature: must be a positive number"),
    ] {
        assert!(refused(set).contains(message), "{}", refused(set));
    }
}

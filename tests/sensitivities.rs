//! Sensitivities in whole runs: with quantizers that give no indicators, and what the options of the joint training do.

use crate::{
    fixtures,
    runs::{Stages, go, tiny},
};
use limpq_core::{
    graph::Model,
    run::Config,
    search::{BitWidth, Indicators, Precision, uniform_precisions},
    train::{Job, Network, NoCheckpoints, Optimizer, Plan, Quantizer, Recipe, Role, State, TrainContext, Update},
};
use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, sync::Arc};

fn state(folder: &Path, name: &str) -> BTreeMap<String, Vec<f32>> {
    let state = State::from_bytes(&std::fs::read(folder.join(name)).unwrap(), name).unwrap();
    state.0.into_iter().map(|(name, array)| (name, array.values)).collect()
}

fn indicators(folder: &Path) -> Indicators {
    Indicators::from_bytes(&std::fs::read(folder.join("indicators.json")).unwrap()).unwrap()
}

/// Indicators after the sensitivity's stage alone.
fn measured(home: &Path, sets: &[&str]) -> Indicators {
    go(&tiny(&[&["finetune.epochs=0"][..], sets].concat()), home);
    indicators(home)
}

#[test]
fn measured_sensitivities_work_with_quantizers_without_indicators() {
    let home = tempfile::tempdir().unwrap();
    for quantizer in ["dorefa", "pact"] {
        for sensitivity in ["fisher", "loss_drop", "infoq", "mutual_information_drop"] {
            let sets = [format!("quantizer.name={quantizer}"), format!("sensitivity.name={sensitivity}")];
            let found = measured(home.path(), &[&sets[0], &sets[1]]);
            let sum = |bits: u64| {
                let bits = BitWidth::new(bits).unwrap();
                found.layers.values().map(|layer| layer.weight[&bits] + layer.act[&bits]).sum::<f64>()
            };
            assert!(sum(2) > sum(4) && sum(4) >= 0.0, "{quantizer}, {sensitivity}: {} {}", sum(2), sum(4));
        }
    }
}

#[test]
fn options_of_sensitivities_change_what_is_measured() {
    let home = tempfile::tempdir().unwrap();
    for (name, option) in [
        ("fisher", "batches=2"),
        ("fisher", "batch_size=32"),
        ("loss_drop", "measure=\"kl\""),
        ("loss_drop", "images=100"),
        ("infoq", "projections=3"),
        ("infoq", "bins=5"),
        ("infoq", "images=100"),
        ("mutual_information_drop", "projections=3"),
        ("mutual_information_drop", "bins=5"),
        ("mutual_information_drop", "images=100"),
        ("learned_step", "gradients=\"mean\""),
        ("learned_step", "random_pass=\"separate\""),
        ("learned_step", "random_passes=0"),
        ("learned_step", "random_passes=2"),
        ("learned_step", "activation_init=\"full_precision\""),
        ("learned_step", "activation_init_batches=3"),
        ("learned_step", "frozen_weights=true"),
        ("reversed", "gradients=\"mean\""),
    ] {
        let name = format!("sensitivity.name={name}");
        let plain = measured(home.path(), &[&name]);
        let other = measured(home.path(), &[&name, &format!("sensitivity.{option}")]);
        assert_ne!(plain.layers, other.layers, "{name} {option}");
        let sane = |value: &f64| value.is_finite() && *value >= 0.0;
        assert!(other.layers.values().all(|l| l.weight.values().chain(l.act.values()).all(sane)), "{name} {option}");
    }
    let refused = |set: &str| {
        let sets = ["sensitivity.name=\"learned_step\"".to_owned(), set.to_owned()];
        Config::parse("tiny.toml", crate::runs::TINY, &sets).unwrap_err().to_string()
    };
    assert!(refused("sensitivity.seeds=0").contains("sensitivity.seeds"), "{}", refused("sensitivity.seeds=0"));
    assert!(refused("sensitivity.gradients=\"max\"").contains("expected `sum` or `mean`"));
    assert!(refused("sensitivity.sedes=2").contains("sensitivity.sedes: unknown field"));
}

#[test]
fn frozen_weights_stay_and_step_sizes_move() {
    let home = tempfile::tempdir().unwrap();
    measured(home.path(), &["sensitivity.frozen_weights=true"]);
    let (before, after) = (state(home.path(), "pretrained.safetensors"), state(home.path(), "joint.safetensors"));
    for (name, values) in before.iter().filter(|(name, _)| !name.contains("running_")) {
        // Batch-norms have a copy for each bit-width, but that of the unquantized stem.
        let copies = ["b4", "b3", "b2"].map(|bits| match name.rsplit_once('.') {
            Some((module, part)) if !after.contains_key(name) => format!("{module}.{bits}.{part}"),
            _ => name.clone(),
        });
        assert!(copies.iter().all(|copy| after[copy] == *values), "{name} was trained");
    }
    let learned = indicators(home.path());
    let untrained = measured(home.path(), &["sensitivity.name=static_step"]);
    assert_ne!(learned.layers, untrained.layers);
}

#[test]
fn indicators_of_several_seeds_are_means_with_a_spread() {
    let home = tempfile::tempdir().unwrap();
    let one = measured(home.path(), &[]);
    let file = std::fs::read_to_string(home.path().join("indicators.json")).unwrap();
    assert!(one.spread.is_none() && !file.contains("spread"), "files of one seed are as they were");
    let joint = state(home.path(), "joint.safetensors");
    let two = measured(home.path(), &["sensitivity.seeds=2"]);
    assert_eq!(state(home.path(), "joint.safetensors"), joint, "the network that stays is that of the run's own seed");
    let spread = two.spread.expect("two seeds differ");
    for (name, layer) in &two.layers {
        for (bits, mean) in &layer.weight {
            // Of two numbers the deviation is the distance to the mean times the root of two.
            let distance = (one.layers[name].weight[bits] - mean).abs() * 2f64.sqrt();
            assert!((spread[name].weight[bits] - distance).abs() < 1e-12, "{name} {bits}");
        }
    }
    assert!(spread.values().any(|layer| layer.weight.values().any(|value| *value > 0.0)));
    let left: Vec<_> = std::fs::read_dir(home.path().join("checkpoints")).map(Iterator::collect).unwrap_or_default();
    assert!(left.is_empty(), "checkpoints of all seeds are cleared: {left:?}");
}

#[test]
fn step_sizes_stay_positive_at_an_absurd_learning_rate() {
    let home = tempfile::tempdir().unwrap();
    for quantizer in ["lsq", "lsq_plus", "ewgs"] {
        let at = |rate: &str| -> Vec<f64> {
            let sets = [
                format!("quantizer.name={quantizer}"),
                format!("indicators.learning_rate={rate}"),
                format!("indicators.final_learning_rate={rate}"),
                "sensitivity.frozen_weights=true".to_owned(),
            ];
            let learned = measured(home.path(), &sets.each_ref().map(String::as_str));
            let layers = learned.layers.values();
            layers.flat_map(|layer| layer.weight.values().chain(layer.act.values()).copied()).collect()
        };
        let (usual, steps) = (at("0.01"), at("100"));
        assert!(steps.iter().all(|step| step.is_finite() && *step > 0.0), "{quantizer}: {steps:?}");
        // How far one is thrown is chance: a single step may leave it where no gradient reaches it.
        let times = usual.iter().zip(&steps).map(|(usual, step)| (step / usual).max(usual / step));
        let times = times.fold(0.0, f64::max);
        assert!(times > 5.0, "{quantizer}: the rate is not absurd enough, {times} times at most");
    }
}

/// One tensor's step sizes are thrown far up or next to their lower bound, where every value rounds to 0 or is clipped. Training
/// moves them again. (Where weights and activations of a layer all round to 0 neither has a gradient, whatever the quantizer.)
#[test]
fn step_sizes_that_were_thrown_away_come_back() {
    let config = tiny(&[]);
    let data = config.data().unwrap();
    let model = config.model.build::<dyn Model>().unwrap();
    let graph = Arc::new(model.graph(data.shape, data.classes).unwrap());
    let precisions: Vec<Precision> = uniform_precisions(config.bits.iter()).collect();
    let fixed: Vec<bool> = graph.layers().iter().map(|layer| layer.fixed).collect();
    let slots = fixed.iter().map(|&fixed| if fixed { vec![] } else { precisions.clone() }).collect();
    let plan = Plan::new(graph.clone(), slots, config.quantizer.build::<dyn Quantizer>().unwrap().into());
    let device = fixtures::device();
    let (progress, checkpoints) = (Stages::default(), NoCheckpoints);
    let bench = TrainContext {
        data: &data,
        device: &device,
        others: &[],
        seed: 0,
        workers: NonZeroUsize::MIN,
        progress: &progress,
        cancel: None,
        checkpoints: &checkpoints,
    };
    let mut random = State::random(&graph, 0);
    for (_, bias) in random.0.iter_mut().filter(|(name, _)| name.ends_with(".bias")) {
        // What is 0 behind a convolution of zeros is above 0 behind its batch-norm: a dead ReLU is another matter.
        bias.values.fill(0.1);
    }
    let start = Network::new(&plan, &random, &device).unwrap();
    let start = start.calibrate(bench.first_batch(256).unwrap()).state();
    // Adam moves by about the learning rate, whatever the size of the gradient: what stays has none.
    let recipe =
        Recipe { epochs: 1, batch_size: 256, optimizer: Optimizer::Adam, learning_rate: 0.01, ..Recipe::default() };
    let update = Update { frozen_weights: true, ..Update::default() };
    let job = Job { stage: "indicators", label: "again", recipe: &recipe, teacher: &start, update };
    let mut passes = |_| {
        let all = |bits: Precision| fixed.iter().map(|&fixed| (!fixed).then_some(bits)).collect();
        precisions.iter().map(|&bits| all(bits)).collect()
    };
    for (layer, role) in graph.searchable().iter().flat_map(|layer| Role::BOTH.map(|role| (layer, role))) {
        // Twice the lower bound: a step size at the bound may be where the loss wants it.
        for thrown in [10.0, 2e-5] {
            let own = format!("{}.{}_quantizer.", layer.name, role.name());
            let mut state = start.clone();
            let own = |name: &&String| name.starts_with(&own);
            let names: Vec<String> = state.0.keys().filter(own).cloned().collect();
            assert_eq!(names.len(), precisions.len());
            for name in &names {
                state.0.get_mut(name).unwrap().values = vec![thrown];
            }
            let network = Network::new(&plan, &state, &device.clone().autodiff()).unwrap();
            let after = bench.fit(&job, network, &mut passes).unwrap().network.state();
            let stuck: Vec<&String> = names.iter().filter(|name| after.0[*name].values == [thrown]).collect();
            assert!(stuck.is_empty(), "stuck at {thrown}: {stuck:?}");
        }
    }
}

//! Several devices that share each batch. Two CPU devices stand for two GPUs: copies, shares, threads and sums are the same.

use crate::{
    fixtures,
    runs::{Stages, TINY, go, tiny},
};
use burn::tensor::Device;
use limpq_core::{
    graph::Model,
    run::Config,
    search::{BitWidth, Precision, uniform_precisions},
    train::{
        Data, DatasetError, Job, Network, Nowhere, Plan, Quantizer, Recipe, Role, Samples, Score, State, TrainContext,
        Update,
    },
};
use std::{num::NonZeroUsize, sync::Arc};

/// One image many times: each share of a batch then has the statistics of the whole.
struct Same(usize);

impl Samples for Same {
    fn len(&self) -> usize {
        self.0
    }

    fn label(&self, _: usize) -> usize {
        3
    }

    fn image(&self, _: usize, _: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        for (place, pixel) in pixels.iter_mut().enumerate() {
            *pixel = (place as f32 * 0.7).sin();
        }
        Ok(())
    }
}

struct Setting {
    plan: Plan,
    /// In full precision.
    full: State,
    /// With step sizes.
    state: State,
    data: Data,
}

/// The tiny network with two bit-widths, calibrated.
fn setting(images: usize) -> Setting {
    let config = tiny(&[]);
    let mut data = config.data().unwrap();
    data.train = Arc::new(Same(images));
    let graph = Arc::new(config.model.build::<dyn Model>().unwrap().graph(data.shape, data.classes).unwrap());
    let bits = [4, 3].map(|bits| BitWidth::new(bits).unwrap());
    let precisions: Vec<Precision> = uniform_precisions(bits).collect();
    let slots = graph.layers().iter().map(|layer| if layer.fixed { vec![] } else { precisions.clone() }).collect();
    let plan = Plan::new(graph.clone(), slots, config.quantizer.build::<dyn Quantizer>().unwrap().into());
    let full = State::random(&graph, 0);
    let on = |bench: &TrainContext| {
        let network = Network::new(&plan, &full, bench.device).unwrap();
        network.calibrate(bench.first_batch(images).unwrap()).state()
    };
    let state = with(&data, 1, on);
    Setting { plan, full, state, data }
}

/// Calls with a bench of so many devices.
fn with<R>(data: &Data, devices: usize, work: impl FnOnce(&TrainContext) -> R) -> R {
    let devices: Vec<Device> = (0..devices).map(|_| fixtures::device()).collect();
    let (progress, checkpoints) = (Stages::default(), Nowhere);
    let (seed, workers) = (0, NonZeroUsize::MIN);
    work(&TrainContext {
        data,
        device: &devices[0],
        others: &devices[1..],
        seed,
        workers,
        progress: &progress,
        cancel: None,
        checkpoints: &checkpoints,
    })
}

/// The numbers after one step of plain gradient descent over all images.
fn one_step(setting: &Setting, devices: usize, bits: &[u64]) -> State {
    step(setting, devices, bits, false)
}

fn step(setting: &Setting, devices: usize, bits: &[u64], gradient_checkpointing: bool) -> State {
    let recipe = Recipe {
        epochs: 1,
        batch_size: setting.data.train.len(),
        momentum: 0.0,
        weight_decay: 0.0,
        distillation: 0.25,
        gradient_checkpointing,
        ..Recipe::default()
    };
    with(&setting.data, devices, |bench| {
        let job = Job {
            stage: "indicators",
            label: "one",
            recipe: &recipe,
            teacher: &setting.full,
            update: Update::default(),
        };
        let network = Network::new(&setting.plan, &setting.state, &bench.device.clone().autodiff()).unwrap();
        let all = |bits: Precision| setting.plan.layers.iter().map(|layer| (!layer.fixed).then_some(bits)).collect();
        let mut passes = |_| bits.iter().map(|&bits| all(Precision::uniform(bits).unwrap())).collect();
        bench.fit(&job, network, &mut passes).unwrap().network.state()
    })
}

/// What passes have in common runs once; the step is the sum of the steps of passes that run alone.
#[test]
fn passes_that_share_their_beginning_add_up() {
    let setting = setting(6);
    let [both, four, three] = [&[4, 3][..], &[4], &[3]].map(|bits| one_step(&setting, 1, bits));
    let mut moved_most = 0f32;
    for (name, start) in &setting.state.0 {
        let moved = |state: &State| -> Vec<f32> {
            state.0[name].values.iter().zip(&start.values).map(|(now, start)| now - start).collect()
        };
        let (both, four, three) = (moved(&both), moved(&four), moved(&three));
        let most = both.iter().fold(0f32, |most, value| most.max(value.abs()));
        // A running statistic r of what is common moves from r to b by 0.1 (b - r), and twice by 0.19 (b - r).
        let share = if name.starts_with("bn1.running_") { 0.95 } else { 1.0 };
        for (both, (four, three)) in both.iter().zip(four.iter().zip(&three)) {
            let sum = share * (four + three);
            assert!((both - sum).abs() <= 1e-4 * most + 2e-7, "{name}: {both} together, {sum} alone");
        }
        if name == "conv1.weight" || name == "bn1.weight" {
            moved_most = moved_most.max(most);
        }
    }
    assert!(moved_most > 1e-5, "the stem was trained: {moved_most}");
}

/// A part that runs again sees what it saw before.
#[test]
fn gradient_checkpointing_changes_no_number() {
    let setting = setting(6);
    for bits in [&[4, 3][..], &[3]] {
        let (plain, checkpointed) = (step(&setting, 1, bits, false), step(&setting, 1, bits, true));
        assert_ne!(plain, setting.state);
        for (name, array) in &plain.0 {
            assert_eq!(checkpointed.0[name], *array, "{name} after passes at {bits:?}");
        }
    }
}

#[test]
fn gradients_of_shares_make_the_gradient_of_the_batch() {
    let setting = setting(6);
    let [one, two, three] = [1, 2, 3].map(|devices| one_step(&setting, devices, &[4, 3]));
    assert!(one.0.keys().eq(two.0.keys()));
    for (devices, shared) in [(2.0f32, &two), (3.0, &three)] {
        for (name, start) in &setting.state.0 {
            // LSQ scales the gradient of a step size by the root of the number of activations that a device sees.
            let scale = if name.contains(".act_quantizer.") { devices.sqrt() } else { 1.0 };
            let moved = |state: &State| -> Vec<f32> {
                state.0[name].values.iter().zip(&start.values).map(|(now, start)| now - start).collect()
            };
            let (alone, shared) = (moved(&one), moved(shared));
            let most = alone.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (a, b) in alone.iter().zip(&shared) {
                let near = (a * scale - b).abs() <= 1e-3 * most * scale + 2e-7;
                assert!(name.contains(".running_") || near, "{name} on {devices}: {a} alone, {b} shared");
            }
        }
    }
    let moved = |role: Role| {
        let own = format!(".{}_quantizer.", role.name());
        setting.state.0.iter().filter(|(name, _)| name.contains(&own)).any(|(name, array)| one.0[name] != *array)
    };
    assert!(moved(Role::Weight) && moved(Role::Act), "step sizes are trained at all");
}

#[test]
fn evaluation_on_several_devices_adds_up_to_the_same_numbers() {
    let setting = setting(6);
    let full = Plan::full_precision(setting.plan.graph.clone(), setting.plan.quantizer.clone());
    let score = |devices: usize| -> Score {
        with(&setting.data, devices, |bench| {
            let network = Network::new(&full, &setting.full, bench.device).unwrap();
            bench.evaluate(&network, &full.no_bits()).unwrap()
        })
    };
    let one = score(1);
    assert!(one.images > 256, "there are several batches");
    assert_eq!(score(2), one);
    assert_eq!(score(5), one);
}

#[test]
fn a_run_on_two_devices_is_reproducible_and_its_stages_are_its_own() {
    let home = tempfile::tempdir().unwrap();
    let device = fixtures::device_name();
    let two = format!("device=[\"{device}\", \"{device}\"]");
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let (first, _) = go(&tiny(&[&two]), &a);
    go(&tiny(&[&two]), &b);
    for name in ["pretrained.safetensors", "indicators.json", "finetuned.safetensors"] {
        assert_eq!(std::fs::read(a.join(name)).unwrap(), std::fs::read(b.join(name)).unwrap(), "{name}");
    }
    assert!(first.networks.iter().all(|network| network.score.loss.is_finite()));
    let (_, stages) = go(&tiny(&[]), &a);
    assert!(stages.contains(&"pretrain".to_owned()), "one device gives other numbers: batch-norm sees more images");
}

#[cfg(not(feature = "tch"))]
#[test]
fn a_run_on_a_device_that_is_not_built_in_names_the_feature_and_begins_nothing() {
    let home = tempfile::tempdir().unwrap();
    let error =
        limpq_core::run::run(&tiny(&["device=libtorch"]), home.path(), &Stages::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("device libtorch is not in this build, which lacks the Cargo feature tch (see"),
        "{error}"
    );
    assert!(fixtures::tree(home.path()).is_empty());
}

#[test]
fn faulty_lists_of_devices_are_refused() {
    let refused = |set: &str| Config::parse("tiny.toml", TINY, &[set.to_owned()]).unwrap_err().to_string();
    for (set, message) in [
        ("device=[]", "name at least one device"),
        ("device=[\"cuda:0\", \"gpu\"]", "no device is called \"gpu\""),
        ("device=[\"cuda:0\", \"libtorch:cuda:1\"]", "cuda:0 and libtorch:cuda:1 are of two kinds"),
        ("device=3", "a device such as \"flex\", or a list such as [\"cuda:0\", \"cuda:1\"]"),
    ] {
        let error = refused(set);
        assert!(error.contains(message) && error.contains("device"), "{error}");
    }
}

//! Where activation step sizes start: as in LIMPQ's code, by numbers of PyTorch. `tests/golden/limpq_start.py` made the file and
//! describes it.

use crate::{
    fixtures,
    parity::{Batch, small},
    runs::{Stages, go, tiny},
    synthetic,
};
use burn::tensor::Device;
use limpq_core::{
    graph::{Graph, Shape},
    registry,
    search::{BitWidth, Candidates, Precision, uniform_precisions},
    train::{
        Bits, ByLayer, Data, Job, Network, Nowhere, Plan, Quantizer, Recipe, Role, Sensitivity, SensitivityContext,
        State, TrainContext, Update,
    },
};
use serde::Deserialize;
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

/// PyTorch's float32 is within 2e-7 of its float64 here.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    images: Vec<String>,
    clamp: bool,
    input: [usize; 4],
    classes: usize,
    bits: Vec<u64>,
    mixed: Vec<u64>,
    steps: BTreeMap<String, f32>,
    norms: BTreeMap<String, Vec<f32>>,
}

fn golden() -> Vec<Case> {
    let golden: Golden = serde_json::from_str(include_str!("golden/limpq_start.json")).unwrap();
    assert_eq!(golden.cases.len(), 3);
    golden.cases
}

impl Case {
    fn graph(&self) -> Graph {
        let [_, channels, height, width] = self.input;
        small(Shape::new(channels, height, width).unwrap(), self.classes)
    }

    fn quantizer(&self) -> Arc<dyn Quantizer> {
        let options = format!("clamp_in_forward = {}", self.clamp).parse().unwrap();
        registry::build::<dyn Quantizer>("lsq", &options).unwrap().into()
    }

    fn candidates(&self) -> Candidates {
        Candidates::of(&self.bits).unwrap()
    }

    /// A pass with these bits of the searched layers.
    fn pass(&self, bits: &[u64]) -> Bits {
        let mut bits = bits.iter().map(|&bits| Precision::uniform(bits).unwrap());
        self.graph().layers().iter().map(|layer| if layer.fixed { None } else { bits.next() }).collect()
    }

    /// The uniform passes of a step.
    fn uniform(&self) -> Vec<Bits> {
        let searched = self.graph().searchable().len();
        self.bits.iter().map(|&bits| self.pass(&vec![bits; searched])).collect()
    }

    /// The network with its activation step sizes started on all batches.
    fn started(&self, device: &Device) -> Network {
        let graph = Arc::new(self.graph());
        let precisions: Vec<Precision> = uniform_precisions(self.candidates().iter()).collect();
        let slots = graph.layers().iter().map(|layer| if layer.fixed { vec![] } else { precisions.clone() }).collect();
        let plan = Plan::new(graph.clone(), slots, self.quantizer());
        let network = Network::new(&plan, &synthetic::state(&graph), device).unwrap();
        let batches: Vec<_> = self.images.iter().map(|name| synthetic::images(name, self.input, device)).collect();
        network.init_quantized(&batches, &self.uniform())
    }

    /// The first batch as a data set of its own.
    fn data(&self) -> Data {
        let labels = (0..self.input[0]).map(|image| image % self.classes).collect();
        let samples = Arc::new(Batch { pixels: synthetic::pixels(&self.images[0], self.input), labels });
        let [_, channels, height, width] = self.input;
        let shape = Shape::new(channels, height, width).unwrap();
        Data { shape, classes: self.classes, train: samples.clone(), validation: None, test: samples, remarks: vec![] }
    }

    fn recipe(&self, epochs: usize) -> Recipe {
        Recipe { epochs, batch_size: self.input[0], ..Recipe::default() }
    }

    /// What a sensitivity measures when the joint training has no steps, on so many devices.
    fn measured(&self, sensitivity: &str, options: &str, devices: usize) -> ByLayer {
        let metric = registry::build::<dyn Sensitivity>(sensitivity, &options.parse().unwrap()).unwrap();
        let (recipe, state, candidates, graph) =
            (self.recipe(0), synthetic::state(&self.graph()), self.candidates(), Arc::new(self.graph()));
        with(&self.data(), devices, |bench| {
            let context = SensitivityContext {
                graph,
                pretrained: &state,
                candidates: &candidates,
                quantizer: self.quantizer(),
                recipe: &recipe,
                train: *bench,
            };
            metric.measure(&context).unwrap().indicators
        })
    }
}

/// Calls with a bench of so many devices.
fn with<R>(data: &Data, devices: usize, work: impl FnOnce(&TrainContext) -> R) -> R {
    let devices: Vec<Device> = (0..devices).map(|_| fixtures::device()).collect();
    let (progress, checkpoints) = (Stages::default(), Nowhere);
    work(&TrainContext {
        data,
        device: &devices[0],
        others: &devices[1..],
        seed: 0,
        workers: NonZeroUsize::MIN,
        progress: &progress,
        cancel: None,
        checkpoints: &checkpoints,
    })
}

fn apart(found: f32, wanted: f32) -> f32 {
    (found - wanted).abs() / wanted.abs()
}

#[test]
fn activation_step_sizes_start_as_in_limpq() {
    for case in golden() {
        let state = case.started(&fixtures::device()).state();
        let started = state.0.keys().filter(|name| name.contains(".act_quantizer.")).count();
        assert_eq!((started, case.steps.len()), (12, 12), "three layers, four bit-widths");
        for (name, &wanted) in &case.steps {
            let found = state.0[name].values[0];
            assert!(apart(found, wanted) < TOLERANCE, "{}: {name} is {found}, PyTorch has {wanted}", case.name);
        }
        // Nothing else has moved.
        for (name, array) in synthetic::state(&case.graph()).0.iter().filter(|(name, _)| name.contains("running")) {
            let copies = state.0.iter().filter(|(own, _)| {
                let (plain, part) = name.rsplit_once('.').unwrap();
                own.starts_with(plain) && own.ends_with(part)
            });
            assert!(copies.clone().count() > 0 && copies.clone().all(|(_, own)| own == array), "{}: {name}", case.name);
        }
    }
}

/// A step size above 1 stands for itself, but quantizes as if it were 1 where it is clamped: the statistics behind it differ.
#[test]
fn running_statistics_after_the_first_step_are_limpq_s() {
    let device = fixtures::device();
    for case in golden().into_iter().filter(|case| !case.norms.is_empty()) {
        let start = case.started(&device).state();
        let (recipe, data) = (case.recipe(1), case.data());
        let passes: Vec<Bits> = case.uniform().into_iter().chain([case.pass(&case.mixed)]).collect();
        let job =
            Job { stage: "indicators", label: "start", recipe: &recipe, teacher: &start, update: Update::default() };
        let after = with(&data, 1, |bench| {
            let plan = case.started(&device).plan().clone();
            let network = Network::new(&plan, &start, &device.clone().autodiff()).unwrap();
            bench.fit(&job, network, &mut |_| passes.clone()).unwrap().network.state()
        });
        for (name, wanted) in &case.norms {
            let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let found = &after.0[name].values;
            let far = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / largest).fold(0f32, f32::max);
            assert!(far < TOLERANCE, "{}: {name} is {found:?}, PyTorch has {wanted:?}", case.name);
        }
    }
}

#[test]
fn learned_step_starts_so_and_in_full_precision_where_asked() {
    let case = &golden()[0];
    let default = case.measured("learned_step", "", 1);
    for (name, &wanted) in &case.steps {
        let (layer, bits) = name.strip_suffix(".0").unwrap().split_once(".act_quantizer.b").unwrap();
        let found = default[layer].act[&bits.parse::<BitWidth>().unwrap()] as f32;
        assert!(apart(found, wanted) < TOLERANCE, "{name} is {found}, PyTorch has {wanted}");
    }
    let control = case.measured("static_step", "", 1);
    let full = case.measured("learned_step", "activation_init = \"full_precision\"", 1);
    assert_eq!(full, control, "the control's start");
    let (here, there) = (&default["conv2"], &control["conv2"]);
    assert_eq!(here.weight, there.weight, "weights start from themselves");
    let far = here.act.iter().filter(|(bits, value)| (*value / there.act[bits] - 1.0).abs() > 0.01);
    assert!(far.count() > 0, "{here:?} {there:?}");
    // The epoch has one batch alone; devices share batches, but not this one.
    assert_eq!(case.measured("learned_step", "activation_init_batches = 5", 1), default);
    assert_eq!(case.measured("learned_step", "", 2), default);
}

#[test]
fn images_stay_as_they_are_where_asked() {
    let home = tempfile::tempdir().unwrap();
    let finetuned = |bits: &str| {
        let sets = ["pretrain.epochs=0", "indicators.epochs=0", "finetune.epochs=1", bits];
        let (summary, _) = go(&tiny(&sets), &home.path().join(bits));
        let bytes = std::fs::read(home.path().join(bits).join("finetuned.safetensors")).unwrap();
        (summary, State::from_bytes(&bytes, "finetuned").unwrap())
    };
    let ((eight, quantized), (plain, unquantized)) = (finetuned("image_bits=8"), finetuned("image_bits=32"));
    let names = |state: &State| state.0.keys().cloned().collect::<Vec<_>>();
    let missing: Vec<String> = names(&quantized).into_iter().filter(|name| !unquantized.0.contains_key(name)).collect();
    assert_eq!(missing, ["conv1.act_quantizer.b8.0"], "the images' alone; weights of the stem have 8 bits");
    assert_eq!(names(&quantized).len(), names(&unquantized).len() + 1);
    assert_ne!(eight.networks[1].score.loss, plain.networks[1].score.loss);
    let used =
        |summary: &limpq_core::run::Summary| serde_json::to_value(&summary.networks[1]).unwrap()["costs"].clone();
    assert_eq!(used(&eight), used(&plain), "costs count 8 bits");
}

#[test]
fn other_bits_of_images_are_refused() {
    use limpq_core::run::Config;
    let error = Config::parse("tiny.toml", crate::runs::TINY, &["image_bits=16".to_owned()]).unwrap_err().to_string();
    assert!(error.ends_with("image_bits: must be 8, or 32 for images that are not quantized, got 16"), "{error}");
}

/// A quantized tensor that is not there has no sighting either, and no gradient is looked for.
#[test]
fn a_network_that_leaves_images_alone_has_no_step_size_for_them() {
    let case = &golden()[0];
    let graph = Arc::new(case.graph());
    let eight = Precision::uniform(8).unwrap();
    let plan = Plan::new(graph.clone(), vec![vec![eight]; graph.layers().len()], case.quantizer()).with_plain_images();
    let device = fixtures::device();
    let network = Network::new(&plan, &synthetic::state(&graph), &device).unwrap();
    assert!(network.is_uncalibrated());
    let network = network.calibrate(synthetic::images(&case.images[0], case.input, &device));
    assert!(!network.is_uncalibrated());
    let of_stem: Vec<Role> =
        network.step_sizes().into_iter().filter(|step| step.layer == "conv1").map(|step| step.role).collect();
    assert_eq!(of_stem, [Role::Weight]);
}

//! Parity with PyTorch on every device: initial step sizes, logits, losses, gradients, and 20 steps of training.
//! `tests/golden/parity.py` made the file and describes it.
//!
//! Tolerances are relative to the largest magnitude of a tensor or list. In PyTorch itself float32 is within 2e-7 of float64
//! for losses, 4e-6 for logits, 1e-4 for gradients and 1e-6 for what 20 steps of training leave; the losses of 20 steps of
//! resnet18 are within 1e-4.

use crate::{fixtures, synthetic};
use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor},
};
use limpq_core::{
    graph::{Builder, Conv, Graph, Model, Shape},
    registry,
    search::Precision,
    train::{
        Bits, Data, DatasetError, Job, Network, NoCheckpoints, Plan, Progress, Quantizer, Recipe, Samples, State, Step,
        TrainContext, Update, cross_entropy, smoothed,
    },
};
use serde::Deserialize;
use std::{cell::RefCell, collections::BTreeMap, num::NonZeroUsize, sync::Arc};

const STEP_SIZES: f32 = 1e-5;
/// burn's kernels on a CPU compute the mean of 2 million values with few partial sums.
const STEP_SIZES_BY_FEW_SUMS: f32 = 2e-5;
const LOGITS: f32 = 1e-5;
const LOSS: f32 = 1e-6;
const GRADIENTS: f32 = 1e-4;
/// Sums over a whole tensor that nearly cancel out.
const GRADIENTS_OF_STEP_SIZES: f32 = 1e-3;
const LOSSES_OF_TRAINING: f32 = 1e-5;
/// In a deep network of rectifiers rounding errors grow.
const LOSSES_OF_RESNET18: f32 = 1e-3;
const AFTER_TRAINING: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    input: [usize; 4],
    classes: usize,
    images: String,
    slots: Vec<Vec<String>>,
    passes: Vec<Vec<Option<String>>>,
    recipe: Recipe,
    steps: BTreeMap<String, f32>,
    #[serde(default)]
    logits: Vec<Vec<f32>>,
    #[serde(default)]
    loss: Vec<f32>,
    #[serde(default)]
    gradients: serde_json::Map<String, serde_json::Value>,
    losses: Vec<Vec<f32>>,
    /// Not given where the losses alone are compared.
    after: Option<BTreeMap<String, Vec<f32>>>,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden/parity.json")).unwrap();
    assert_eq!(golden.cases.len(), 5);
    golden
}

/// The network of `parity.py`.
pub fn small(input: Shape, classes: usize) -> Graph {
    let (mut b, x) = Builder::new("small", input, classes);
    let x = b.fixed_conv("conv1", x, Conv::new(8, 3).stride(2));
    let x = b.batch_norm("bn1", x);
    let x = b.relu(x);
    let y = b.conv("block.conv1", x, Conv::new(8, 3));
    let y = b.batch_norm("block.bn1", y);
    let y = b.relu(y);
    let y = b.conv("block.conv2", y, Conv::new(8, 3).groups(8));
    let y = b.batch_norm("block.bn2", y);
    let x = b.add(x, y);
    let x = b.conv("conv2", x, Conv::new(12, 3).stride(2));
    let x = b.batch_norm("bn2", x);
    let x = b.relu(x);
    let x = b.global_avg_pool(x);
    b.classifier("fc", x);
    b.finish().unwrap()
}

fn precision(text: &str) -> Precision {
    text.parse().unwrap()
}

impl Case {
    fn shape(&self) -> Shape {
        let [_, channels, height, width] = self.input;
        Shape::new(channels, height, width).unwrap()
    }

    fn labels(&self) -> Vec<usize> {
        (0..self.input[0]).map(|image| image % self.classes).collect()
    }

    fn plan(&self) -> Plan {
        let graph = match self.model.as_str() {
            "small" => small(self.shape(), self.classes),
            name => {
                let model = registry::build::<dyn Model>(name, &toml::Table::new()).unwrap();
                model.graph(self.shape(), self.classes).unwrap()
            }
        };
        let slots = self.slots.iter().map(|slots| slots.iter().map(|bits| precision(bits)).collect()).collect();
        let quantizer = registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).unwrap();
        Plan::new(Arc::new(graph), slots, quantizer.into())
    }

    fn passes(&self) -> Vec<Bits> {
        let pass = |pass: &Vec<Option<String>>| pass.iter().map(|bits| bits.as_deref().map(precision)).collect();
        self.passes.iter().map(pass).collect()
    }

    /// The network with PyTorch's step sizes, so that a difference in their last bit moves no value over a rounding
    /// tie.
    fn network(&self, device: &Device) -> Network {
        let plan = self.plan();
        let own = Network::new(&plan, &synthetic::state(&plan.graph), device).unwrap();
        let mut state = own.calibrate(synthetic::images(&self.images, self.input, device)).state();
        for (name, &step) in &self.steps {
            state.0.get_mut(name).unwrap_or_else(|| panic!("{name}")).values = vec![step];
        }
        Network::new(&plan, &state, &device.clone().autodiff()).unwrap()
    }
}

/// As `parity.py` stores a tensor: norm, largest magnitude, and some or all of its elements.
fn summary(values: &[f32]) -> Vec<f32> {
    const SAMPLES: usize = 8;
    let count = values.len();
    let norm = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt() as f32;
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let samples: Vec<f32> = match count > SAMPLES {
        true => (0..SAMPLES).map(|place| values[place * count / SAMPLES]).collect(),
        false => values.to_vec(),
    };
    [vec![norm, largest], samples].concat()
}

/// The largest difference, relative to the largest magnitude that is wanted.
fn distance(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

/// The same for summaries of tensors. A norm is not an element.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    distance(&found[..1], &wanted[..1]).max(distance(&found[1..], &wanted[1..]))
}

fn assert_within(tolerance: f32, distances: impl IntoIterator<Item = (String, f32)>) {
    let distances: Vec<(String, f32)> = distances.into_iter().collect();
    if let Some((name, largest)) = distances.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        println!("{name}: {largest:e} of the largest magnitude, the farthest of {}", distances.len());
    }
    let far: Vec<_> = distances.iter().filter(|(_, distance)| distance.is_nan() || *distance > tolerance).collect();
    assert!(far.is_empty(), "beyond {tolerance:e}: {far:?}");
}

#[test]
fn step_sizes_start_as_in_pytorch() {
    let device = fixtures::device();
    for case in golden().cases.iter().filter(|case| !case.steps.is_empty()) {
        println!("{}", case.name);
        let plan = case.plan();
        let network = Network::new(&plan, &synthetic::state(&plan.graph), &device).unwrap();
        let state = network.calibrate(synthetic::images(&case.images, case.input, &device)).state();
        let steps = state.0.keys().filter(|name| name.contains("_quantizer.")).count();
        assert_eq!(steps, case.steps.len());
        let distances = case.steps.iter().map(|(name, &step)| (name.clone(), distance(&state.0[name].values, &[step])));
        let few = fixtures::device_name() == "cubecl:cpu";
        assert_within(if few { STEP_SIZES_BY_FEW_SUMS } else { STEP_SIZES }, distances);
    }
}

#[test]
fn logits_losses_and_gradients_are_pytorch_s() {
    let device = fixtures::device().autodiff();
    for case in golden().cases.into_iter().filter(|case| !case.logits.is_empty()) {
        println!("{}", case.name);
        let network = case.network(&fixtures::device());
        let images = synthetic::images(&case.images, case.input, &device);
        let targets = smoothed(&case.labels(), case.classes, case.recipe.label_smoothing, &device);
        let mut gradients = GradientsAccumulator::new();
        let (mut logits, mut losses) = (vec![], vec![]);
        for (place, bits) in case.passes().iter().enumerate() {
            let output = network.forward(images.clone(), bits, true);
            let loss = cross_entropy(output.clone(), targets.clone());
            let pass = |what: &str| format!("{what} of pass {place}");
            logits.push((pass("logits"), distance(&host(output), &case.logits[place])));
            losses.push((pass("loss"), distance(&host(loss.clone()), &case.loss[place..=place])));
            gradients.accumulate(&network, GradientsParams::from_grads(loss.backward(), &network));
        }
        assert_within(LOGITS, logits);
        assert_within(LOSS, losses);
        let mut found = Gradients { gradients: gradients.grads(), in_order: vec![] };
        network.visit(&mut found);
        assert_eq!(found.in_order.len(), case.gradients.len(), "everything that is learned has a gradient");
        let distances = case.gradients.into_iter().zip(&found.in_order).map(|((name, wanted), found)| {
            let wanted: Vec<f32> = serde_json::from_value(wanted).unwrap();
            (name, apart(&summary(found), &wanted))
        });
        let (steps, rest): (Vec<_>, Vec<_>) = distances.partition(|(name, _)| name.contains("_quantizer."));
        assert_within(GRADIENTS, rest);
        assert_within(GRADIENTS_OF_STEP_SIZES, steps);
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Gradients in the network's own order: weights and biases of layers, batch-norms, step sizes.
struct Gradients {
    gradients: GradientsParams,
    in_order: Vec<Vec<f32>>,
}

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.in_order.extend(self.gradients.remove::<D>(param.id).map(host));
    }
}

#[test]
fn training_is_pytorch_s() {
    let device = fixtures::device();
    for case in golden().cases.iter().filter(|case| !case.losses.is_empty()) {
        println!("{}", case.name);
        let samples: Arc<dyn Samples> =
            Arc::new(Batch { pixels: synthetic::pixels(&case.images, case.input), labels: case.labels() });
        let data = Data {
            shape: case.shape(),
            classes: case.classes,
            train: samples.clone(),
            validation: None,
            test: samples,
            remarks: vec![],
        };
        let (losses, checkpoints) = (Losses::default(), NoCheckpoints);
        let bench = TrainContext {
            data: &data,
            device: &device,
            others: &[],
            seed: 0,
            workers: NonZeroUsize::MIN,
            progress: &losses,
            cancel: None,
            checkpoints: &checkpoints,
        };
        // An epoch is one batch of all images, so the order does not matter.
        let recipe = Recipe { epochs: case.losses.len(), batch_size: case.input[0], ..case.recipe.clone() };
        let teacher = State::default();
        let job =
            Job { stage: "finetune", label: "parity", recipe: &recipe, teacher: &teacher, update: Update::default() };
        let trained = bench.fit(&job, case.network(&device), &mut |_| case.passes()).unwrap();
        let losses = losses.0.into_inner();
        assert_eq!(losses.len(), 20);
        let by_step = losses.iter().zip(&case.losses).enumerate();
        let distances =
            by_step.map(|(step, (found, wanted))| (format!("losses of step {step}"), distance(found, wanted)));
        assert_within(if case.model == "small" { LOSSES_OF_TRAINING } else { LOSSES_OF_RESNET18 }, distances);
        let Some(wanted) = &case.after else { continue };
        let after = trained.network.state();
        assert_eq!(after.0.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        let tensor =
            |(name, wanted): (&String, &Vec<f32>)| (name.clone(), apart(&summary(&after.0[name].values), wanted));
        assert_within(AFTER_TRAINING, wanted.iter().map(tensor));
    }
}

/// One batch of images, never augmented.
pub struct Batch {
    /// Image by image.
    pub pixels: Vec<f32>,
    /// One for each image.
    pub labels: Vec<usize>,
}

impl Samples for Batch {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn image(&self, index: usize, _: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        pixels.copy_from_slice(&self.pixels[index * pixels.len()..][..pixels.len()]);
        Ok(())
    }
}

/// The losses of each step's passes.
#[derive(Default)]
struct Losses(RefCell<Vec<Vec<f32>>>);

impl Progress for Losses {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
    fn step(&self, step: &Step) {
        self.0.borrow_mut().push(step.passes.iter().map(|pass| pass.loss).collect());
    }
}

//! What is not finite is found where it arises and never becomes a result: given networks, sensitivities, steps of training,
//! scores.

use crate::{
    fixtures::{self, limpq},
    runs::{Stages, TINY, tiny},
};
use limpq_core::{
    graph::Model,
    registry::entries,
    run::{Config, run},
    store::artifact::{Damaged, WriteError},
    train::{
        Checkpoint, Checkpoints, Data, DatasetError, Job, Keep, Network, Nowhere, Plan, Progress, Quantizer, Recipe,
        Samples, Score, Sensitivity, State, TrainContext, TrainError, Trained, Update, Validation,
    },
};
use predicates::str::contains;
use std::{
    cell::RefCell,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A trained tiny network, changed and written to a file.
fn given(home: &Path, change: impl FnOnce(&mut State)) -> PathBuf {
    run(&tiny(&["sensitivity.name=random", "finetune.epochs=0"]), &home.join("first"), &Stages::default()).unwrap();
    let bytes = std::fs::read(home.join("first/pretrained.safetensors")).unwrap();
    let mut state = State::from_bytes(&bytes, "pretrained.safetensors").unwrap();
    change(&mut state);
    let path = home.join("given.safetensors");
    std::fs::write(&path, state.to_bytes()).unwrap();
    path
}

/// Settings that take a file's network as it is.
fn taken_from(path: &Path) -> [String; 2] {
    [format!("weights.path={:?}", path.display().to_string()), "pretrain.epochs=0".to_owned()]
}

fn config(path: &Path, sets: &[&str]) -> Config {
    let taken = taken_from(path);
    tiny(&[&taken.each_ref().map(String::as_str)[..], sets].concat())
}

fn scale(state: &mut State, tensor: &str, factor: f32) {
    state.0.get_mut(tensor).unwrap().values.iter_mut().for_each(|value| *value *= factor);
}

/// What `limpq check` and a run say of a network, which must be the same and leave no result.
fn refused(home: &Path, path: &Path) -> String {
    let out = home.join("refused");
    let error = run(&config(path, &[]), &out, &Stages::default()).unwrap_err().to_string();
    for result in ["pretrained.safetensors", "indicators.json", "summary.json"] {
        assert!(!out.join(result).exists(), "{result}");
    }
    let file = fixtures::write(home, "tiny.toml", TINY.as_bytes());
    let mut check = limpq();
    check.arg("check").arg(file).arg("--set").arg(format!("device={}", fixtures::device_name()));
    for set in taken_from(path) {
        check.arg("--set").arg(set);
    }
    check.assert().code(1).stderr(contains(error.clone()));
    error
}

/// For torch, too, a network whose running variance is negative gives NaN for every image.
#[test]
fn a_given_network_with_a_negative_variance_is_refused_by_its_tensor() {
    let home = tempfile::tempdir().unwrap();
    let path = given(home.path(), |state| state.0.get_mut("layer2.0.bn1.running_var").unwrap().values[3] = -0.25);
    let error = refused(home.path(), &path);
    let start =
        format!("{}: tensor \"layer2.0.bn1.running_var\" holds -0.25 at place 3. A variance is", path.display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_variance_that_rounding_took_below_0_is_fine() {
    let home = tempfile::tempdir().unwrap();
    let path = given(home.path(), |state| state.0.get_mut("bn1.running_var").unwrap().values[0] = -9.99e-6);
    let config = config(&path, &["sensitivity.name=static_step", "finetune.epochs=0"]);
    let summary = run(&config, &home.path().join("run"), &Stages::default()).unwrap();
    assert!(summary.networks.iter().all(|network| network.score.loss.is_finite()));
}

#[test]
fn a_given_network_that_overflows_is_refused_by_its_first_layer() {
    let home = tempfile::tempdir().unwrap();
    let path = given(home.path(), |state| {
        scale(state, "layer1.0.bn1.weight", 1e30);
        scale(state, "layer1.0.conv2.weight", 1e30);
    });
    let error = refused(home.path(), &path);
    let start = "the given network is not finite: 32-bit floats overflow on the first training images; the first values that \
                 are not finite are the activations that reach layer layer2.0.";
    assert!(error.starts_with(start), "{error}");
}

/// The same function in full precision, but step sizes of activations of 1e36 are infinite.
fn overflowing_when_quantized(state: &mut State) {
    scale(state, "layer1.0.bn1.weight", 1e36);
    scale(state, "layer1.0.bn1.bias", 1e36);
    scale(state, "layer1.0.conv2.weight", 1e-36);
}

#[test]
fn every_sensitivity_refuses_a_network_that_overflows_when_quantized() {
    let home = tempfile::tempdir().unwrap();
    let path = given(home.path(), overflowing_when_quantized);
    for name in entries::<dyn Sensitivity>().unwrap().iter().map(|entry| entry.name) {
        let out = home.path().join(name);
        let error = run(&config(&path, &[&format!("sensitivity.name={name}")]), &out, &Stages::default());
        let error = error.err().unwrap_or_else(|| panic!("{name} takes it for harmless")).to_string();
        println!("{name}: {error}");
        match name {
            // It looks at no network. What comes of its policy is refused.
            "random" => assert!(error.contains("fine-tune found starts from"), "{error}"),
            _ => assert!(!out.join("indicators.json").exists() && !out.join("policy.json").exists(), "{name}"),
        }
        assert!(error.contains("layer1.0.conv2"), "{name}: {error}");
        assert!(!out.join("summary.json").exists(), "{name}");
    }
}

/// With refinement after a search that saw nothing of it.
#[test]
fn a_found_policy_whose_loss_is_not_finite_is_not_refined() {
    let home = tempfile::tempdir().unwrap();
    let path = given(home.path(), overflowing_when_quantized);
    let config = config(&path, &["sensitivity.name=random", "refine.evaluations=4", "refine.images=32"]);
    let error = run(&config, home.path(), &Stages::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the network at the found bits, before fine-tuning, is not finite: its loss on 32 training images is NaN. No result is \
         written of it"
    );
    assert!(!home.path().join("refinement.json").exists());
}

/// Images of which some calls give another first pixel.
struct Poisoned {
    images: Arc<dyn Samples>,
    pixel: f32,
    calls: AtomicUsize,
    poisoned: Box<dyn Fn(usize) -> bool + Send + Sync>,
}

impl Poisoned {
    fn among(
        images: &Arc<dyn Samples>,
        pixel: f32,
        poisoned: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Arc<dyn Samples> {
        Arc::new(Self { images: images.clone(), pixel, calls: AtomicUsize::new(0), poisoned: Box::new(poisoned) })
    }
}

impl Samples for Poisoned {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> usize {
        self.images.label(index)
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        self.images.image(index, draw, pixels)?;
        if (self.poisoned)(self.calls.fetch_add(1, Ordering::Relaxed)) {
            pixels[0] = self.pixel;
        }
        Ok(())
    }
}

/// Keeps the last checkpoint, one after every third step.
#[derive(Default)]
struct Memory(RefCell<Option<Checkpoint>>);

impl Checkpoints for Memory {
    fn latest(&self, _: &str) -> Result<Option<Checkpoint>, Damaged> {
        Ok(self.0.borrow().clone())
    }
    fn keep(&self, _: &str, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        self.0.replace(Some(checkpoint.clone()));
        Ok(())
    }
    fn due(&self, step: usize) -> bool {
        step.is_multiple_of(3)
    }
}

/// Remembers scores on the validation images.
#[derive(Default)]
struct Validations(RefCell<Vec<(Score, bool)>>);

impl Progress for Validations {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
    fn validated(&self, validation: &Validation) {
        self.0.borrow_mut().push((validation.score, validation.best));
    }
}

fn plan(config: &Config, data: &Data) -> Plan {
    let graph = config.model.build::<dyn Model>().unwrap().graph(data.shape, data.classes).unwrap();
    Plan::full_precision(Arc::new(graph), config.quantizer.build::<dyn Quantizer>().unwrap().into())
}

/// Trains the tiny network in full precision, 64 images a step, read in the order of the steps.
fn trained(
    data: &Data,
    recipe: Recipe,
    progress: &dyn Progress,
    checkpoints: &dyn Checkpoints,
) -> Result<Trained, TrainError> {
    let plan = plan(&tiny(&[]), data);
    let (device, start) = (fixtures::device(), State::random(&plan.graph, 0));
    let bench = TrainContext {
        data,
        device: &device,
        others: &[],
        seed: 0,
        workers: NonZeroUsize::MIN,
        progress,
        cancel: None,
        checkpoints,
    };
    let network = Network::new(&plan, &start, &device.clone().autodiff()).unwrap();
    let recipe = Recipe { learning_rate: 0.1, batch_size: 64, ..recipe };
    let job = Job { stage: "pretrain", label: "pretrain", recipe: &recipe, teacher: &start, update: Update::default() };
    bench.fit(&job, network, &mut |_| vec![plan.no_bits()])
}

/// Batch-norm normalises the batch with an infinite variance to zeros, so that the loss is finite and training would go on.
#[test]
fn infinite_running_statistics_stop_the_step_that_they_arise_in() {
    let mut data = tiny(&[]).data().unwrap();
    // An image of the eighth step.
    data.train = Poisoned::among(&data.train, 1e30, |call| call == 7 * 64 + 5);
    let memory = Memory::default();
    let recipe = Recipe { epochs: 2, ..Recipe::default() };
    let error = trained(&data, recipe, &(), &memory).err().unwrap().to_string();
    assert!(
        error.starts_with("batch-norm's running statistics overflowed in step 8 of pretrain at learning"),
        "{error}"
    );
    assert!(error.contains("tensor \"bn1.running_var\" holds inf at place "), "{error}");
    assert!(error.ends_with("The checkpoint of step 6 stays"), "{error}");
    let kept = memory.0.into_inner().unwrap();
    assert_eq!((kept.step, kept.state.not_finite()), (6, None));
}

#[test]
fn a_first_step_that_overflows_is_not_blamed_on_the_learning_rate() {
    let mut data = tiny(&[]).data().unwrap();
    data.train = Poisoned::among(&data.train, 1e30, |_| true);
    let error = trained(&data, Recipe::default(), &(), &Nowhere).err().unwrap().to_string();
    assert!(error.contains(" in step 1 of pretrain") && error.contains("Nothing had been learned yet"), "{error}");
    assert!(!error.contains("Lower"), "{error}");
}

#[test]
fn an_epoch_whose_score_is_not_finite_is_never_the_best() {
    let mut data = tiny(&["split.validation=0.2"]).data().unwrap();
    let recipe = || Recipe { epochs: 2, keep: Keep::Best, ..Recipe::default() };
    let validation = data.validation.take().unwrap();
    let all = validation.len();
    // An image of the second epoch, which is the better one.
    data.validation = Some(Poisoned::among(&validation, f32::NAN, move |call| call == all + 3));
    let told = Validations::default();
    let best = trained(&data, recipe(), &told, &Nowhere).unwrap().best.unwrap();
    let told = told.0.into_inner();
    let [(first, true), (second, false)] = told[..] else { panic!("{told:?}") };
    assert!(second.loss.is_nan() && second.accuracy > first.accuracy, "{told:?}");
    assert_eq!((best.epoch, best.score), (0, first));

    data.validation = Some(Poisoned::among(&validation, f32::NAN, |_| true));
    let error = trained(&data, recipe(), &(), &Nowhere).err().unwrap().to_string();
    let start = "the network of every epoch of pretrain is not finite: its loss on the validation images never is";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn a_score_that_is_not_finite_is_no_result() {
    let config = tiny(&[]);
    let mut data = config.data().unwrap();
    let (plan, device) = (plan(&config, &data), fixtures::device());
    let network = Network::new(&plan, &State::random(&plan.graph, 0), &device).unwrap();
    data.test = Poisoned::among(&data.test, f32::NAN, |call| call == 300);
    data.train = Poisoned::among(&data.train, 1e30, |call| call == 70);
    let (progress, checkpoints) = ((), Nowhere);
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
    let error = bench.evaluate(&network, &plan.no_bits()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the network is not finite: its loss on the test images is NaN; the first values that are not finite are the activations \
         that reach layer conv1. No result of it is written"
    );
    let error = bench.reestimate(&network, &plan.no_bits(), 200).err().unwrap().to_string();
    let start = "the network is not finite: re-estimated on training images, its batch-norm statistics overflow: tensor \
                 \"bn1.running_";
    assert!(error.starts_with(start), "{error}");
}

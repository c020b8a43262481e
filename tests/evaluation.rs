//! Evaluation of networks: which epoch's is kept, and which images count.

use crate::{
    fixtures,
    runs::{Stages, tiny},
};
use burn::tensor::Device;
use limpq_core::{
    graph::Model,
    run::{Config, run},
    train::{
        Data, DatasetError, Network, NoCheckpoints, Plan, Progress, Quantizer, Samples, Score, State, TrainContext,
        Validation,
    },
};
use std::{cell::RefCell, num::NonZeroUsize, sync::Arc};

fn full_precision(config: &Config, data: &Data) -> Plan {
    let graph = config.model.build::<dyn Model>().unwrap().graph(data.shape, data.classes).unwrap();
    Plan::full_precision(Arc::new(graph), config.quantizer.build::<dyn Quantizer>().unwrap().into())
}

fn bench<'a>(data: &'a Data, device: &'a Device, progress: &'a Stages) -> TrainContext<'a> {
    TrainContext {
        data,
        device,
        others: &[],
        seed: 0,
        workers: NonZeroUsize::MIN,
        progress,
        cancel: None,
        checkpoints: &NoCheckpoints,
    }
}

/// Remembers what was measured on the validation images, and where.
#[derive(Default)]
struct Validations {
    stage: RefCell<String>,
    scores: RefCell<Vec<(String, Score)>>,
}

impl Progress for Validations {
    fn start(&self, stage: &str, _: usize, _: usize) {
        stage.clone_into(&mut self.stage.borrow_mut());
    }
    fn finish(&self) {}
    fn validated(&self, validation: &Validation) {
        self.scores.borrow_mut().push((self.stage.borrow().clone(), validation.score));
    }
}

#[test]
fn the_network_of_the_best_epoch_can_be_kept() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&[
        "split.validation=0.2",
        "split.fraction=0.5",
        "pretrain.epochs=4",
        "pretrain.keep=\"best\"",
        "pretrain.learning_rate=2.0",
        "pretrain.final_learning_rate=2.0",
        "sensitivity.name=random",
        "finetune.epochs=0",
    ]);
    let told = Validations::default();
    run(&config, home.path(), &told).unwrap();
    let scores: Vec<Score> =
        told.scores.into_inner().into_iter().filter(|(stage, _)| stage == "pretrain").map(|(_, score)| score).collect();
    assert_eq!(scores.len(), 4);
    let most = scores.iter().map(|score| score.accuracy).fold(0.0, f64::max);
    let best = scores.iter().position(|score| score.accuracy == most).unwrap();

    let data = config.data().unwrap();
    let plan = full_precision(&config, &data);
    let (device, progress) = (fixtures::device(), Stages::default());
    let bench = bench(&data, &device, &progress);
    let validation = data.validation.clone().unwrap();
    let all: Vec<usize> = (0..validation.len()).collect();
    let read = |name: &str| std::fs::read(home.path().join(name)).unwrap();
    for (name, epoch) in [("pretrained", best), ("pretrained.best", best), ("pretrained.last", 3)] {
        let state = State::from_bytes(&read(&format!("{name}.safetensors")), name).unwrap();
        let network = Network::new(&plan, &state, &device).unwrap();
        let score = bench.evaluate_on(&network, &plan.no_bits(), &validation, &all).unwrap();
        assert_eq!(score, scores[epoch], "{name}");
    }
}

/// Images of which every third cannot be read.
struct Gaps(Arc<dyn Samples>);

impl Samples for Gaps {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, index: usize) -> usize {
        self.0.label(index)
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        match index % 3 {
            0 => Err(DatasetError::LeftOut { path: format!("image {index}"), why: "torn".into() }),
            _ => self.0.image(index, draw, pixels),
        }
    }
}

#[test]
fn images_that_are_left_out_do_not_count() {
    let config = tiny(&[]);
    let mut data = config.data().unwrap();
    (data.train, data.test) = (Arc::new(Gaps(data.train)), Arc::new(Gaps(data.test)));
    let plan = full_precision(&config, &data);
    let (device, progress) = (fixtures::device(), Stages::default());
    let bench = bench(&data, &device, &progress);
    let network = Network::new(&plan, &State::random(&plan.graph, 0), &device).unwrap();
    let places = bench.some_training_images(600);
    let readable = places.iter().filter(|place| *place % 3 != 0).count();
    assert!(readable < 450, "{readable} of {}", places.len());
    let (network, used) = bench.reestimate(&network, &plan.no_bits(), 600).unwrap();
    assert_eq!(used, readable);
    let score = bench.evaluate(&network, &plan.no_bits()).unwrap();
    assert_eq!(score.images, data.test.len() - data.test.len().div_ceil(3));
}

//! What the tests of sensitivities share: a network of one weight, small enough to work everything out by hand.

use burn::tensor::Tensor;
use limpq_core::{
    graph::{Builder, Conv, Graph, Shape},
    search::{BitWidth, Candidates},
    train::{
        Array, ByLayer, Data, DatasetError, Grid, NoIndicator, Nowhere, Progress, Quantizer, Recipe, Role, Samples,
        Sensitivity, SensitivityContext, State, TrainContext, TrainError,
    },
};
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

/// Scores (wx, -wx) of images x of one pixel, with w = 0.6: the layer `body` holds w, the classifier 1 and -1.
pub(super) struct Lamp {
    graph: Arc<Graph>,
    state: State,
    data: Data,
}

/// Pixels with their classes.
struct Pixels(Vec<(f32, usize)>);

impl Samples for Pixels {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn label(&self, index: usize) -> usize {
        self.0[index].1
    }

    fn image(&self, index: usize, _: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        pixels[0] = self.0[index].0;
        Ok(())
    }
}

/// Rounds to multiples of 1/2^(b-1), without clipping and without an indicator.
struct Rounding;

impl Quantizer for Rounding {
    fn init(&self, _: Role, values: Tensor<2>, grid: Grid) -> Vec<Tensor<1>> {
        let step = 2f32.powi(1 - grid.bits.get() as i32);
        vec![Tensor::from_floats([step], &values.device())]
    }
    fn quantize(&self, _: Role, values: Tensor<2>, parameters: &[Tensor<1>], _: Grid) -> Tensor<2> {
        let step = parameters[0].clone().reshape([1, 1]);
        (values / step.clone()).round() * step
    }
    fn indicator(&self, role: Role, _: &[Vec<f32>], _: Grid) -> Result<f64, NoIndicator> {
        Err(NoIndicator { quantizer: "rounding", role, why: "nothing is learned" })
    }
}

struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
}

/// Indicators of the one layer.
pub(super) struct Found {
    pub weight: BTreeMap<u64, f64>,
    pub act: BTreeMap<u64, f64>,
}

impl Lamp {
    pub(super) fn new(images: &[(f32, usize)]) -> Self {
        let shape = Shape::new(1, 1, 1).unwrap();
        let (mut builder, x) = Builder::new("lamp", shape, 2);
        let x = builder.conv("body", x, Conv::new(1, 1));
        builder.classifier("fc", x);
        let graph = Arc::new(builder.finish().unwrap());
        let array = |shape: &[usize], values: &[f32]| Array { shape: shape.to_vec(), values: values.to_vec() };
        let mut state = State::random(&graph, 0);
        state.0.insert("body.weight".into(), array(&[1, 1, 1, 1], &[0.6]));
        state.0.insert("fc.weight".into(), array(&[2, 1], &[1.0, -1.0]));
        state.0.insert("fc.bias".into(), array(&[2], &[0.0, 0.0]));
        let pixels: Arc<dyn Samples> = Arc::new(Pixels(images.to_vec()));
        let data = Data { shape, classes: 2, train: pixels.clone(), validation: None, test: pixels, remarks: vec![] };
        Self { graph, state, data }
    }

    /// The same with another weight. One of 1e38 is finite, and so are the logits, but 1e38 divided by a step size of less than
    /// 1/4 is not.
    pub(super) fn weighing(mut self, weight: f32) -> Self {
        self.state.0.get_mut("body.weight").expect("it has one").values = vec![weight];
        self
    }

    pub(super) fn measure(&self, sensitivity: &dyn Sensitivity, bits: &[u64]) -> Found {
        let found = self.run(sensitivity, bits).unwrap().remove("body").unwrap();
        let plain = |values: BTreeMap<BitWidth, f64>| values.into_iter().map(|(bits, v)| (bits.get(), v)).collect();
        Found { weight: plain(found.weight), act: plain(found.act) }
    }

    /// What it says of a network that cannot be measured.
    pub(super) fn refused(&self, sensitivity: &dyn Sensitivity, bits: &[u64]) -> String {
        self.run(sensitivity, bits).unwrap_err().to_string()
    }

    fn run(&self, sensitivity: &dyn Sensitivity, bits: &[u64]) -> Result<ByLayer, TrainError> {
        let candidates = Candidates::of(bits).unwrap();
        let device = crate::quantizers::worked::device();
        let context = SensitivityContext {
            graph: self.graph.clone(),
            pretrained: &self.state,
            candidates: &candidates,
            quantizer: Arc::new(Rounding),
            recipe: &Recipe::default(),
            train: TrainContext {
                data: &self.data,
                device: &device,
                others: &[],
                seed: 0,
                workers: NonZeroUsize::MIN,
                progress: &Silent,
                cancel: None,
                checkpoints: &Nowhere,
            },
        };
        Ok(sensitivity.measure(&context)?.indicators)
    }
}

/// Equal up to what 32-bit floats lose.
pub(super) fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-5 * expected.abs() + 1e-7, "{found}, expected {expected}");
}

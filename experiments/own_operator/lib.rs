//! An operator of one's own, the squared rectifier of Primer (So et al., NeurIPS 2021), and a network that has it.

use burn::tensor::Tensor;
use limpq as _; // A crate that is linked but never named is dropped by the linker, and its plugins with it.
use limpq_core::{
    graph::{Builder, Conv, Graph, GraphError, Model, Shape},
    ops::{Elementwise, Operator},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `max(x, 0)^2`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SquaredRelu {}

impl Elementwise for SquaredRelu {
    const NAME: &'static str = "squared_relu";

    fn can_be_negative(&self, _: bool) -> bool {
        false
    }

    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let positive = x.clamp_min(0.0);
        positive.clone() * positive
    }
}

limpq_core::plugin!(Operator, "squared_relu", "The square of a rectifier (So et al., 2021)", SquaredRelu);

/// Three convolutions with squared rectifiers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Squared {}

impl Model for Squared {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let (mut b, mut x) = Builder::new("squared", input, classes);
        for layer in 0..3 {
            x = b.conv(&format!("conv{layer}"), x, Conv::new(8, 3));
            x = b.batch_norm(&format!("bn{layer}"), x);
            x = b.apply("", SquaredRelu {}, &[x]);
        }
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        b.finish()
    }
}

limpq_core::plugin!(Model, "squared", "Three convolutions with squared rectifiers", Squared);

#[test]
fn a_whole_run_trains_quantizes_and_measures_it() {
    use limpq_core::run::{Config, run};
    let config = "
        name = 'squared'
        bits = [4, 2]
        dataset = { name = 'digits' }
        model = { name = 'squared', fixed = ['conv0', 'fc=w4a8'] }
        quantizer = { name = 'lsq' }
        sensitivity = { name = 'learned_step' }
        solver = { name = 'exact' }
        pretrain = { epochs = 1, learning_rate = 0.05, batch_size = 64 }
        indicators = { epochs = 1, learning_rate = 0.01, batch_size = 64 }
        search = { budgets = { bitops = 'w3a3' } }
        finetune = { epochs = 1, learning_rate = 0.01, batch_size = 64 }
    ";
    let config = Config::parse("squared.toml", config, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let summary = run(&config, folder.path(), &()).unwrap();
    let found = &summary.networks[0];
    // Ten classes: guessing would be right for a tenth.
    assert!(found.score.accuracy > 0.3, "{:?}", found.score);
    let policy = std::fs::read_to_string(folder.path().join("policy.json")).unwrap();
    assert!(policy.contains("\"fc=w4a8\"") && policy.contains("conv2"), "{policy}");
}

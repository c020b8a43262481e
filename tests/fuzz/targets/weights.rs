//! Files of weights: PyTorch's in each container, and safetensors. What is taken has the network's shapes and finite numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::{
    graph::{Builder, Conv, Graph, Shape},
    train::Weights,
};
use std::sync::LazyLock;

/// The network that the seeds are for; tests/golden/pth.py made them.
static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let (mut b, x) = Builder::new("tiny", Shape::new(1, 4, 4).expect("a shape"), 3);
    let x = b.fixed_conv("conv1", x, Conv::new(2, 3));
    let x = b.batch_norm("bn1", x);
    let x = b.relu(x);
    let x = b.global_avg_pool(x);
    b.classifier("fc", x);
    b.finish().expect("a network")
});

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights");
    std::fs::write(&path, bytes).expect("a file");
    for (key, new_classifier) in [(None, false), (Some("model".to_owned()), true)] {
        let weights = Weights { path: path.clone(), key, new_classifier };
        let Ok(loaded) = weights.load(&GRAPH, 0) else { continue };
        for array in loaded.state.0.values() {
            assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
            assert!(array.values.iter().all(|value| value.is_finite()));
        }
    }
});

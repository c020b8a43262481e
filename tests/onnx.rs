//! Small ONNX files of both exporters of PyTorch and of TensorFlow's kind: names of their layers, and logits computed with the
//! weights that are in them. `tests/golden/onnx_files.py` made the files.

use crate::fixtures::device;
use burn::tensor::{Tensor, TensorData};
use limpq_core::{
    graph::{Model, Shape, described},
    registry,
    train::{Network, Plan, Quantizer, Weights},
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

#[derive(Deserialize)]
struct Golden {
    input: [usize; 3],
    images: Vec<Vec<f32>>,
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    layers: Option<Vec<String>>,
    logits: Vec<Vec<f32>>,
}

/// A file of the golden ones, and the options of the model that reads it.
fn file(name: &str) -> (PathBuf, toml::Table) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/onnx/{name}.onnx"));
    let mut options = toml::Table::new();
    options.insert("path".to_owned(), path.display().to_string().into());
    (path, options)
}

#[test]
fn names_are_those_of_the_state_dict_and_logits_those_of_the_exported_network() {
    let golden: Golden = serde_json::from_str(include_str!("golden/onnx.json")).unwrap();
    let [channels, height, width] = golden.input;
    let (batch, device) = (golden.images.len(), device());
    let images = TensorData::new(golden.images.concat(), [batch, channels, height, width]);
    let images = Tensor::<4>::from_data(images, &device);
    let quantizer: Arc<dyn Quantizer> = registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).unwrap().into();
    assert!(golden.files.len() >= 7, "{} files", golden.files.len());
    for (name, File { layers, logits }) in golden.files {
        let (path, options) = file(&name);
        let shape = Shape::new(channels, height, width).unwrap();
        let model = registry::build::<dyn Model>("onnx", &options).unwrap();
        assert_eq!(model.own_input().unwrap(), Some(shape), "{name}");
        assert_eq!(model.own_classes(shape).unwrap(), Some(logits[0].len()), "{name}");
        let graph =
            described("onnx", &options, shape, logits[0].len()).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(layers) = layers {
            let found: Vec<String> = graph.layers().into_iter().map(|layer| layer.name).collect();
            assert_eq!(found, layers, "{name}");
        }
        let folded = graph.remarks.iter().any(|remark| remark.contains("TrainingMode.PRESERVE"));
        assert_eq!(
            folded,
            ["small_legacy_folded", "small_dynamo", "small_dynamo_external"].contains(&&*name),
            "{name}"
        );
        let weights = Weights { path, key: None, new_classifier: false };
        let state = weights.load(&graph, 0).unwrap_or_else(|error| panic!("{name}: {error}")).state;
        let plan = Plan::full_precision(Arc::new(graph), quantizer.clone());
        let network = Network::new(&plan, &state, &device).unwrap();
        let found = network.forward(images.clone(), &plan.no_bits(), false).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(found.len(), batch * logits[0].len());
        let distance = found.iter().zip(logits.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(distance < 1e-4, "{name}: logits differ by {distance}");
    }
}

#[test]
fn another_file_than_the_one_on_record_is_refused() {
    let (_, mut options) = file("channels_last");
    let shape = "3x12x12".parse().unwrap();
    let graph = described("onnx", &options, shape, 5).unwrap();
    let recorded = graph.options.unwrap();
    assert_eq!(recorded["sha256"].as_str().unwrap().len(), 64);
    described("onnx", &recorded, shape, 5).unwrap();
    options.insert("sha256".to_owned(), "00".repeat(32).into());
    let error = described("onnx", &options, shape, 5).unwrap_err().to_string();
    assert!(error.contains("another file than the one on record"), "{error}");
    options.remove("sha256");
    let error = described("onnx", &options, shape, 10).unwrap_err().to_string();
    assert!(error.contains("the number of classes is 5 in") && error.contains("not 10"), "{error}");
    let error = described("onnx", &options, "1x12x12".parse().unwrap(), 5).unwrap_err().to_string();
    assert!(error.contains("its images have 3 channels, not 1"), "{error}");
}

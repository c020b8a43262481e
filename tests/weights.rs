//! Weights from elsewhere: every layout that PyTorch writes gives the same numbers, real networks the same logits as
//! there, and a file that does not fit is refused with every name. `tests/golden/{pth,weights}.py` made the files.

use crate::{fixtures, runs::TINY, synthetic};
use limpq_core::{
    graph::{Builder, Conv, Graph, Model, Shape},
    registry,
    run::{Config, Place, run_in},
    train::{Array, CancelToken, Network, Plan, Progress, Quantizer, State, Weights},
};
use safetensors::{Dtype, tensor::TensorView};
use serde::Deserialize;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pth").join(format!("{name}.pth"))
}

/// The network of `pth.py`.
pub fn tiny(classes: usize) -> Graph {
    let (mut b, x) = Builder::new("tiny", Shape::new(1, 4, 4).unwrap(), classes);
    let x = b.fixed_conv("conv1", x, Conv::new(2, 3));
    let x = b.batch_norm("bn1", x);
    let x = b.relu(x);
    let x = b.global_avg_pool(x);
    b.classifier("fc", x);
    b.finish().unwrap()
}

/// The numbers of `pth.py`: (i + place) / 64.
fn numbers() -> State {
    let tensors = [
        ("conv1.weight", vec![2, 1, 3, 3], 0),
        ("bn1.weight", vec![2], 1),
        ("bn1.bias", vec![2], 2),
        ("bn1.running_mean", vec![2], 3),
        ("bn1.running_var", vec![2], 4),
        ("fc.weight", vec![3, 2], 6),
        ("fc.bias", vec![3], 7),
    ];
    let array = |shape: Vec<usize>, place: usize| {
        let values = (0..shape.iter().product()).map(|i: usize| (i + place) as f32 / 64.0).collect();
        Array { shape, values }
    };
    State(tensors.into_iter().map(|(name, shape, place)| (name.to_owned(), array(shape, place))).collect())
}

fn weights(path: PathBuf) -> Weights {
    Weights { path, key: None, new_classifier: false }
}

fn refused(weights: &Weights, graph: &Graph) -> String {
    let error = weights.load(graph, 0).unwrap_err().to_string();
    error.replace(&weights.path.display().to_string(), "FILE")
}

#[test]
fn every_layout_gives_the_same_numbers() {
    for name in [
        "plain",
        "state_dict",
        "model_state_dict",
        "data_parallel",
        "lightning",
        "compiled_data_parallel",
        "half",
        "bfloat16",
        "double",
        "strided",
        "legacy",
        "tar",
        "parameters",
        "old_parameters",
        "beside",
        "whole",
    ] {
        let loaded = weights(golden(name)).load(&tiny(3), 0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.state, numbers(), "{name}");
    }
}

#[test]
fn one_of_several_state_dicts_must_be_chosen() {
    let mut file = weights(golden("with_average"));
    assert_eq!(
        refused(&file, &tiny(3)),
        "FILE holds several state dicts (model, model_ema); choose one: [weights] key = \"model\""
    );
    file.key = Some("model_ema".into());
    assert_eq!(file.load(&tiny(3), 0).unwrap().state, numbers());
    file.key = Some("model".into());
    assert_ne!(file.load(&tiny(3), 0).unwrap().state, numbers());
    file.key = Some("ema".into());
    assert_eq!(
        refused(&file, &tiny(3)),
        "FILE has no state dict under the key \"ema\"; there are: model, model_ema; \
                it fits with [weights] key = \"model\" or key = \"model_ema.module\""
    );
}

/// A line of the config that takes a file is worth more than two lists of names.
#[test]
fn a_key_that_fits_is_named() {
    for (name, key) in
        [("backbone", "backbone"), ("model.state_dict", "model.state_dict"), ("encoder", "state.encoder")]
    {
        let mut file = weights(golden(name));
        let error = refused(&file, &tiny(3));
        assert!(error.starts_with("FILE does not fit tiny: its tensors have a longer name there"), "{error}");
        assert!(!error.contains("missing") && !error.contains("conv1"), "{error}");
        let (_, found) = error.split_once("; it fits with [weights] key = \"").unwrap_or_else(|| panic!("{error}"));
        let found = found.strip_suffix('"').unwrap();
        assert!(found.starts_with(key), "{error}");
        file.key = Some(found.into());
        assert_eq!(file.load(&tiny(3), 0).unwrap().state, numbers(), "{name}");
        file.key = Some("no".into());
        let error = refused(&file, &tiny(3));
        assert!(error.starts_with("FILE has no state dict under the key \"no\"; there are: "), "{error}");
        assert!(error.ends_with(&format!("; it fits with [weights] key = \"{found}\"")), "{error}");
    }
    let error = refused(&weights(golden("headless")), &tiny(3));
    let hint = "; all but the classifier fits with [weights] key = \"state_dict.backbone\" and new_classifier = true";
    assert!(error.ends_with(hint), "{error}");
    let file = Weights { key: Some("state_dict.backbone".into()), new_classifier: true, ..weights(golden("headless")) };
    assert_eq!(file.load(&tiny(5), 0).unwrap().state.0["conv1.weight"], numbers().0["conv1.weight"]);
}

#[test]
fn what_is_saved_reads_back_and_the_file_is_known_by_its_hash() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("saved.safetensors");
    std::fs::write(&path, numbers().to_bytes()).unwrap();
    let loaded = weights(path.clone()).load(&tiny(3), 0).unwrap();
    assert_eq!(loaded.state, numbers());
    // Any name will do: the content decides.
    let renamed = home.path().join("saved.pth");
    std::fs::copy(&path, &renamed).unwrap();
    let renamed = weights(renamed).load(&tiny(3), 0).unwrap();
    assert_eq!((renamed.state, &renamed.sha256), (numbers(), &loaded.sha256));
    assert_ne!(loaded.sha256, weights(golden("plain")).load(&tiny(3), 0).unwrap().sha256);
    // As `sha256sum tests/golden/pth/empty` says of no bytes.
    assert_eq!(loaded.sha256.len(), 64);
}

#[test]
fn safetensors_may_be_half_or_double() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("w.safetensors");
    // 1.5 in each format.
    for (dtype, bytes) in [
        (Dtype::F16, &0x3e00u16.to_le_bytes()[..]),
        (Dtype::BF16, &0x3fc0u16.to_le_bytes()),
        (Dtype::F32, &1.5f32.to_le_bytes()),
        (Dtype::F64, &1.5f64.to_le_bytes()),
    ] {
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = numbers()
            .0
            .into_iter()
            .map(|(name, array)| (name, array.shape.clone(), bytes.repeat(array.values.len())))
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).expect("sizes agree"))
        });
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let state = weights(path.clone()).load(&tiny(3), 0).unwrap().state;
        assert!(state.0.values().flat_map(|array| &array.values).all(|&value| value == 1.5), "{dtype:?}");
    }
}

#[test]
fn what_does_not_fit_is_listed_by_name() {
    let home = tempfile::tempdir().unwrap();
    let change = |change: &dyn Fn(&mut BTreeMap<String, Array>)| {
        let mut state = numbers();
        change(&mut state.0);
        let path = home.path().join("w.safetensors");
        std::fs::write(&path, state.to_bytes()).unwrap();
        refused(&weights(path), &tiny(3))
    };
    assert_eq!(
        change(&|state| {
            let array = state.remove("bn1.bias").unwrap();
            state.insert("bn1.bais".into(), array);
            state.get_mut("conv1.weight").unwrap().shape = vec![2, 9, 1, 1];
            state.remove("fc.bias");
        }),
        "FILE does not fit tiny: 2 missing: bn1.bias, fc.bias; 1 left over: bn1.bais (nearest missing: bn1.bias); \
         1 mis-shaped: conv1.weight is 2x9x1x1, the model needs 2x1x3x3"
    );
    assert_eq!(
        refused(&weights(golden("plain")), &tiny(10)),
        "FILE does not fit tiny: 2 mis-shaped: fc.bias is 3, the model needs 10, fc.weight is 3x2, the model needs 10x2; \
         for other classes initialise a new classifier: [weights] new_classifier = true"
    );
    // A file for another network names dozens; the list is cut and says so.
    let model = registry::build::<dyn Model>("resnet18", &toml::Table::new()).unwrap();
    let resnet = model.graph("3x32x32".parse().unwrap(), 10).unwrap();
    let error = refused(&weights(golden("plain")), &resnet);
    assert!(error.contains("95 missing: bn1.") || error.contains("missing: ") && error.contains(" more"), "{error}");
}

#[test]
fn a_new_classifier_is_drawn_from_the_seed() {
    let mut file = weights(golden("plain"));
    file.new_classifier = true;
    let state = |classes, seed| file.load(&tiny(classes), seed).unwrap().state;
    assert_eq!(state(10, 1).0["fc.weight"], State::random(&tiny(10), 1).0["fc.weight"]);
    assert_eq!(state(10, 1).0["conv1.weight"], numbers().0["conv1.weight"]);
    assert_ne!(state(10, 1), state(10, 2));
    assert_ne!(state(3, 1), numbers(), "even one that would fit");
}

#[test]
fn files_that_are_no_weights_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let with = |content: &[u8]| {
        let path = home.path().join("w.pth");
        std::fs::write(&path, content).unwrap();
        refused(&weights(path), &tiny(3))
    };
    assert_eq!(with(b""), "FILE is not a usable file of weights: it is empty");
    let neither = "FILE is not a usable file of weights: it is neither a PyTorch checkpoint (torch.save) nor safetensors nor ONNX; \
                   if it came from the network, see whether it is an error page or a pointer of Git LFS";
    assert_eq!(with(b"<!DOCTYPE html><html>"), neither);
    assert_eq!(with(b"version https://git-lfs.github.com/spec/v1\n"), neither);
    let whole = std::fs::read(golden("plain")).unwrap();
    for length in [30, 1000, whole.len() / 2, whole.len() - 1] {
        let error = with(&whole[..length]);
        assert!(error.contains("FILE is not a usable file of weights: as a PyTorch checkpoint"), "{error}");
        assert!(error.contains("copy it again"), "{error}");
    }
    let old = std::fs::read(golden("legacy")).unwrap();
    for length in [30, 300, old.len() / 2, old.len() - 1] {
        let error = with(&old[..length]);
        assert!(error.starts_with("FILE is not a usable file of weights: as a PyTorch checkpoint"), "{error}");
    }
    let error = with(&numbers().to_bytes()[..100]);
    assert!(error.starts_with("FILE is not a usable file of weights: as safetensors: "), "{error}");
    let missing = refused(&weights("no/such.pth".into()), &tiny(3));
    assert!(missing.starts_with("cannot read the weights FILE: No such file"), "{missing}");
    assert_eq!(
        refused(&weights(golden("no_tensors")), &tiny(3)),
        "FILE is not a usable file of weights: it holds no tensors"
    );
    assert_eq!(
        refused(&weights(golden("integer")), &tiny(3)),
        "FILE: tensor \"bn1.bias\" holds I32, not floating-point numbers"
    );
    assert_eq!(
        refused(&weights(golden("diverged")), &tiny(3)),
        "FILE: tensor \"bn1.bias\" holds NaN at index 1; its training diverged"
    );
}

#[test]
fn code_in_a_pickle_is_not_run() {
    let home = tempfile::tempdir().unwrap();
    let mark = home.path().join("ran");
    let path = home.path().join("w.pth");
    let command = format!("touch {}", mark.display());
    std::fs::write(&path, format!("cos\nsystem\n(S'{command}'\ntR.")).unwrap();
    let error = refused(&weights(path), &tiny(3));
    assert!(error.starts_with("FILE is not a usable file of weights"), "{error}");
    assert!(!mark.exists());
}

/// A config of a small MobileNetV1 on the digits, without the weights that it writes and with them.
fn mobilenet(folder: &Path) -> [String; 2] {
    let model = registry::build::<dyn Model>("mobilenet_v1", &"width = 0.25".parse().unwrap()).unwrap();
    let graph = model.graph("1x8x8".parse().unwrap(), 10).unwrap();
    let path = folder.join("timm.safetensors");
    std::fs::write(&path, State::random(&graph, 0).to_bytes()).unwrap();
    let without = TINY.replace("\"resnet20\", width = 4, blocks = 1", "\"mobilenet_v1\", width = 0.25");
    let with = format!("{without}[weights]\npath = \"{}\"\n", path.display());
    [without, with]
}

/// Hears what a run has to say, and ends it.
#[derive(Default)]
struct Remarks(RefCell<Vec<String>>);

impl Progress for Remarks {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
    fn remark(&self, remark: &str) {
        self.0.borrow_mut().push(remark.to_owned());
    }
}

/// timm's MobileNetV1 clips its ReLUs at 6. Its weights fit, and gave 10.95 % instead of 79.40 % without a word.
#[test]
fn weights_that_fit_and_mean_something_else_are_remarked_on() {
    let home = tempfile::tempdir().unwrap();
    let said = |text: &str, name: &str| {
        let sets = [format!("device={}", fixtures::device_name()), "pretrain.epochs=0".to_owned()];
        let config = Config::parse("tiny.toml", text, &sets).unwrap();
        let remarks = Remarks::default();
        let (folder, cancel) = (home.path().join(name), CancelToken::default());
        cancel.cancel();
        run_in(&config, Place { folder: &folder, others: &[], replace: false }, &remarks, &cancel).unwrap_err();
        remarks.0.into_inner()
    };
    let [without, with] = mobilenet(home.path());
    let remarks = said(&with, "with");
    assert!(remarks.len() == 1 && remarks[0].contains("timm's MobileNetV1 clips them at 6 (ReLU6)"), "{remarks:?}");
    // Without weights from elsewhere there is nothing to say.
    assert_eq!(said(&without, "without"), Vec::<String>::new());
    let config = fixtures::write(home.path(), "tiny.toml", with.as_bytes());
    let words = predicates::str::contains("# note: mobilenet_v1 has plain ReLUs");
    fixtures::limpq().arg("check").arg(&config).assert().success().stdout(words);
    let show = fixtures::limpq().args(["show", "model", "mobilenet_v1"]).assert().success();
    show.stdout(predicates::str::contains("plain ReLUs where timm's clip at 6"));
}

/// A tensor may be called what clears a screen or writes backwards.
#[test]
fn control_characters_of_foreign_names_are_written_out() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("w.safetensors");
    let name = "conv\u{1b}[2J\u{202e}\u{9b}x";
    let mut state = numbers();
    state.0.insert(name.to_owned(), Array { shape: vec![1], values: vec![0.0] });
    std::fs::write(&path, state.to_bytes()).unwrap();
    let config = fixtures::write(home.path(), "tiny.toml", TINY.as_bytes());
    let set = format!("weights.path=\"{}\"", path.display());
    let assert = fixtures::limpq().arg("check").arg(&config).args(["--set", &set]).assert().code(1);
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(said.contains("conv\\u001b[2J\\u202e\\u009bx"), "{said}");
    assert!(!said.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{said:?}");
    // As are those of layers in a table.
    let table = "layer,w_bits,a_bits,microseconds\n\u{1b}[31mfc,8,8,1\n";
    let table = fixtures::write(home.path(), "table.csv", table.as_bytes());
    let mut check = fixtures::limpq();
    check.arg("latency-check").arg(table).args(fixtures::NETWORK);
    let output = check.assert().get_output().clone();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("[31mfc") && !said.contains('\u{1b}'), "{said:?}");
}

#[derive(Deserialize)]
struct Golden {
    models: Vec<Made>,
}

#[derive(Deserialize)]
struct Made {
    model: String,
    options: toml::Table,
    /// The shape of its images.
    input: [usize; 4],
    /// What the weights of its fully connected layers are multiplied by.
    classifier: f32,
    logits: Vec<Vec<f32>>,
}

/// With `LIMPQ_TORCH_WEIGHTS=DIR`, where `weights.py --save DIR` put them, the weights are read from PyTorch's files.
#[test]
fn networks_give_pytorch_s_logits() {
    let golden: Golden = serde_json::from_str(include_str!("golden/weights.json")).unwrap();
    let device = fixtures::device();
    let quantizer: Arc<dyn Quantizer> = registry::build::<dyn Quantizer>("lsq", &toml::Table::new()).unwrap().into();
    let tested: BTreeSet<&str> = golden.models.iter().map(|made| made.model.as_str()).collect();
    let registered = registry::entries::<dyn Model>().unwrap().into_iter().map(|entry| entry.name);
    let missing: Vec<&str> = registered.filter(|name| !tested.contains(name)).collect();
    // Networks from ONNX files are tested by tests/onnx.rs, and the other ResNets are made of resnet18's blocks.
    assert_eq!(missing, ["onnx", "resnet20", "resnet34"]);
    for (place, Made { model: name, options, input, classifier, logits: wanted }) in
        golden.models.into_iter().enumerate()
    {
        let [batch, channels, height, width] = input;
        let images = synthetic::images("images", input, &device);
        let model = registry::build::<dyn Model>(&name, &options).unwrap();
        let shape = Shape::new(channels, height, width).unwrap();
        let graph = Arc::new(model.graph(shape, wanted[0].len()).unwrap());
        let mut state = synthetic::state(&graph);
        for array in state.0.values_mut().filter(|array| array.shape.len() == 2) {
            array.values.iter_mut().for_each(|value| *value *= classifier);
        }
        if let Some(folder) = std::env::var_os("LIMPQ_TORCH_WEIGHTS") {
            let file = weights(Path::new(&folder).join(format!("{place}_{name}.pth")));
            let loaded = file.load(&graph, 0).unwrap_or_else(|error| panic!("{error}")).state;
            assert!(loaded == state, "{name}: the file has the formula's numbers");
            state = loaded;
        }
        let plan = Plan::full_precision(graph, quantizer.clone());
        let network = Network::new(&plan, &state, &device).unwrap();
        let logits = network.forward(images, &plan.no_bits(), false).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(logits.len(), batch * wanted[0].len());
        let distance = logits.iter().zip(wanted.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = wanted.iter().flatten().fold(0f32, |largest, value| largest.max(value.abs()));
        println!("{name} {options:?}: largest difference {distance:e} of logits up to {largest}");
        assert!(distance < 1e-4 && largest > 2.0, "{name} {options:?}: {distance} of logits up to {largest}");
    }
}

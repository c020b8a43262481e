//! The seeds of the fuzz targets are read.

use limpq_core::graph::{Builder, Conv, Shape};
use limpq_core::pickle;
use limpq_core::search::Policy;
use limpq_core::train::Weights;
use std::fs;
use std::path::{Path, PathBuf};

/// The seeds of the fuzz targets are what the readers accept, or the fuzzer would start from nothing.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

#[test]
fn the_fuzz_seeds_are_read() {
    let seed = |name: &str| fs::read_to_string(corpus().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let corpus = corpus();
    for name in ["protocol0", "protocol2", "protocol5", "shared"] {
        pickle::read(&bytes(corpus.join("pickle").join(name)), pickle::Names::Opaque).unwrap();
    }
    for name in ["legacy", "safetensors", "tar", "zip"] {
        let path = corpus.join("weights").join(name);
        let weights = Weights { path, key: None, new_classifier: false };
        weights.load(&crate::weights::tiny(3), 0).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    limpq_core::run::Config::parse("config.toml", &seed("config/toml"), &[]).unwrap_or_else(|error| panic!("{error}"));
    let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).expect("a shape"), 10);
    let x = b.conv("body", x, Conv::new(16, 3));
    let x = b.conv("tail", x, Conv::new(16, 1));
    b.classifier("fc", x);
    let graph = b.finish().expect("a network");
    let [json, csv, yaml] = ["json", "csv", "yaml"].map(|form| {
        let policy = Policy::from_bytes(seed(&format!("policy/{form}")).as_bytes(), form, Some(&graph));
        policy.unwrap_or_else(|error| panic!("{error}"))
    });
    assert_eq!((&json, &json), (&csv, &yaml));
}

//! Indicator files for tests. The numbers are MADE UP: smooth functions of the layer's place and the bit-width, falling as
//! bits rise as step sizes do. They say nothing about any network.

use assert_cmd::Command;
use limpq_core::graph::{Graph, Model};
use limpq_core::registry;
use limpq_core::search::{BitWidth, Candidates, INDICATORS_SCHEMA, Indicators, LayerIndicators, Provenance};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The program.
pub fn limpq() -> Command {
    assert_cmd::cargo::cargo_bin_cmd!("limpq")
}

/// Arguments for the network of [`graph`].
pub const NETWORK: [&str; 8] =
    ["--model", "resnet20", "--input", "3x32x32", "--classes", "10", "--set", "model.blocks=1"];

/// resnet20 with one block in each stage: eight searchable layers, few enough to try every policy of two candidates.
pub fn graph() -> Graph {
    let options = "blocks = 1".parse().unwrap();
    let model = registry::build::<dyn Model>("resnet20", &options).unwrap();
    model.graph("3x32x32".parse().unwrap(), 10).unwrap()
}

/// Made-up indicators for [`graph`] at these bits.
pub fn indicators(bits: &[u64]) -> Indicators {
    let by_bits = |scale: f64, decay: f64| -> BTreeMap<BitWidth, f64> {
        bits.iter().map(|&bits| (BitWidth::new(bits).unwrap(), scale * decay.powi(-(bits as i32)))).collect()
    };
    let layers = graph().searchable().into_iter().enumerate().map(|(place, layer)| {
        let weight = by_bits(0.10 + 0.07 * ((place * 5) % 8) as f64, 1.7 + 0.01 * place as f64);
        let act = by_bits(0.30 + 0.05 * ((place * 3) % 8) as f64, 1.6 + 0.02 * place as f64);
        (layer.name, LayerIndicators { weight, act })
    });
    Indicators {
        schema: INDICATORS_SCHEMA,
        model: Some("resnet20".into()),
        candidates: Candidates::of(bits).unwrap(),
        provenance: Provenance { sensitivity: "made up for tests".into(), ..Provenance::default() },
        layers: layers.collect(),
        spread: None,
    }
}

/// Writes JSON.
pub fn write_json(folder: &Path, indicators: &impl Serialize) -> PathBuf {
    write(folder, "indicators.json", &serde_json::to_vec_pretty(indicators).unwrap())
}

/// The same indicators as LIMPQ would pickle them, `module.` prefixes and all.
pub fn pickle(indicators: &Indicators) -> Vec<u8> {
    #[derive(Serialize)]
    struct Limpq {
        layer_name: Vec<String>,
        weight: BTreeMap<String, BTreeMap<String, f64>>,
        act: BTreeMap<String, BTreeMap<String, f64>>,
    }
    let text = |values: &BTreeMap<BitWidth, f64>| values.iter().map(|(b, &v)| (b.to_string(), v)).collect();
    let name = |layer: &String| format!("module.{layer}");
    let file = Limpq {
        layer_name: graph().searchable().iter().map(|layer| name(&layer.name)).collect(),
        weight: indicators.layers.iter().map(|(layer, values)| (name(layer), text(&values.weight))).collect(),
        act: indicators.layers.iter().map(|(layer, values)| (name(layer), text(&values.act))).collect(),
    };
    serde_pickle::to_vec(&file, serde_pickle::SerOptions::new()).unwrap()
}

/// Writes a file.
pub fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Everything in a folder with its content, to see that nothing changed.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap_or_default())).collect()
}

/// Every file below a folder with its content, by path from there. Locks are left out, and what holds times or commands.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        match name.as_str() {
            ".lock" | "metrics.jsonl" | "tensorboard" | "plots" => {}
            _ if path.is_dir() => open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            _ => {
                let mut content = std::fs::read(&path).unwrap();
                if path.ends_with("versions.json") {
                    content = without_command_and_date(&content);
                }
                found.insert(name, content);
            }
        }
    }
    found
}

/// What a run writes about itself, without what differs from one start to the next.
fn without_command_and_date(versions: &[u8]) -> Vec<u8> {
    let Ok(mut versions) = serde_json::from_slice::<serde_json::Value>(versions) else { return versions.to_vec() };
    if let Some(versions) = versions.as_object_mut() {
        versions.remove("command");
        versions.remove("started");
    }
    serde_json::to_vec(&versions).unwrap()
}

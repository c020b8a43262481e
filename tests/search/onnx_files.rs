//! Networks from ONNX files on the command line, without tensors: costs, a search, and what is refused.

use crate::fixtures::{self, limpq};
use limpq_core::{
    graph::{Graph, described},
    search::{Candidates, Indicators, LayerIndicators, Provenance},
};
use predicates::prelude::*;
use predicates::str::contains;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(format!("{name}.onnx"))
}

fn graph(path: &Path) -> Graph {
    use limpq as _; // links the plugins in
    let mut options = toml::Table::new();
    options.insert("path".to_owned(), path.display().to_string().into());
    described("onnx", &options, "3x12x12".parse().unwrap(), 5).unwrap()
}

#[test]
fn a_file_is_profiled_without_its_external_weights() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("net.onnx");
    std::fs::copy(golden("small_dynamo_external"), &alone).unwrap();
    for path in [golden("small_dynamo_external"), alone] {
        let assert = limpq().arg("profile").arg(&path).assert().success();
        // 3*3*3*8 weights at 6x6 pixels.
        assert.stdout(contains("| stem.0").and(contains("7776")).and(contains("TrainingMode.PRESERVE")));
    }
}

#[test]
fn a_file_is_searched_by_its_path() {
    let (folder, path) = (tempfile::tempdir().unwrap(), golden("small_legacy_17"));
    let candidates: Candidates = "4,2".parse().unwrap();
    let falling = || candidates.iter().map(|bits| (bits, 1.0 / bits.get() as f64)).collect();
    let layers = graph(&path).searchable().into_iter();
    let layers = layers.map(|layer| (layer.name, LayerIndicators { weight: falling(), act: falling() })).collect();
    let provenance = Provenance { sensitivity: "made up for tests".into(), ..Provenance::default() };
    let indicators = Indicators::new(None, candidates, provenance, layers);
    let file = fixtures::write(folder.path(), "i.json", &serde_json::to_vec(&indicators).unwrap());
    let search = |model: &Path| {
        let mut command = limpq();
        command.arg("search").arg("--indicators").arg(&file).arg("--model").arg(model);
        command.args(["--budget", "bitops=w3a3"]);
        command
    };
    search(&path).assert().success().stdout(contains("block.out").and(contains("proven optimal")));
    let folded = golden("channels_last");
    search(&folded).assert().code(1).stdout("").stderr(contains("error: "));
}

/// Nothing is read of what cannot be read whole, and the message says why.
#[test]
fn files_that_are_no_networks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(golden("small_legacy_17")).unwrap();
    let mut claims = whole.clone();
    // The length of the graph, a field near the beginning, beyond the file's end.
    claims.truncate(whole.len() / 2);
    for (name, content) in [("empty", &b""[..]), ("page", b"<!DOCTYPE html>"), ("half", &claims), ("text", b"\n\n\n\n")]
    {
        let path = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&path, content).unwrap();
        let assert = limpq().arg("profile").arg(&path).assert().code(1).stdout("");
        assert.stderr(contains(format!("{name}.onnx")).and(contains("panicked").not()));
    }
    limpq().args(["profile", "no/such.onnx"]).assert().code(1).stderr(contains("no/such.onnx"));
    limpq().arg("profile").arg(folder.path()).assert().failure().stderr(contains("panicked").not());
    let input = ["--input", "1x12x12"];
    let assert = limpq().arg("profile").arg(golden("small_legacy_17")).args(input).assert().code(1);
    assert.stderr(contains("its images have 3 channels, not 1"));
    let assert = limpq().arg("profile").arg(golden("small_legacy_17")).args(["--classes", "7"]).assert().code(1);
    assert.stderr(contains("the number of classes is 5"));
}

//! The inputs of a run as hashes, and the record of program and data in `versions.json`.

use super::Config;
use crate::{
    search::Problem,
    store::hash,
    train::{Data, DatasetError, Loaded},
};
use serde::Serialize;

/// Hash of a stage's inputs.
pub(super) fn inputs(parts: &[&dyn erased_serde::Serialize]) -> String {
    hash::of_bytes(&serde_json::to_vec(parts).expect("inputs are plain data"))
}

/// Hash of a data set, as networks see it.
pub(super) fn fingerprint(data: &Data) -> Result<String, DatasetError> {
    let elements = data.shape.elements();
    let mut text = format!("{} {}", data.shape, data.classes);
    for set in [Some(&data.train), data.validation.as_ref(), Some(&data.test)].into_iter().flatten() {
        text += &format!(" {} {}", set.len(), set.identity(elements)?);
    }
    Ok(hash::of_bytes(text.as_bytes()))
}

/// Hash of the running program: another build may compute other values, whatever its version number.
pub(super) fn program() -> std::io::Result<String> {
    let bytes = std::env::current_exe().and_then(std::fs::read)?;
    Ok(hash::of_bytes(&bytes))
}

/// Hash of an integer program: limits, costs, and losses if it has any. Costs may come from files, so their names are
/// not enough.
pub(super) fn of_problem(problem: &Problem) -> String {
    hash::of_bytes(format!("{problem:?}").as_bytes())
}

/// The contents of `versions.json`: program, images, weights and costs that the results depend on.
pub(super) fn versions(
    program: &str,
    images: &str,
    costs: &Problem,
    config: &Config,
    weights: Option<&Loaded>,
) -> String {
    let mut versions = serde_json::json!({
        "limpq": env!("CARGO_PKG_VERSION"),
        "program_sha256": program,
        "images_sha256": images,
        "costs_sha256": of_problem(costs),
        "burn": null,
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    });
    if let (Some(weights), Some(loaded)) = (&config.weights, weights) {
        versions["weights"] = serde_json::json!({ "path": weights.path, "sha256": loaded.sha256 });
    }
    crate::provenance::add_to(&mut versions);
    format!("{versions:#}\n")
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("artifacts are plain data with text keys");
    text.push(b'\n');
    text
}

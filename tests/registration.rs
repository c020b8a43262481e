//! Every plugin that is written in the sources is registered.

use limpq_core::graph::Model;
use limpq_core::ops::Operator;
use limpq_core::registry::{Kind, entries};
use limpq_core::run::Stage;
use limpq_core::search::{CostModel, Solver};
use limpq_core::train::{Dataset, Quantizer, Sensitivity};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The Rust files in plugins/, relative to the root.
fn plugin_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (vec![], vec![root.join("plugins")]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a readable folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(root).expect("it is under the root").to_owned());
        }
    }
    found
}

fn count<P: ?Sized + Kind>(registered: &mut BTreeMap<PathBuf, usize>) {
    for entry in entries::<P>().unwrap_or_else(|error| panic!("{error}")) {
        *registered.entry(entry.file.into()).or_default() += 1;
    }
}

/// A crate that is linked but never named is dropped by the linker, and its plugins vanish without a word.
#[test]
fn every_plugin_in_the_sources_is_registered() {
    let mut registered = BTreeMap::new();
    count::<dyn Quantizer>(&mut registered);
    count::<dyn Model>(&mut registered);
    count::<dyn Operator>(&mut registered);
    count::<dyn CostModel>(&mut registered);
    count::<dyn Solver>(&mut registered);
    count::<dyn Sensitivity>(&mut registered);
    count::<dyn Dataset>(&mut registered);
    count::<dyn Stage>(&mut registered);
    let off =
        [("plugins/solvers/highs.rs", cfg!(feature = "highs")), ("plugins/solvers/cbc.rs", cfg!(feature = "cbc"))];
    let off = |file: &Path| off.iter().any(|(path, on)| Path::new(path) == file && !on);
    let mut written = 0;
    for file in plugin_files().iter().filter(|file| !off(file)) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a readable file");
        let invocations = text.lines().filter(|line| line.contains("plugin!(") && !is_comment(line)).count();
        let found = registered.get(file).copied().unwrap_or(0);
        assert!(found >= invocations, "{}: {invocations} plugins written, {found} registered", file.display());
        written += invocations;
    }
    assert!(written > 0, "no plugin is written in plugins/");
    assert!(registered.values().sum::<usize>() >= written);
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

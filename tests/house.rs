//! The rules of the house that a compiler does not check.

use limpq_core::graph::{Builder, Conv, Model, Shape};
use limpq_core::pickle;
use limpq_core::registry::{Kind, entries};
use limpq_core::search::{CostModel, Policy, Solver};
use limpq_core::train::{Dataset, Quantizer, Sensitivity, Weights};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files under a path relative to the root, themselves relative to it, sorted.
fn rust_files(under: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![root().join(under)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let entries = entries.map(|entry| entry.expect("a readable folder").path());
            // What was built there, by `make fuzz` say, is not ours.
            open.extend(entries.filter(|path| !path.ends_with("target")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(root()).expect("it is under the root").to_owned());
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{under} has no Rust files");
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_search_half_knows_no_tensors() {
    for part in [
        "core/search",
        "core/graph",
        "core/pickle",
        "core/input.rs",
        "core/registry.rs",
        "core/options.rs",
        "core/run/config.rs",
        "core/run/read.rs",
    ] {
        for file in rust_files(part) {
            let text = read(&file);
            // The registry and the config name kinds of plugins, nothing else of the training half.
            let training = ["core/search", "core/graph", "core/pickle", "core/input.rs"].contains(&part)
                && text.lines().any(|line| line.contains("crate::train") && !line.trim_start().starts_with("//"));
            assert!(!training, "{} uses the training half", file.display());
            let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(
                words.all(|word| word != "burn"),
                "{} speaks of burn; tensors belong in core/train",
                file.display()
            );
        }
    }
}

/// Rooms of core use each other in one direction: run -> train -> device, store, search.
#[test]
fn rooms_of_core_are_used_in_one_direction() {
    let above: [(&str, &[&str]); 4] = [
        ("core/store", &["run", "train", "device", "search", "graph"]),
        ("core/device", &["run", "train", "store", "search", "graph"]),
        ("core/train", &["run"]),
        ("core/search", &["run", "train", "device"]),
    ];
    for (room, others) in above {
        for file in rust_files(room) {
            let text = read(&file);
            for (number, line) in code(&text) {
                let uses = |other: &&&str| {
                    line.contains(&format!("crate::{other}")) || line.trim_start().starts_with(&format!("{other}::"))
                };
                let used = others.iter().find(uses);
                assert!(used.is_none(), "{}:{number} uses {}: {line}", file.display(), used.unwrap());
            }
        }
    }
}

/// The lines of a file that are neither comments nor, from the first `#[cfg(test)]` on, tests; with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]")).filter(|(_, line)| !is_comment(line))
}

fn is_tests(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "tests.rs" || name == "worked.rs" || name == "contract.rs")
}

/// What users must see is told to the observer of a run, or returned.
#[test]
fn libraries_print_nothing_and_know_no_options_of_the_command_line() {
    let files = ["core", "plugins"].into_iter().flat_map(rust_files).filter(|file| !is_tests(file));
    let mut strings = 0;
    for file in files {
        let text = read(&file);
        for (number, line) in code(&text) {
            let place = format!("{}:{number}: {line}", file.display());
            for word in ["print!(", "println!(", "dbg!(", "stderr()", "stdout()"] {
                assert!(!line.contains(word), "{place}");
            }
            strings += line.matches('"').count();
            let option = |word: &str| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
            let mut words = line.split(|c: char| c.is_whitespace() || "\"'`({[".contains(c));
            assert!(!words.any(option), "{place}: name the setting; experiments/commands/hints.rs names the option");
        }
    }
    assert!(strings > 1000, "only {strings} quotation marks were looked at");
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let exempt = concat!("unsafe", "_code");
    let of = |under: &str| rust_files(under).into_iter().filter(|file| read(file).contains(exempt));
    let found: Vec<PathBuf> = ["core", "plugins", "experiments", "benches"].into_iter().flat_map(of).collect();
    assert_eq!(found, [Path::new("plugins/quantizers/fused/libtorch.rs")]);
}

#[test]
fn code_stands_in_five_folders() {
    let hidden = |name: &str| name.starts_with('.') || name == "target";
    let folders = fs::read_dir(root()).expect("the root can be read").map(|entry| entry.expect("a readable folder"));
    let with_code: BTreeSet<String> = folders
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !hidden(name) && has_rust(&root().join(name)))
        .collect();
    assert_eq!(with_code.iter().collect::<Vec<_>>(), ["benches", "core", "experiments", "plugins", "tests"]);
}

fn has_rust(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a readable folder").any(|entry| {
        let path = entry.expect("a readable folder").path();
        path.extension().is_some_and(|extension| extension == "rs") || path.is_dir() && has_rust(&path)
    })
}

#[test]
fn every_file_says_what_it_is() {
    for folder in ["core", "plugins", "experiments", "tests", "benches"] {
        for file in rust_files(folder) {
            assert!(read(&file).starts_with("//! "), "{} does not begin with a `//!` line", file.display());
        }
    }
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
    count::<dyn CostModel>(&mut registered);
    count::<dyn Solver>(&mut registered);
    count::<dyn Sensitivity>(&mut registered);
    count::<dyn Dataset>(&mut registered);
    let off =
        [("plugins/solvers/highs.rs", cfg!(feature = "highs")), ("plugins/solvers/cbc.rs", cfg!(feature = "cbc"))];
    let off = |file: &Path| off.iter().any(|(path, on)| Path::new(path) == file && !on);
    let mut written = 0;
    for file in rust_files("plugins").iter().filter(|file| !off(file)) {
        let text = read(file);
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

/// The seeds of the fuzz targets are what the readers accept, or the fuzzer would start from nothing.
#[test]
fn the_fuzz_seeds_are_read() {
    let seed = |name: &str| read(&Path::new("tests/fuzz/corpus").join(name));
    let bytes = |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let corpus = root().join("tests/fuzz/corpus");
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

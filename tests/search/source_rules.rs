//! Rules for the sources that a compiler does not check.

use std::collections::BTreeSet;
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
        "core/onnx",
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
            let training = ["core/search", "core/graph", "core/onnx", "core/pickle", "core/input.rs"].contains(&part)
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
                    let path = format!("{other}::");
                    line.contains(&format!("crate::{other}"))
                        || line.trim_start().starts_with(&path)
                        || line.contains("use crate::{")
                            && (line.contains(&format!("{{{path}")) || line.contains(&format!(" {path}")))
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

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn is_example(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "examples")
}

fn is_tests(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "tests.rs" || name == "worked.rs" || name == "contract.rs")
}

/// What users must see is told to the observer of a run, or returned.
#[test]
fn libraries_print_nothing_and_know_no_options_of_the_command_line() {
    let files =
        ["core", "plugins"].into_iter().flat_map(rust_files).filter(|file| !is_tests(file) && !is_example(file));
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
            assert!(
                !words.any(option),
                "{place}: name the setting; experiments/cli/commands/hints.rs names the option"
            );
        }
    }
    assert!(strings > 1000, "only {strings} quotation marks were looked at");
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let exempt = concat!("unsafe", "_code");
    let of = |under: &str| rust_files(under).into_iter().filter(|file| read(file).contains(exempt));
    let found: Vec<PathBuf> = ["core", "plugins", "experiments", "benches"].into_iter().flat_map(of).collect();
    assert_eq!(found, [Path::new("core/train/kernels/custom_op/host.rs")]);
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

/// What an operator is and does is asked of the operator: a question which one it is would be wrong for the next one. Names
/// of operators serve messages, records and the ONNX file format alone.
#[test]
fn nobody_outside_its_folder_asks_which_operator_a_node_has() {
    let names = ["core/graph/build.rs", "core/graph/layer.rs"];
    // core/onnx tells the nodes of ONNX files apart.
    let asking = |file: &PathBuf| !file.starts_with("core/ops") && !file.starts_with("core/onnx");
    for folder in ["core", "plugins", "experiments", "benches"] {
        for file in rust_files(folder).into_iter().filter(asking) {
            let text = read(&file);
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in program.lines() {
                let line: String = line.split_whitespace().collect();
                let asks = ["kind==\"", "kind!=\"", "&layer.kind)", "kind.as_str()", "matchnode.op"];
                let asks = [&asks[..], &["matchlayer.kind", "kind.starts_with", "op.name(){", "op.downcast"]].concat();
                let asked = asks.iter().find(|asks| line.contains(**asks));
                assert!(asked.is_none(), "{}: {line}", file.display());
                let named = line.contains("op.name()");
                let may = names.iter().any(|path| file.to_string_lossy().starts_with(path));
                assert!(!named || may, "{}: {line}", file.display());
            }
        }
    }
}

//! Every crate that is built into the program or its tests may be used by everyone: its licence is on the list.

use std::process::Command;

/// As in `deny.toml`.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "EPL-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression (or the older `MIT/Apache-2.0`) can be met with allowed licences only.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any(&words, &mut at) && at == words.len()
}

/// `all OR all OR ...`
fn any(words: &[&str], at: &mut usize) -> bool {
    let mut met = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at);
    }
    met
}

/// `one AND one AND ...`
fn all(words: &[&str], at: &mut usize) -> bool {
    let mut met = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at);
    }
    met
}

/// `(any)`, a licence, or a licence WITH an exception.
fn one(words: &[&str], at: &mut usize) -> bool {
    let first = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if first == "(" {
        let met = any(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    match words[(*at).min(words.len())..] {
        ["WITH", exception, ..] => {
            *at += 2;
            ALLOWED.contains(&format!("{first} WITH {exception}").as_str())
        }
        _ => ALLOWED.contains(&first),
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for yes in ["MIT", "MIT ", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0"] {
        assert!(allowed(yes), "{yes}");
    }
    assert!(allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT OR", "(MIT", "MIT)", "MIT WITH some-exception", "MIT Apache-2.0"]
    {
        assert!(!allowed(no), "{no}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    // Not `cargo metadata`: that lists crates of features that are off, too.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let makefile = include_str!("../Makefile").lines();
    let features = makefile.filter_map(|line| line.strip_prefix("FEATURES := ")).next().expect("those of `make test`");
    let arguments = ["tree", "--workspace", "--offline", "--features", features];
    let tree = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}\t{l}"])
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("cargo writes UTF-8");
    let mut crates: Vec<(&str, &str)> = tree
        .lines()
        // What was listed before has a mark.
        .map(|line| line.trim_end_matches(" (*)"))
        .filter_map(|line| line.split_once('\t'))
        .collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.len() > 50, "cargo tree listed only {} crates", crates.len());
    let refused: Vec<String> = crates
        .iter()
        .filter(|(_, licence)| !allowed(licence))
        .map(|(name, licence)| format!("{name}: {}", if licence.is_empty() { "no licence" } else { licence }))
        .collect();
    assert!(refused.is_empty(), "licences that are not on the list of tests/licences.rs:\n{}", refused.join("\n"));
}

#[test]
fn cargo_deny_allows_the_same() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("deny.toml is there");
    let config: toml::Table = text.parse().expect("deny.toml is TOML");
    let allow: Vec<&str> = config["licenses"]["allow"]
        .as_array()
        .expect("licenses.allow is a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert_eq!(allow, ALLOWED);
}

//! Determines how the program is built, for `limpq --version` and the records of runs: commit, features, compiler,
//! version of burn.
//!
//! It depends on the sources and not on the repository: a commit alone rebuilds nothing and does not change the
//! program, so that runs can continue. It describes the sources when they were last compiled.

use std::env;
use std::path::Path;
use std::process::Command;

/// The sources of the program.
const SOURCES: [&str; 6] = ["build.rs", "core", "plugins", "experiments/cli", "Cargo.toml", "Cargo.lock"];

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    SOURCES.iter().for_each(|source| println!("cargo::rerun-if-changed={source}"));
    let commit = commit(Path::new(&root));
    let (commit, dirty) = commit.map_or((String::new(), String::new()), |(commit, dirty)| (commit, dirty.to_string()));
    println!("cargo::rustc-env=LIMPQ_COMMIT={commit}");
    println!("cargo::rustc-env=LIMPQ_DIRTY={dirty}");
    println!("cargo::rustc-env=LIMPQ_FEATURES={}", features());
    println!("cargo::rustc-env=LIMPQ_RUSTC={}", said(Command::new(rustc()).arg("--version")).unwrap_or_default());
    println!("cargo::rustc-env=LIMPQ_BURN={}", burn(Path::new(&root)).unwrap_or_default());
}

fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

/// The output of a program, if it succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The last commit that touched the sources, and whether they differ from it; `None` without git, and for a copy of the
/// sources that is not a repository, or is inside another one.
fn commit(root: &Path) -> Option<(String, bool)> {
    let git =
        |arguments: &[&str]| said(Command::new("git").arg("-C").arg(root).args(arguments).args(["--"]).args(SOURCES));
    let top = said(Command::new("git").arg("-C").arg(root).args(["rev-parse", "--show-toplevel"]))?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(&["log", "-1", "--format=%H"]).filter(|commit| !commit.is_empty())?;
    Some((commit, !git(&["status", "--porcelain"])?.is_empty()))
}

/// Cargo features that are on, separated by commas.
fn features() -> String {
    let name = |key: &str| Some(key.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-"));
    let mut features: Vec<String> = env::vars().filter_map(|(key, _)| name(&key)).collect();
    features.retain(|feature| feature != "default");
    features.sort();
    features.join(",")
}

/// The version of burn in the lock file.
fn burn(root: &Path) -> Option<String> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let rest = lock.split("name = \"burn\"").nth(1)?;
    Some(rest.split("version = \"").nth(1)?.split('"').next()?.to_owned())
}

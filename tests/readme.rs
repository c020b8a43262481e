//! The commands in the README work as they stand there.
//!
//! Lines of `sh` blocks that start with `limpq` are run from the root of the repository. A run takes minutes, so its
//! config is only checked. Files that the reader brings or makes lie in a temporary folder; LIMPQ's published indicators
//! are replaced by made-up ones.

use crate::fixtures::limpq;
use limpq_core::graph::Model;
use limpq_core::registry;
use limpq_core::search::{BitWidth, Candidates, INDICATORS_SCHEMA, Indicators, LayerIndicators, Provenance};
use std::path::Path;
use std::process::Command;

const PUBLISHED: &str = "importance_indicators_resnet50.pkl";

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("README.md is there")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Commands of the `sh` blocks that start with this word, joined where a line ends in a backslash, comments cut off.
fn commands(program: &str) -> Vec<Vec<String>> {
    let text = readme();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    let joined: String = blocks.collect::<String>().replace("\\\n", " ");
    let words = |line: &str| -> Vec<String> {
        let line = line.split(" # ").next().unwrap_or(line);
        line.split_whitespace().map(str::to_owned).collect()
    };
    joined.lines().map(words).filter(|words| words.first().is_some_and(|word| word == program)).collect()
}

/// Made-up indicators of ResNet-50, in the place of the published ones.
fn write_indicators(path: &Path) {
    let model = registry::build::<dyn Model>("resnet50", &toml::Table::new()).unwrap();
    let graph = model.graph("3x224x224".parse().unwrap(), 1000).unwrap();
    let bits = [6, 5, 4, 3, 2];
    let layers = graph.searchable().into_iter().enumerate().map(|(place, layer)| {
        let values = |scale: f64| {
            let value = |bits: u64| scale * (1.0 + (place % 7) as f64) * 1.7f64.powi(-(bits as i32));
            bits.iter().map(|&bits| (BitWidth::new(bits).unwrap(), value(bits))).collect()
        };
        (layer.name, LayerIndicators { weight: values(0.1), act: values(0.3) })
    });
    let indicators = Indicators {
        schema: INDICATORS_SCHEMA,
        model: None,
        candidates: Candidates::of(&bits).unwrap(),
        provenance: Provenance { sensitivity: "made up for tests".to_owned(), ..Provenance::default() },
        layers: layers.collect(),
        spread: None,
    };
    std::fs::write(path, serde_json::to_vec(&indicators).unwrap()).unwrap();
}

#[test]
fn the_program_s_commands_work() {
    let folder = tempfile::tempdir().unwrap();
    write_indicators(&folder.path().join(PUBLISHED));
    let commands = commands("limpq");
    let uses = |name: &str| commands.iter().any(|command| command.get(1).is_some_and(|word| word == name));
    for name in ["list", "show", "profile", "search", "pareto", "sweep-alpha", "stability", "compare", "check", "run"] {
        assert!(uses(name), "the README does not show `limpq {name}`");
    }
    for command in &commands {
        let ends = [".pkl", ".json", ".yaml", ".csv", ".svg", ".png"];
        let moved = |word: &String| match ends.iter().any(|end| word.ends_with(end)) {
            true => folder.path().join(word).display().to_string(),
            false => word.clone(),
        };
        let mut words: Vec<String> = command[1..].iter().map(moved).collect();
        if words[0] == "run" {
            words[0] = "check".to_owned();
            words.retain(|word| word != "--replace");
            if let Some(out) = words.iter().position(|word| word == "--out") {
                words.drain(out..out + 2);
            }
        }
        // Data that is not embedded need not be on this machine; a config is read before its data.
        let output = limpq().current_dir(root()).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let lacks_data = said.contains("dataset-fashion-mnist");
        assert!(output.status.success() || lacks_data, "limpq {}: {said}", words.join(" "));
    }
}

#[test]
fn the_make_targets_exist() {
    let targets = commands("make");
    assert!(
        targets.iter().any(|words| words == &["make", "demo"])
            && targets.iter().any(|words| words == &["make", "test"])
    );
    for words in targets {
        match Command::new("make").current_dir(root()).arg("--dry-run").args(&words[1..]).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => println!("skipped: make cannot be run here: {error}"),
        }
    }
}

#[test]
fn the_config_in_the_readme_is_read() {
    let text = readme();
    let config = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a toml block");
    limpq_core::run::Config::parse("README.md", config, &[]).unwrap_or_else(|error| panic!("{error}"));
}

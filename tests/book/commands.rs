//! Commands and configs of README and the book.
//!
//! - Lines of `sh` blocks that start with `limpq` are run, page by page, in one temporary folder that has the configs and
//!   what the demo leaves, made in little time. LIMPQ's published indicators are replaced by made-up ones. A run takes
//!   minutes, so its config is only checked, unless the block is marked with `<!-- test: run -->`.
//! - Targets of `make` in `sh` and `bash` blocks exist.
//! - `toml` blocks are read: whole configs, studies, and fragments, which are put over the quickstart.

use super::{Page, all, manual, root};
use crate::fixtures::{self, limpq};
use limpq_core::graph::Model;
use limpq_core::registry;
use limpq_core::run::Config;
use limpq_core::search::{BitWidth, Candidates, INDICATORS_SCHEMA, Indicators, LayerIndicators, Provenance};
use std::path::Path;
use std::process::Command;

const PUBLISHED: &str = "importance_indicators_resnet50.pkl";
const CONFIGS: &str = "experiments/configs";
const QUICKSTART: &str = "experiments/configs/quickstart.toml";

/// The words of a command.
type Words = Vec<String>;

impl Page {
    /// Commands of blocks in these languages that start with this word, and whether they are marked to be run. They are
    /// joined where a line ends in a backslash; comments are cut off.
    fn commands(&self, program: &str, languages: &[&str]) -> Vec<(Words, bool)> {
        let blocks = self.blocks().into_iter().filter(|block| languages.contains(&block.language));
        let words = |line: &str| -> Words {
            let line = line.split(" # ").next().unwrap_or(line);
            line.split_whitespace().map(str::to_owned).collect()
        };
        let of = |block: super::Block| {
            let joined = block.text.replace("\\\n", " ");
            joined.lines().map(|line| (words(line), block.run)).collect::<Vec<_>>()
        };
        let all = blocks.flat_map(of);
        all.filter(|(words, _)| words.first().is_some_and(|word| word == program)).collect()
    }
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

/// Copies the configs into a folder.
fn copy_configs(folder: &Path) {
    std::fs::create_dir_all(folder.join(CONFIGS)).unwrap();
    for entry in std::fs::read_dir(root().join(CONFIGS)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(CONFIGS).join(entry.file_name())).unwrap();
    }
}

/// What somebody has who has made the demo: the configs and the run's folder. One epoch in place of twelve.
fn make_demo(folder: &Path) {
    copy_configs(folder);
    let mut demo = limpq();
    demo.current_dir(folder).args(["run", QUICKSTART, "--no-plots"]);
    for setting in [
        "pretrain.epochs=1",
        "pretrain.warmup_epochs=0",
        "indicators.epochs=1",
        "finetune.epochs=0",
        "finetune.warmup_epochs=0",
    ] {
        demo.args(["--set", setting]);
    }
    demo.assert().success();
}

#[test]
fn the_program_s_commands_work() {
    if fixtures::device_name() != "flex" {
        println!("skipped: the commands train on the CPU, whatever device the tests do");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_demo(folder.path());
    write_indicators(&folder.path().join(PUBLISHED));
    let pages = manual();
    let commands: Vec<(&Page, Words, bool)> = pages
        .iter()
        .flat_map(|page| page.commands("limpq", &["sh"]).into_iter().map(move |(words, run)| (page, words, run)))
        .collect();
    let uses = |name: &str| commands.iter().any(|(_, words, _)| words.get(1).is_some_and(|word| word == name));
    for name in [
        "list",
        "show",
        "profile",
        "search",
        "pareto",
        "sweep-alpha",
        "stability",
        "compare",
        "latency-template",
        "check",
        "run",
        "study",
    ] {
        assert!(uses(name), "neither README nor the book shows `limpq {name}`");
    }
    assert!(commands.iter().any(|(_, words, run)| *run && words[1] == "run"), "no run of the book is done in full");
    for (page, words, run) in &commands {
        let mut words = words[1..].to_vec();
        if words[0] == "run" && !run {
            words[0] = "check".to_owned();
            words.retain(|word| word != "--replace");
            if let Some(out) = words.iter().position(|word| word == "--out") {
                words.drain(out..out + 2);
            }
        }
        // Data that is not embedded need not be on this machine; a config is read before its data.
        let output = limpq().current_dir(folder.path()).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let lacks_data = said.contains("dataset-fashion-mnist");
        let page = page.path.display();
        assert!(output.status.success() || lacks_data, "{page}: limpq {}: {said}", words.join(" "));
    }
}

#[test]
fn the_make_targets_exist() {
    let targets: Vec<Words> =
        all().iter().flat_map(|page| page.commands("make", &["sh", "bash"])).map(|c| c.0).collect();
    for wanted in ["demo", "test"] {
        assert!(targets.iter().any(|words| words[1..] == [wanted]), "make {wanted} is not shown");
    }
    for words in targets {
        match Command::new("make").current_dir(root()).arg("--dry-run").args(&words[1..]).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => println!("skipped: make cannot be run here: {error}"),
        }
    }
}

/// A fragment put over a whole config: keys of its tables over theirs, but a plugin with its options as a whole.
fn over(base: &toml::Table, fragment: toml::Table) -> toml::Table {
    let mut config = base.clone();
    for (key, value) in fragment {
        match (config.get_mut(&key).and_then(toml::Value::as_table_mut), value) {
            (Some(under), toml::Value::Table(table)) if !table.contains_key("name") => under.extend(table),
            (_, value) => drop(config.insert(key, value)),
        }
    }
    config
}

#[test]
fn the_configs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    copy_configs(folder.path());
    let quickstart: toml::Table = super::page(QUICKSTART).text.parse().unwrap();
    let (mut whole, mut fragments, mut studies) = (0, 0, 0);
    for page in manual() {
        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            let path = page.path.display().to_string();
            let table: toml::Table = block.text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
            let read = |text: &str| {
                Config::parse(&path, text, &[]).unwrap_or_else(|error| panic!("{error}\n{}", block.text));
            };
            if table.contains_key("variants") {
                studies += 1;
                std::fs::write(folder.path().join(CONFIGS).join("of_the_book.toml"), &block.text).unwrap();
                let study = format!("{CONFIGS}/of_the_book.toml");
                limpq().current_dir(folder.path()).args(["study", &study, "--dry-run"]).assert().success();
            } else if table.contains_key("bits") {
                whole += 1;
                read(&block.text);
            } else {
                fragments += 1;
                read(&toml::to_string(&over(&quickstart, table)).unwrap());
            }
        }
    }
    assert!(whole >= 2 && fragments >= 4 && studies >= 1, "{whole} configs, {fragments} fragments, {studies} studies");
}

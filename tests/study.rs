//! `limpq study`: one table, shared stages, refused variants listed, resumable.

use crate::{fixtures, runs::TINY};
use std::{fs, path::Path, process::Output};

fn study(folder: &Path, text: &str, arguments: &[&str]) -> Output {
    fs::write(folder.join("tiny.toml"), TINY).unwrap();
    fs::write(folder.join("study.toml"), text).unwrap();
    let device = format!("device={}", fixtures::device_name());
    let mut command = fixtures::limpq();
    command.current_dir(folder).args(["study", "study.toml", "--dir", "runs", "--set", &device]).args(arguments);
    command.output().unwrap()
}

const STUDY: &str = r#"name = "tiny_study"
base = "tiny.toml"
seeds = [3, 4]

[common]
finetune.learning_rate = 0.02

[variants]
fisher = { sensitivity.name = "fisher", sensitivity.batches = 2, search.alpha = 1.0 }
random = { sensitivity.name = "random" }
dorefa_learned = { quantizer.name = "dorefa" }
"#;

#[test]
fn a_study_compares_entrants_over_seeds_and_shares_what_they_have_in_common() {
    let home = tempfile::tempdir().unwrap();
    let out = ["--out", "table.csv", "--out", "table.md", "--out", "table.json"];
    let output = study(home.path(), STUDY, &out);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let trained = |what: &str| told.lines().filter(|line| line.starts_with(what) && line.contains(" steps")).count();
    assert_eq!(trained("pretrain"), 2, "once for each seed, not for each variant\n{told}");
    assert_eq!(trained("fine-tune uniform"), 2, "{told}");
    let read = |name: &str| fs::read(home.path().join("runs").join(name)).unwrap();
    assert_eq!(read("fisher-seed3/pretrained.safetensors"), read("random-seed3/pretrained.safetensors"));
    assert_ne!(read("fisher-seed3/pretrained.safetensors"), read("fisher-seed4/pretrained.safetensors"));
    let config = String::from_utf8(read("fisher-seed4/config.toml")).unwrap();
    for setting in ["seed = 4", "alpha = 1.0", "learning_rate = 0.02", "batches = 2"] {
        assert!(config.contains(setting), "{setting} is missing in\n{config}");
    }
    assert!(said.contains("left out: dorefa_learned, seed 3: "), "{said}");
    assert!(
        said.contains("Sensitivities that do without: fisher, infoq, loss_drop, mutual_information_drop, random"),
        "{said}"
    );

    let csv = fs::read_to_string(home.path().join("table.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split("\",\"").collect()).collect();
    assert_eq!(rows.len(), 3, "a heading and two variants\n{csv}");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(home.path().join("table.json")).unwrap()).unwrap();
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 6);
    let accuracies: Vec<f64> = cells
        .iter()
        .filter(|cell| cell["variant"] == "fisher")
        .map(|cell| 100.0 * cell["summary"]["networks"][1]["score"]["accuracy"].as_f64().unwrap())
        .collect();
    let (mean, half) = ((accuracies[0] + accuracies[1]) / 2.0, (accuracies[0] - accuracies[1]).abs() / 2.0);
    // Of two numbers: half their difference times the root of two.
    let shown = format!("{mean:.2} ± {:.2}", half * 2f64.sqrt());
    let markdown = fs::read_to_string(home.path().join("table.md")).unwrap();
    for text in [said.as_ref(), markdown.as_str()] {
        assert!(text.lines().any(|line| line.starts_with("| fisher ") && line.contains(&shown)), "{shown}\n{text}");
    }

    let again = study(home.path(), STUDY, &[]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(!told.contains(" steps"), "a finished study trains nothing again\n{told}");
    let table = |output: &Output| String::from_utf8_lossy(&output.stdout).split("left out").next().unwrap().to_owned();
    assert_eq!(table(&again), table(&output));
}

#[test]
fn faulty_studies_are_refused_before_anything_runs() {
    let home = tempfile::tempdir().unwrap();
    let refused = |text: &str, arguments: &[&str]| {
        let output = study(home.path(), text, arguments);
        assert!(!output.status.success());
        assert!(!home.path().join("runs").exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (from, to, message) in [
        ("seeds = [3, 4]", "seeds = []", "seeds must be at least one"),
        ("seeds = [3, 4]", "seeds = [3, 3]", "each once, got [3, 3]"),
        ("seeds = ", "sedes = ", "unknown field `sedes`"),
        ("random = ", "\"../random\" = ", "\"../random\" is used as a folder's name"),
        ("[variants]", "[entrants]", "the section [entrants] has been renamed; write [variants] instead"),
        ("tiny.toml", "gone.toml", "cannot read the study's base gone.toml"),
    ] {
        let error = refused(&STUDY.replacen(from, to, 1), &[]);
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("standard output"), "{error}");
    }
    let error = refused(STUDY, &["--out", "table.txt"]);
    assert!(error.contains("--out table.txt: the name must end in .json"), "{error}");
}

#[test]
fn the_studies_in_the_repository_are_accepted() {
    for (name, runs) in [("study_budgets", 30), ("study_quantizers", 21), ("study_sensitivities", 30)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("experiments/configs/{name}.toml"));
        let output = fixtures::limpq().arg("study").arg(&path).arg("--dry-run").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.lines().count() == runs && !said.contains("refused"), "{said}");
    }
}

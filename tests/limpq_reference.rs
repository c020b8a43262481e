//! Golden test against the files that LIMPQ published (github.com/1hunters/LIMPQ, `quantization_search/indicators/`): its
//! indicators give its policy. They are not part of this repository; the folder that holds them is named by the
//! environment variable `LIMPQ_REFERENCE`. Without them the test says so and passes.

use crate::fixtures::limpq;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Folder with the published files, if there is one.
fn published() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/limpq");
    let folder = std::env::var_os("LIMPQ_REFERENCE").map_or_else(default, PathBuf::from);
    let found = folder.is_dir();
    if !found {
        println!("skipped: {} is not there; set LIMPQ_REFERENCE", folder.display());
    }
    found.then_some(folder)
}

/// Solvers that are exact and built in.
const SOLVERS: &[&str] = if cfg!(feature = "highs") { &["exact", "highs"] } else { &["exact"] };

/// What the search finds with one accounting.
fn found(folder: &Path, accounting: &str, solver: &str) -> Value {
    let output = limpq()
        .args(["search", "--model", "resnet50", "--solver", solver, "--alpha", "2", "--json", "--indicators"])
        .arg(folder.join("importance_indicators_resnet50.pkl"))
        .args(["--budget", "bitops=w3a4", "--budget", "size=12.2x", "--accounting", accounting])
        .assert()
        .success();
    let found: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(found["proof"]["status"], "optimal");
    found
}

fn assert_objective(found: &Value, wanted: f64, tolerance: f64) {
    let objective = found["objective"].as_f64().unwrap();
    assert!((objective - wanted).abs() < tolerance, "objective {objective}, wanted {wanted}");
}

#[test]
fn limpq_accounting_gives_the_published_policy() {
    let Some(folder) = published() else { return };
    let text = std::fs::read(folder.join("policy_resnet50_w3a4_cr12.2.json")).unwrap();
    let wanted: Value = serde_json::from_slice(&text).unwrap();
    for solver in SOLVERS {
        let found = found(&folder, "limpq", solver);
        for key in ["weight_bits", "act_bits"] {
            let bits: Vec<&Value> = found["policy"].as_array().unwrap().iter().map(|layer| &layer[key]).collect();
            assert_eq!(bits, wanted[key].as_array().unwrap().iter().collect::<Vec<_>>(), "{solver}: {key}");
            assert_eq!(bits.len(), 52);
        }
        assert_objective(&found, 4.617439227178693, 1e-9);
    }
}

#[test]
fn exact_accounting_gives_its_own_objective() {
    let Some(folder) = published() else { return };
    for solver in SOLVERS {
        assert_objective(&found(&folder, "exact", solver), 4.630866, 1e-6);
    }
}

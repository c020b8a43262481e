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
    let request = ["--budget", "bitops=w3a4", "--budget", "size=12.2x", "--accounting", accounting];
    asked(folder, &[&request[..], &["--solver", solver]].concat())
}

fn asked(folder: &Path, request: &[&str]) -> Value {
    let output = limpq()
        .args(["search", "--model", "resnet50", "--alpha", "2", "--json", "--indicators"])
        .arg(folder.join("importance_indicators_resnet50.pkl"))
        .args(request)
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

/// LIMPQ's rule compares a bit-width with the next one of the file, whether or not that is a candidate. Its own search was run
/// for these objectives.
#[test]
fn gaps_among_the_candidates_leave_limpq_s_rule_alone() {
    let Some(folder) = published() else { return };
    for (request, wanted) in [
        (&["--bits", "6,4,2", "--budget", "bitops=w4a4", "--budget", "size=8x"][..], 3.548958684),
        (&["--bits", "6,4", "--budget", "bitops=w5a5"], 2.379703640),
    ] {
        let limpq = [request, &["--accounting", "limpq"]].concat();
        let found = asked(&folder, &limpq);
        assert_eq!(found["rising_indicators"], "forbid");
        assert_objective(&found, wanted, 1e-8);
        let allowed = asked(&folder, &[&limpq[..], &["--rising-indicators", "allow"]].concat());
        assert!(allowed["objective"].as_f64() <= found["objective"].as_f64());
    }
}

/// The audit of indicators leaves alone what is known to be sound.
#[test]
fn nothing_is_wrong_with_the_published_indicators() {
    let Some(folder) = published() else { return };
    let warnings = asked(&folder, &["--budget", "size=12x"])["warnings"].clone();
    let only = warnings.as_array().unwrap();
    assert!(
        only.len() == 1 && only[0].as_str().unwrap().contains("assumed: input 3x224x224, 1000 classes"),
        "{warnings}"
    );
}

//! A run as a list of stages: what `limpq check` says of them before, during and after a run, and that it changes nothing.

use crate::{
    fixtures::{limpq, tree},
    interrupts::Impatient,
    runs::{go, tiny},
};
use limpq_core::run::{Config, Setup, StageState, report_stages};
use std::{fs, path::Path};

/// The states of all stages in order.
fn states(config: &Config, folder: &Path) -> Vec<(String, StageState)> {
    let before = folder.exists().then(|| tree(folder));
    let setup = Setup::new(config, &()).unwrap();
    let stages = report_stages(&setup, folder).unwrap().into_iter().map(|stage| (stage.name, stage.state)).collect();
    assert_eq!(folder.exists().then(|| tree(folder)), before, "who only looks changes nothing");
    stages
}

fn in_state(states: &[(String, StageState)], wanted: &StageState) -> Vec<String> {
    states.iter().filter(|(_, state)| state == wanted).map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_stage_is_done_where_its_artifacts_are_from_the_same_inputs() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("run");
    let config = tiny(&["sensitivity.name=random", "finetune.epochs=1"]);
    let all = ["pretrain", "indicators", "search", "evaluate", "fine-tune found", "fine-tune uniform"];
    let before = states(&config, &out);
    assert_eq!(in_state(&before, &StageState::ToRun), all);
    assert_eq!(in_state(&before, &StageState::NotAskedFor), ["refine", "fine-tune refined"]);
    Impatient::after(2, "fine-tune found").run(&config, &out).unwrap_err();
    assert_eq!(in_state(&states(&config, &out), &StageState::Done), all[..4]);
    go(&config, &out);
    assert_eq!(in_state(&states(&config, &out), &StageState::Done), all);
    // Another budget is another policy, and whatever follows from it.
    let other = tiny(&["sensitivity.name=random", "finetune.epochs=1", "search.budgets.bitops=w2a3"]);
    assert_eq!(in_state(&states(&other, &out), &StageState::Done), ["pretrain", "indicators", "evaluate"]);
    let other = tiny(&["sensitivity.name=random", "finetune.epochs=1", "seed=6"]);
    assert_eq!(in_state(&states(&other, &out), &StageState::ToRun), all);
    // What is gone is made again, and what is damaged is named.
    fs::remove_file(out.join("uniform.json")).unwrap();
    fs::write(out.join("finetuned.json"), "{}").unwrap();
    let states = states(&config, &out);
    assert_eq!(in_state(&states, &StageState::ToRun), ["fine-tune uniform"]);
    let damaged = states.iter().find_map(|(name, state)| match state {
        StageState::Damaged(why) => Some((name.as_str(), why)),
        _ => None,
    });
    let (name, why) = damaged.expect("a damaged stage");
    assert!(name == "fine-tune found" && why.contains("finetuned.json: it is not what this run wrote"), "{why}");
}

#[test]
fn check_lists_the_stages_with_what_they_read_and_leave() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("tiny.toml");
    fs::write(&config, tiny(&["device=flex", "refine.evaluations=2"]).to_toml()).unwrap();
    let output = limpq().current_dir(home.path()).arg("check").arg(&config).args(["--out", "here"]).assert().success();
    let said = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for words in [
        "# stages of a run in here:",
        "pretrained.safetensors indicators.json joint.safetensors policy.json",
        "trains at the refined bits",
        "to run",
        "tiny.toml --out here",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!home.path().join("here").exists());
}

//! A run's folder in the hands of others: files that are gone, forged, moved or not the run's, records and links that lead out
//! of it. A run makes again what is gone, names what it cannot use, and touches nothing else.

use crate::{
    fixtures::{self, tree},
    folders::{assert_same, quick, refused},
    interrupts::Impatient,
    runs::{Stages, go, tiny},
};
use limpq_core::{
    run::{Place, run, run_in},
    train::{CancelToken, Checkpoint, Progress, State},
};
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A stage that has lost one of its artifacts is no finished one, and what depends on it does not take another instead.
#[test]
fn results_that_are_gone_are_made_again() {
    let home = tempfile::tempdir().unwrap();
    let config = tiny(&["split.validation=0.2", "refine.evaluations=2", "refine.images=16"]);
    go(&config, home.path());
    let whole = tree(home.path());
    for (file, stage) in [
        ("pretrained.safetensors", "pretrain"),
        ("pretrained.last.safetensors", "pretrain"),
        ("joint.safetensors", "indicators"),
        ("indicators.json", "indicators"),
        ("refinement.json", "refine"),
        ("finetuned.best.safetensors", "fine-tune found"),
        ("uniform.json", "fine-tune uniform"),
    ] {
        fs::remove_file(home.path().join(file)).unwrap();
        let stages = Stages::default();
        run(&config, home.path(), &stages).unwrap();
        assert_eq!(stages.0.into_inner(), [stage], "{file}");
        assert_same(&whole, &tree(home.path()));
    }
    for file in ["policy.json", "policy.yaml", "summary.json"] {
        fs::remove_file(home.path().join(file)).unwrap();
        run(&config, home.path(), &Stages::default()).unwrap();
        assert_same(&whole, &tree(home.path()));
    }
    // Another budget measures its refinement with the jointly trained network, as in a folder where nothing was lost.
    let (other, fresh) = (["search.budgets.bitops=w2a3"], home.path().join("fresh"));
    let other = tiny(&[&["split.validation=0.2", "refine.evaluations=2", "refine.images=16"], &other[..]].concat());
    fs::remove_file(home.path().join("joint.safetensors")).unwrap();
    let (_, stages) = go(&other, home.path());
    assert_eq!(stages[..2], ["indicators", "refine"]);
    go(&other, &fresh);
    let refinement = |folder: &Path| fs::read(folder.join("refinement.json")).unwrap();
    assert!(refinement(home.path()) == refinement(&fresh));
}

/// Changes an artifact and puts it on record, as somebody would who knows how.
fn forge(out: &Path, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let content = change(fs::read(out.join(name)).unwrap());
    fs::write(out.join(name), &content).unwrap();
    let path = out.join("artifacts.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["artifacts"][name]["content"] = limpq_core::store::hash::of_bytes(&content).into();
    limpq_core::store::artifact::write_json(&path, &record).unwrap();
}

#[test]
fn artifacts_that_no_run_can_have_written_are_named_whatever_their_hash() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("run");
    let config = quick(&["refine.evaluations=2", "refine.images=16"]);
    go(&config, &out);
    let whole = tree(&out);
    let json = |change: fn(&mut serde_json::Value)| {
        move |bytes: Vec<u8>| {
            let mut value = serde_json::from_slice(&bytes).unwrap();
            change(&mut value);
            value.to_string().into_bytes()
        }
    };
    type Change = Box<dyn FnOnce(Vec<u8>) -> Vec<u8>>;
    let forgeries: Vec<(&str, Change)> = vec![
        ("refinement.json", Box::new(json(|value| value["picks"][0] = 99.into()))),
        ("refinement.json", Box::new(json(|value| value["picks"] = serde_json::json!([])))),
        ("refinement.json", Box::new(json(|value| value["policy"]["policy"][0]["weight_bits"] = 7.into()))),
        ("refinement.json", Box::new(json(|value| value["loss_after"] = serde_json::Value::Null))),
        ("refinement.json", Box::new(|_| b"{}".to_vec())),
        ("policy.json", Box::new(json(|value| value["policy"][0]["weight_bits"] = 7.into()))),
        ("policy.json", Box::new(json(|value| drop(value["policy"].as_array_mut().unwrap().pop())))),
        // All layers at 4 bits keep no budget.
        (
            "policy.json",
            Box::new(json(|value| {
                for layer in value["policy"].as_array_mut().unwrap() {
                    (layer["weight_bits"], layer["act_bits"]) = (4.into(), 4.into());
                }
            })),
        ),
        ("policy.json", Box::new(json(|value| value["proof"]["bound"] = 1e300.into()))),
        (
            "indicators.json",
            Box::new(json(|value| drop(value["layers"].as_object_mut().unwrap().remove("layer1.0.conv1")))),
        ),
        ("indicators.json", Box::new(|_| b"[]".to_vec())),
        ("finetuned.json", Box::new(json(|value| value["accuracy"] = 2.into()))),
        ("uniform.json", Box::new(|_| b"null".to_vec())),
        ("pretrained.safetensors", Box::new(|_| vec![])),
        ("pretrained.safetensors", Box::new(|bytes| without_a_number(&bytes))),
    ];
    for (name, change) in forgeries {
        forge(&out, name, change);
        let error = refused(&config, &out);
        assert!(error.starts_with(&format!("cannot use {}: ", out.join(name).display())), "{name}: {error}");
        fs::write(out.join(name), &whole[name]).unwrap();
        fs::write(out.join("artifacts.json"), &whole["artifacts.json"]).unwrap();
    }
    forge(&out, "policy.json", |_| vec![]);
    go(&config, &out);
    assert_same(&whole, &tree(&out));
}

/// Optimizer state of another network, or none: burn panics at the one and starts again at zero with the other.
#[test]
fn optimizer_state_of_another_network_is_refused() {
    let stopped = |sets: &[&str]| {
        let home = tempfile::tempdir().unwrap();
        let config = quick(&[sets, &["pretrain.epochs=1", "checkpoints.last=1"]].concat());
        Impatient::after(2, "pretrain").run(&config, home.path()).unwrap_err();
        let mut names = tree(home.path()).into_keys().filter(|name| name.starts_with("checkpoints/"));
        let name = names.next_back().expect("a stopped run leaves a checkpoint");
        (home, config, name)
    };
    let (home, config, name) = stopped(&[]);
    let (wider, _, other) = stopped(&["model.width=8"]);
    let checkpoint =
        |folder: &Path, name: &str| Checkpoint::from_bytes(&fs::read(folder.join(name)).unwrap(), name).unwrap();
    let own = checkpoint(home.path(), &name);
    for (foreign, what) in [
        (checkpoint(wider.path(), &other).optimizer, "and the parameter is F32 of shape"),
        (vec![], "header"),
        (own.optimizer[..own.optimizer.len() - 4].to_vec(), "truncated"),
    ] {
        forge(home.path(), &name, |_| Checkpoint { optimizer: foreign, ..own.clone() }.to_bytes());
        let error = run(&config, home.path(), &Stages::default()).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the checkpoint of pretrain: "), "{error}");
        assert!(error.contains(what), "{what}: {error}");
    }
    forge(home.path(), &name, |_| own.to_bytes());
    run(&config, home.path(), &Stages::default()).unwrap();
}

/// A network whose first tensor has lost a row.
fn without_a_number(bytes: &[u8]) -> Vec<u8> {
    let mut state = State::from_bytes(bytes, "").unwrap();
    let array = state.0.values_mut().next().unwrap();
    array.values.pop();
    array.shape = vec![array.values.len()];
    state.to_bytes()
}

#[test]
fn a_record_leads_nowhere_out_of_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("runs/run");
    go(&quick(&[]), &out);
    let victim = fixtures::write(home.path(), "victim", b"mine");
    let record = fs::read_to_string(out.join("artifacts.json")).unwrap();
    let absolute = victim.display().to_string();
    for name in ["../../victim", "next/../../../victim", "checkpoints/../../../victim", absolute.as_str()] {
        let entry = format!("\"artifacts\": {{\n    {name:?}: {{\"inputs\": \"i\", \"content\": \"c\"}},");
        let forged = record.replace("\"artifacts\": {", &entry);
        assert_ne!(forged, record);
        fs::write(out.join("artifacts.json"), forged).unwrap();
        for replace in [false, true] {
            let place = Place { folder: &out, others: &[], replace };
            let error = run_in(&quick(&["seed=6"]), place, &Stages::default(), &CancelToken::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains("artifacts.json is damaged: ") && error.contains(name), "{error}");
        }
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }
}

#[test]
fn files_that_no_run_wrote_are_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    for name in
        ["config.toml", "policy.json", "versions.json", "pretrained.safetensors", "summary.json", "metrics.jsonl"]
    {
        let out = home.path().join(name).with_extension("run");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join(name), "mine").unwrap();
        fs::write(out.join("notes.json"), "mine, too").unwrap();
        for replace in [false, true] {
            let place = Place { folder: &out, others: &[], replace };
            let error =
                run_in(&quick(&[]), place, &Stages::default(), &CancelToken::default()).unwrap_err().to_string();
            let said = format!("{} exists and was not written by a run", out.join(name).display());
            assert!(error.starts_with(&said) && error.contains("start in another folder"), "{error}");
        }
        let there: Vec<String> =
            fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(there.len() == 2 && fs::read(out.join(name)).unwrap() == b"mine", "{there:?}");
        // Other files are no trouble.
        fs::remove_file(out.join(name)).unwrap();
        Impatient::after(1, "pretrain").run(&quick(&[]), &out).unwrap_err();
        assert!(out.join("notes.json").exists());
    }
}

/// A config that was edited in the folder of its run must not be taken for the one that the results are from.
#[test]
fn an_edited_config_is_not_what_results_are_from() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    go(&quick(&[]), home.path());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("seed = 5", "seed = 6")).unwrap();
    for seed in ["seed=6", "seed=5"] {
        let error = refused(&quick(&[seed]), home.path());
        assert!(error.starts_with(&format!("{} was edited: ", path.display())), "{error}");
    }
    fs::write(&path, text).unwrap();
    run(&quick(&[]), home.path(), &Stages::default()).unwrap();
}

#[cfg(unix)]
#[test]
fn links_and_pipes_in_place_of_a_run_s_files_are_refused_by_name() {
    use std::os::unix::fs::symlink;
    let home = tempfile::tempdir().unwrap();
    let (whole, victim, folder) = (home.path().join("whole"), home.path().join("victim"), home.path().join("victims"));
    go(&quick(&[]), &whole);
    fs::write(&victim, "mine").unwrap();
    fs::create_dir(&folder).unwrap();
    for name in ["pretrain-0000000001.safetensors", "config.toml", ".limpq-abcdef", "pretrain-loss.svg"] {
        fs::write(folder.join(name), "mine").unwrap();
    }
    let victims = tree(&folder);
    let files = [".lock", "metrics.jsonl", "artifacts.json", "config.toml", "versions.json", "summary.json"];
    let artifacts = ["pretrained.safetensors", "indicators.json", "policy.json", "finetuned.json", "joint.safetensors"];
    let folders = ["checkpoints", "next", "plots", "tensorboard"];
    for (place, name) in files.iter().chain(&artifacts).chain(&folders).enumerate() {
        for pipe in [false, true] {
            let out = home.path().join(format!("{place}{pipe}"));
            if place % 2 == 0 {
                Impatient::after(1, "pretrain").run(&quick(&[]), &out).unwrap_err();
            }
            let path = out.join(name);
            let _ = (fs::create_dir_all(&out), fs::remove_file(&path), fs::remove_dir_all(&path));
            let target = if folders.contains(name) { &folder } else { &victim };
            match pipe {
                true => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                false => symlink(target, &path).unwrap(),
            }
            for replace in [false, true] {
                let given = Place { folder: &out, others: &[], replace };
                let error = run_in(&quick(&["seed=6"]), given, &Stages::default(), &CancelToken::default())
                    .unwrap_err()
                    .to_string();
                let what = if pipe { "a pipe, a socket or a device" } else { "a symbolic link" };
                assert!(error.starts_with(&format!("{} is {what}, which a run does not", path.display())), "{error}");
            }
            assert!(path.symlink_metadata().is_ok(), "{name}");
        }
    }
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_same(&victims, &tree(&folder));
    // The folder itself may be one, and links of somebody else's may lie in it.
    let link = home.path().join("link");
    symlink(&whole, &link).unwrap();
    symlink(&victim, whole.join("notes")).unwrap();
    let stages = Stages::default();
    run(&quick(&[]), &link, &stages).unwrap();
    assert_eq!(stages.0.into_inner(), [""; 0]);
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
}

/// Moves or removes the folder of a run when a stage starts.
struct Meddler {
    out: PathBuf,
    to: Option<PathBuf>,
    stage: &'static str,
    done: Cell<bool>,
}

impl Progress for Meddler {
    fn start(&self, label: &str, _: usize, _: usize) {
        if label == self.stage && !self.done.replace(true) {
            match &self.to {
                Some(to) => fs::rename(&self.out, to).unwrap(),
                None => fs::remove_dir_all(&self.out).unwrap(),
            }
        }
    }
    fn finish(&self) {}
}

#[test]
fn a_folder_that_goes_away_under_its_run_ends_it_and_serves_again() {
    let home = tempfile::tempdir().unwrap();
    let (out, moved) = (home.path().join("run"), home.path().join("moved"));
    for to in [Some(moved.clone()), None] {
        let meddler = Meddler { out: out.clone(), to, stage: "fine-tune uniform", done: Cell::new(false) };
        let config = quick(&["finetune.epochs=1"]);
        let error = run(&config, &out, &meddler).unwrap_err().to_string();
        assert!(error.contains("was moved or removed during the run"), "{error}");
        assert!(!out.exists(), "nothing is written where the folder was");
    }
    let config = quick(&["finetune.epochs=1"]);
    go(&config, &out);
    let stages = Stages::default();
    run(&config, &moved, &stages).unwrap();
    assert_eq!(stages.0.into_inner(), ["fine-tune uniform"]);
    assert_same(&tree(&out), &tree(&moved));
}

/// A solver that a limit stops may answer otherwise the next time; the policy of a run stays what it was.
#[test]
fn a_run_goes_on_with_the_policy_that_it_kept() {
    let home = tempfile::tempdir().unwrap();
    let config = quick(&["finetune.epochs=1", "bits=[4, 2]"]);
    Impatient::after(2, "fine-tune found").run(&config, home.path()).unwrap_err();
    // As if the solver had found no better one in its time.
    let lowest = |bytes: Vec<u8>| {
        let mut policy: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for layer in policy["policy"].as_array_mut().unwrap() {
            (layer["weight_bits"], layer["act_bits"]) = (2.into(), 2.into());
        }
        policy["proof"]["status"] = "stopped".into();
        policy.to_string().into_bytes()
    };
    forge(home.path(), "policy.json", lowest);
    for stages in [vec!["fine-tune found", "fine-tune uniform"], vec![]] {
        let seen = Stages::default();
        let summary = run(&config, home.path(), &seen).unwrap();
        assert_eq!(seen.0.into_inner(), stages);
        assert!(summary.policy.policy.iter().all(|layer| layer.weight_bits.get() == 2), "{:?}", summary.policy);
        assert_eq!(summary.proof.status, limpq_core::search::Status::Stopped);
    }
}

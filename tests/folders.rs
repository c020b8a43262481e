//! A run's folder loses nothing: to a changed config, to damaged and foreign files, to a folder or a disk that cannot
//! be written.

use crate::{
    fixtures::{self, tree},
    interrupts::Impatient,
    resume::Home,
    runs::{Stages, go, tiny},
};
use limpq_core::run::{Config, Place, run};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

pub const QUICK: [&str; 2] = ["sensitivity.name=random", "finetune.epochs=0"];

pub fn quick(sets: &[&str]) -> Config {
    tiny(&[&QUICK[..], sets].concat())
}

/// The error of a run that is refused; it trains nothing and changes nothing.
pub fn refused(config: &Config, out: &Path) -> String {
    let before = tree(out);
    let stages = Stages::default();
    let error = run(config, out, &stages).unwrap_err().to_string();
    assert_eq!(stages.0.into_inner(), [""; 0], "{error}");
    assert_same(&before, &tree(out));
    error
}

pub fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) {
    assert!(one.keys().eq(other.keys()), "{:?}\n{:?}", one.keys(), other.keys());
    for (name, content) in one {
        assert!(other[name] == *content, "{name} differs");
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_that_would_train_otherwise_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    go(&quick(&[]), home.path());
    let error = refused(&quick(&["seed=6", "pretrain.label_smoothing=0.5", "name=other"]), home.path());
    let differences =
        ":\n  pretrain.label_smoothing: 0.1 there, 0.5 here\n  seed: 5 there, 6 here\nStart in another folder";
    assert!(
        error.contains(" holds results of a run that differs from this one") && error.contains(differences),
        "{error}"
    );
    assert!(error.contains("Start in another folder, or have them replaced: "), "{error}");

    let versions = home.path().join("versions.json");
    let text = fs::read_to_string(&versions).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&text).unwrap();
    other["program_sha256"] = "that of another".into();
    fs::write(&versions, other.to_string()).unwrap();
    let error = refused(&quick(&[]), home.path());
    assert!(error.contains("this one:\n  the program: another build of limpq\nStart"), "{error}");
    fs::write(&versions, text).unwrap();

    // Nothing is left to refuse: these keys affect no result.
    let other = quick(&["split.workers=1", "checkpoints.last=5", "name=other"]);
    let stages = Stages::default();
    run(&other, home.path(), &stages).unwrap();
    assert_eq!(stages.0.into_inner(), [""; 0]);
    assert!(fs::read_to_string(home.path().join("config.toml")).unwrap().contains("name = \"other\""));
}

#[test]
fn another_search_replaces_a_policy_only_when_asked() {
    let home = tempfile::tempdir().unwrap();
    go(&quick(&[]), home.path());
    for (set, difference) in [
        ("search.budgets.size=8x", "search.budgets.size: \"9x\" there, \"8x\" here"),
        ("search.alpha=1", "search.alpha: 2.0 there, 1.0 here"),
        ("search.share=[\"@residual\"]", "search.share: not given there, [\"@residual\"] here"),
        ("solver.name=brute_force", "solver.name: \"exact\" there, \"brute_force\" here"),
    ] {
        let error = refused(&quick(&[set]), home.path());
        assert!(
            error.contains("holds results of a run that differs from this one:\n") && error.contains(difference),
            "{error}"
        );
        let replaced = "(to be replaced: finetuned.json, finetuned.safetensors, policy.json, policy.yaml";
        assert!(error.contains(replaced) && !error.contains("pretrained"), "{error}");
    }
    // The policy that is refined stays.
    let error = refused(&quick(&["refine.evaluations=2"]), home.path());
    assert!(error.contains("refine.evaluations: 0 there, 2 here") && !error.contains("to be replaced"), "{error}");
    let before = fs::read(home.path().join("policy.json")).unwrap();
    let (_, stages) = go(&quick(&["search.budgets.size=8x"]), home.path());
    assert!(!stages.contains(&"pretrain".to_owned()), "what still fits is used: {stages:?}");
    assert_ne!(fs::read(home.path().join("policy.json")).unwrap(), before);
}

/// A cost from a file changes when the file does.
#[test]
fn another_content_of_a_file_of_costs_is_another_search() {
    let home = tempfile::tempdir().unwrap();
    let (table, out) = (home.path().join("latency.csv"), home.path().join("run"));
    let template = |bits: &str| {
        let mut command = fixtures::limpq();
        command.args(["latency-template", "resnet20", "--input", "1x8x8", "--classes", "10", "--bits", bits]);
        let command = command.args(["--set", "model.width=4", "--set", "model.blocks=1", "--out"]).arg(&table);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(&table).unwrap()
    };
    let empty = template("4,3,2,8");
    let filled = |microseconds: &str| {
        let mut lines = empty.lines();
        // The network that the table is for, and the names of the columns.
        let heading = [lines.next().unwrap(), lines.next().unwrap()].join("\n");
        let lines = lines.map(|line| format!("{}{microseconds}\n", line.trim_end()));
        fs::write(&table, format!("{heading}\n{}", lines.collect::<String>())).unwrap();
    };
    assert!(empty.lines().nth(2).unwrap().trim_end().ends_with(','), "{empty}");
    let path = format!("cost.latency_table.path={:?}", table.display().to_string());
    let config = quick(&[&path, "search.budgets.latency_table=1s"]);
    filled("3");
    go(&config, &out);
    filled("4");
    let error = refused(&config, &out);
    assert!(error.contains("the costs: a file that they are read from has changed since"), "{error}");
}

#[test]
fn checkpoints_alone_are_worth_a_refusal() {
    let home = tempfile::tempdir().unwrap();
    Impatient::after(3, "pretrain").run(&quick(&[]), home.path()).unwrap_err();
    let error = refused(&quick(&["seed=6"]), home.path());
    assert!(error.contains("seed: 5 there, 6 here"), "{error}");
}

#[test]
fn replaced_results_stay_until_the_new_ones_are_there_and_nothing_is_left_of_them() {
    let home = tempfile::tempdir().unwrap();
    let (changed, fresh) = (home.path().join("changed"), home.path().join("fresh"));
    // The earlier run has networks that the later one has none of.
    let earlier = tiny(&["split.validation=0.2", "refine.evaluations=2", "refine.images=16"]);
    let later = quick(&["seed=6", "finetune.epochs=1"]);
    go(&earlier, &changed);
    let mut before = tree(&changed);
    // The record knows of what waits, too.
    before.remove("artifacts.json").unwrap();
    for file in
        ["pretrained.best.safetensors", "finetuned.last.safetensors", "refined.safetensors", "joint.safetensors"]
    {
        assert!(before.contains_key(file), "{file}");
    }
    let place = Place { folder: &changed, others: &[], replace: true };
    for (steps, stage) in [(3, "pretrain"), (3, "fine-tune uniform")] {
        Impatient::after(steps, stage).run_in(&later, place).unwrap_err();
        let mut now = tree(&changed);
        now.retain(|name, _| !name.starts_with("next/") && name != "artifacts.json");
        assert!(now.iter().all(|(name, content)| before[name] == *content), "after {stage}");
        assert_eq!(now.len(), before.len(), "after {stage}");
    }
    assert!(changed.join("next/finetuned.json").exists());
    // The earlier run is whole.
    let stages = Stages::default();
    run(&earlier, &changed, &stages).unwrap();
    assert_eq!(stages.0.into_inner(), [""; 0]);
    // And the later one continues, without a further option, to its result in a folder of its own.
    let stages = Stages::default();
    run(&later, &changed, &stages).unwrap();
    assert_eq!(stages.0.into_inner(), ["fine-tune uniform"]);
    go(&later, &fresh);
    assert_same(&tree(&fresh), &tree(&changed));
}

#[test]
fn damaged_results_are_named_and_made_anew_only_when_asked() {
    let home = tempfile::tempdir().unwrap();
    go(&quick(&[]), home.path());
    let whole = tree(home.path());
    let files = [
        "pretrained.safetensors",
        "indicators.json",
        "policy.json",
        "policy.yaml",
        "finetuned.json",
        "uniform.safetensors",
    ];
    for file in files {
        let path = home.path().join(file);
        flip(&path);
        let error = refused(&quick(&[]), home.path());
        let named = format!("cannot use {}: it is not what this run wrote there", path.display());
        assert!(error.starts_with(&named), "{error}");
        assert!(
            error.contains("Put it back from a copy, delete it to have it made again, or have the run replace"),
            "{error}"
        );
        fs::remove_file(path).unwrap();
        run(&quick(&[]), home.path(), &Stages::default()).unwrap();
        assert_same(&whole, &tree(home.path()));
    }
    flip(&home.path().join("pretrained.safetensors"));
    let (_, stages) = go(&quick(&[]), home.path());
    assert_eq!(stages, ["pretrain"]);
    assert_same(&whole, &tree(home.path()));
}

#[test]
fn damaged_and_foreign_checkpoints_are_named() {
    let home = tempfile::tempdir().unwrap();
    let (out, other) = (home.path().join("run"), home.path().join("other"));
    let config = quick(&["checkpoints.every_steps=2"]);
    Impatient::after(6, "pretrain").run(&config, &out).unwrap_err();
    Impatient::after(6, "pretrain").run(&quick(&["seed=6", "checkpoints.every_steps=2"]), &other).unwrap_err();
    let [early, late] = [4, 6].map(|step| format!("checkpoints/pretrain-{step:010}.safetensors"));
    let sound = tree(&out);

    // One damaged checkpoint is skipped.
    flip(&out.join(&late));
    let error = Impatient::after(1, "pretrain").run(&config, &out).unwrap_err().to_string();
    assert!(error.starts_with("stopped after step 5 of 22 of pretrain"), "{error}");
    fs::write(out.join(&late), &sound[&late]).unwrap();

    // If none is left, the run does not silently train from the start.
    let kept: Vec<String> = tree(&out).into_keys().filter(|name| name.starts_with("checkpoints/")).collect();
    for name in &kept {
        flip(&out.join(name));
    }
    let error = refused(&config, &out);
    assert!(error.starts_with("cannot use ") && kept.iter().all(|name| error.contains(name)), "{error}");

    // Those of another run are no better.
    for name in &kept {
        fs::copy(other.join(&early), out.join(name)).unwrap();
    }
    let error = refused(&config, &out);
    assert!(error.contains(&kept[0]) && error.contains("damaged or from another run. Put it back"), "{error}");

    for name in &kept {
        fs::remove_file(out.join(name)).unwrap();
    }
    let stages = Stages::default();
    run(&config, &out, &stages).unwrap();
    assert_eq!(stages.0.into_inner()[0], "pretrain");
}

#[test]
fn a_full_disk_is_an_error_that_leaves_earlier_results_alone() {
    let home = Home::new();
    home.finish("full");
    let mut before = tree(&home.run("full"));
    // The record knows of what waits, too.
    before.remove("artifacts.json").unwrap();
    let metrics = home.metrics("full");
    // Files beyond 12 KiB cannot be written, as on a disk that has no more room: the record can, networks cannot.
    let plain = home.command("full");
    let words = std::iter::once(plain.get_program()).chain(plain.get_args());
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 12; exec \"$@\"", "bash"]).args(words);
    let output = limited.args(["--set", "seed=6", "--replace"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("error: cannot write "), "{said}");
    assert!(said.contains("Nothing there was changed"), "{said}");
    assert_eq!(said.matches("/metrics.jsonl: ").count(), 1, "{said}");
    assert_eq!(home.metrics("full"), metrics, "no line can be lost for want of room");
    let mut after = tree(&home.run("full"));
    after.retain(|name, _| !name.starts_with("next/") && name != "artifacts.json");
    assert_same(&before, &after);
    let temporary = fs::read_dir(home.run("full")).unwrap().map(|entry| entry.unwrap().file_name());
    let temporary: Vec<_> = temporary.filter(|name| name.to_string_lossy().starts_with(".limpq-")).collect();
    assert!(temporary.is_empty(), "{temporary:?}");
    home.finish("full");
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_an_error_that_leaves_earlier_results_alone() {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    };
    let home = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(home.path(), 0o755);
    let (out, program) = (home.path().join("run"), home.path().join("limpq"));
    let config = fixtures::write(home.path(), "tiny.toml", quick(&[]).to_toml().as_bytes());
    // Nobody may lack the right to look into the folder that the program is built in.
    fs::copy(env!("CARGO_BIN_EXE_limpq"), &program).unwrap();
    allow(&program, 0o755);
    let mut command = Command::new(&program);
    command.arg("run").arg(&config).arg("--out").arg(&out).arg("--no-plots").current_dir(home.path());
    assert!(command.output().unwrap().status.success());
    let before = tree(&out);
    allow(&out, 0o555);
    if fs::metadata(home.path()).unwrap().uid() == 0 {
        // Root may write anywhere; nobody may not.
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    allow(&out, 0o755);
    assert!(!output.status.success(), "{said}");
    assert!(said.starts_with(&format!("error: cannot write {}", out.display())), "{said}");
    assert!(said.contains("Permission denied") && said.contains("choose another place\n  hint: --out gives"), "{said}");
    assert_same(&before, &tree(&out));
}

//! Tests of a run's folder.

use super::{super::Leaves, *};

/// The layout of a run whose second stage reads the first one's result.
fn layout() -> Layout {
    let stage = |name: &str, sometimes: &str, settings: &[&'static str], reads: &[&str]| Leaves {
        always: vec![name.to_owned()],
        sometimes: vec![sometimes.to_owned()],
        reads: reads.iter().map(|name| (*name).to_owned()).collect(),
        settings: settings.to_vec(),
    };
    let stages = vec![
        stage(KEPT, "pretrained.best.safetensors", &["pretrain"], &[]),
        stage(ANEW, LEFT_OVER, &["indicators"], &[KEPT]),
        stage("refinement.json", "refined.json", &["refine"], &[ANEW]),
    ];
    Layout { stages, free: &["name"] }
}

fn open(path: &Path) -> Result<Folder, FolderError> {
    Folder::open(path, layout())
}

#[test]
fn finds_what_it_kept_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(home.path()).unwrap();
    folder.keep("indicators.json", "inputs", b"{}").unwrap();
    let busy = open(home.path()).err().unwrap().to_string();
    assert!(busy.starts_with("another run is at work in "), "{busy}");
    drop(folder);
    let folder = open(home.path()).unwrap();
    assert_eq!(folder.find("indicators.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(folder.find("indicators.json", "other inputs"), Ok(None));
    std::fs::write(home.path().join("indicators.json"), "{ }").unwrap();
    let damaged = folder.find("indicators.json", "inputs").unwrap_err().to_string();
    assert!(
        damaged.starts_with("cannot use ") && damaged.contains("indicators.json: it is not what this run"),
        "{damaged}"
    );
    std::fs::remove_file(home.path().join("indicators.json")).unwrap();
    assert_eq!(folder.find("indicators.json", "inputs"), Ok(None), "what was deleted is made again");
}

#[test]
fn copies_what_another_folder_has_from_the_same_inputs() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    open(&a).unwrap().keep("indicators.json", "inputs", b"{}").unwrap();
    assert_eq!(open(&b).unwrap().find("indicators.json", "inputs"), Ok(None));
    let nowhere = home.path().join("nowhere");
    let beside = open(&b).unwrap().beside(&[nowhere, a.clone()]);
    assert_eq!(beside.find("indicators.json", "other inputs"), Ok(None));
    std::fs::write(a.join("indicators.json"), "[]").unwrap();
    assert_eq!(beside.find("indicators.json", "inputs"), Ok(None), "a changed file is not what was kept");
    std::fs::write(a.join("indicators.json"), "{}").unwrap();
    assert_eq!(beside.find("indicators.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
    drop(beside);
    assert_eq!(open(&b).unwrap().find("indicators.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
}

fn origin(seed: u64) -> Origin {
    Origin { config: format!("seed = {seed}\n"), versions: "{\"program_sha256\": \"p\"}".to_owned() }
}

fn begun(home: &Path, seed: u64, replace: bool) -> Result<Folder, FolderError> {
    open(home).unwrap().begin(origin(seed), replace)
}

fn read(home: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(home.join(name)).ok()
}

const KEPT: &str = "pretrained.safetensors";
const ANEW: &str = "indicators.json";
const LEFT_OVER: &str = "joint.safetensors";

/// A finished run of seed 1, and one of seed 2 with its results waiting.
fn two(home: &Path) -> Folder {
    let one = begun(home, 1, false).unwrap();
    for name in [KEPT, ANEW, LEFT_OVER] {
        one.keep(name, if name == KEPT { "both" } else { "one" }, b"1").unwrap();
    }
    one.finish(b"1").unwrap();
    let two = begun(home, 2, true).unwrap();
    assert!(two.find(KEPT, "both").unwrap().is_some() && two.find(ANEW, "two").unwrap().is_none());
    two.keep(ANEW, "two", b"2").unwrap();
    two
}

fn assert_two(home: &Path) {
    for (name, content) in [(KEPT, "1"), (ANEW, "2"), (SUMMARY, "2")] {
        assert_eq!(read(home, name).as_deref(), Some(content), "{name}");
    }
    assert_eq!(read(home, CONFIG).as_deref(), Some("seed = 2\n"));
    assert!(!home.join(LEFT_OVER).exists() && !home.join(NEXT).exists());
    let record = Record::read(home, &layout()).unwrap();
    assert!(record.artifacts.keys().map(Entry::as_str).eq([ANEW, KEPT]), "{record:?}");
    assert_eq!(record.configs.into_iter().collect::<Vec<_>>(), [config_hash(&origin(2))]);
}

#[test]
fn earlier_results_stay_until_all_new_ones_are_there() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let folder = two(home);
    for name in [KEPT, ANEW, LEFT_OVER, SUMMARY] {
        assert_eq!(read(home, name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(read(home, CONFIG).as_deref(), Some("seed = 1\n"));
    drop(folder);
    let error = begun(home, 3, false).err().unwrap().to_string();
    assert!(error.contains("\n  seed: 1 there, 3 here\n"), "{error}");
    // The run that waits is resumed without a further option, and the earlier one still has everything.
    assert!(begun(home, 1, false).unwrap().find(ANEW, "one").unwrap().is_some());
    let folder = begun(home, 2, false).unwrap();
    assert_eq!(folder.find(ANEW, "two").unwrap().as_deref(), Some(&b"2"[..]));
    folder.find(KEPT, "both").unwrap();
    folder.finish(b"2").unwrap();
    assert_two(home);
}

#[test]
fn a_run_that_is_killed_while_it_puts_results_in_place_does_the_rest_later() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    drop(two(home));
    // After the first steps of `finish`.
    std::fs::remove_file(home.join(SUMMARY)).unwrap();
    std::fs::rename(home.join(NEXT).join(ANEW), home.join(ANEW)).unwrap();
    let folder = begun(home, 2, false).unwrap();
    assert_eq!(folder.find(ANEW, "two").unwrap().as_deref(), Some(&b"2"[..]));
    folder.find(KEPT, "both").unwrap();
    folder.finish(b"2").unwrap();
    assert_two(home);
}

#[test]
fn half_written_files_of_killed_runs_are_removed_and_nothing_of_anybody_else() {
    let home = tempfile::tempdir().unwrap();
    for folder in [CHECKPOINTS, "plots", "next/checkpoints"] {
        std::fs::create_dir_all(home.path().join(folder)).unwrap();
    }
    let own = [".limpq-abCd12", "checkpoints/.limpq-def456", "plots/.limpq-aaaaaa", "next/checkpoints/.limpq-bbbbbb"];
    let others = ["mine", ".limpq-notes", ".limpq-abCd12.bak", "checkpoints/mine", "plots/mine.svg"];
    for name in own.iter().chain(&others) {
        std::fs::write(home.path().join(name), "").unwrap();
    }
    open(home.path()).unwrap();
    assert_eq!(own.map(|name| home.path().join(name).exists()), [false; 4]);
    assert_eq!(others.map(|name| home.path().join(name).exists()), [true; 5]);
    assert!(!home.path().join(NEXT).exists(), "nothing waits there");
}

#[test]
fn what_a_run_that_never_began_said_in_next_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    drop(two(home));
    // Killed on the last steps of `finish`: waiting results are in place, the config is gone, the versions are not.
    let folder = begun(home, 2, false).unwrap();
    for (name, inputs) in [(KEPT, "both"), (ANEW, "two")] {
        folder.find(name, inputs).unwrap().unwrap();
    }
    folder.finish(b"2").unwrap();
    std::fs::create_dir(home.join(NEXT)).unwrap();
    std::fs::write(home.join("next/versions.json"), r#"{"limpq": "0.1.0", "program_sha256": "p"}"#).unwrap();
    drop(open(home).unwrap());
    assert_two(home);
}

#[test]
fn what_was_written_when_the_run_was_killed_is_used() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(home.path()).unwrap();
    folder.keep(ANEW, "one", b"1").unwrap();
    let made = Made { inputs: "two".into(), content: hash::of_bytes(b"2") };
    folder.record.borrow_mut().writing = Some(Writing { entry: Entry::new("", ANEW), made });
    folder.write_record().unwrap();
    drop(folder);
    // Killed before the file was replaced, and after.
    assert_eq!(open(home.path()).unwrap().find(ANEW, "one").unwrap().as_deref(), Some(&b"1"[..]));
    std::fs::write(home.path().join(ANEW), b"2").unwrap();
    let folder = open(home.path()).unwrap();
    assert_eq!(folder.find(ANEW, "two").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(folder.find(ANEW, "one"), Ok(None));
}

#[test]
fn a_stage_that_has_lost_an_artifact_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let folder = open(&a).unwrap();
    folder.keep("joint.safetensors", "i", b"joint").unwrap();
    folder.keep("indicators.json", "i", b"{}").unwrap();
    let names = ["indicators.json", "joint.safetensors", "refinement.json"];
    let stage = |folder: &Folder| folder.stage(&names, 1, "i", |files: &Files| Ok(files.clone())).unwrap();
    let whole = vec![Some(b"{}".to_vec()), Some(b"joint".to_vec()), None];
    assert_eq!(stage(&folder), Some(whole.clone()));
    let beside = || {
        let _ = std::fs::remove_dir_all(&b);
        open(&b).unwrap().beside(std::slice::from_ref(&a))
    };
    assert_eq!(stage(&beside()), Some(whole));
    assert_eq!(std::fs::read(b.join("joint.safetensors")).unwrap(), b"joint");
    std::fs::remove_file(a.join("joint.safetensors")).unwrap();
    assert_eq!(stage(&folder), None);
    assert_eq!(stage(&beside()), None, "half a stage is not copied");
    assert!(!b.join("indicators.json").exists());
}

#[test]
fn artifacts_that_make_no_sense_are_named_by_their_path() {
    let home = tempfile::tempdir().unwrap();
    let folder = begun(home.path(), 1, false).unwrap();
    folder.keep(ANEW, "i", b"nonsense").unwrap();
    let wrong = |_: &Files| Err::<(), _>(Damaged { path: ANEW.to_owned(), why: "no".to_owned() });
    let path = home.path().join(ANEW).display().to_string();
    assert_eq!(folder.stage(&[ANEW], 1, "i", wrong).unwrap_err(), Damaged { path, why: "no".to_owned() });
    drop(folder);
    let replacing = begun(home.path(), 1, true).unwrap();
    assert_eq!(replacing.stage(&[ANEW], 1, "i", wrong), Ok(None));
}

#[test]
fn whoever_looks_into_a_folder_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = home.path().join("nowhere");
    assert_eq!(Folder::look(&nowhere, layout()).unwrap().find(ANEW, "i"), Ok(None));
    assert!(!nowhere.exists());
    let run = open(home.path()).unwrap();
    run.keep(ANEW, "i", b"{}").unwrap();
    // While the run is in progress.
    let looking = Folder::look(home.path(), layout()).unwrap();
    assert_eq!(looking.find(ANEW, "i").unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(looking.content(ANEW, "i"), Some(hash::of_bytes(b"{}")));
    assert!(looking.keep(ANEW, "other", b"[]").is_err());
    assert_eq!(read(home.path(), ANEW).as_deref(), Some("{}"));
}

#[test]
fn a_refusal_names_what_would_be_replaced_and_only_where_something_stays() {
    let home = tempfile::tempdir().unwrap();
    let origin = |config: &str| Origin { config: config.to_owned(), ..origin(0) };
    let folder = open(home.path()).unwrap().begin(origin("indicators = 1\npretrain = 1"), false).unwrap();
    folder.keep(KEPT, "i", b"1").unwrap();
    folder.keep(ANEW, "i", b"1").unwrap();
    folder.finish(b"1").unwrap();
    let refused = |config: &str| open(home.path()).unwrap().begin(origin(config), false).err().unwrap().to_string();
    let error = refused("indicators = 2\npretrain = 1");
    assert!(error.ends_with(" (to be replaced: indicators.json)"), "{error}");
    for config in ["indicators = 1\npretrain = 2", "indicators = 1\npretrain = 1\nseed = 1"] {
        let error = refused(config);
        assert!(error.ends_with("until the new ones are all there"), "{error}");
    }
}

#[test]
fn a_folder_that_was_moved_takes_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let folder = begun(&a, 1, false).unwrap();
    std::fs::rename(&a, &b).unwrap();
    for _ in 0..2 {
        let error = folder.keep(ANEW, "i", b"{}").unwrap_err().to_string();
        assert!(error.contains("was moved or removed during the run"), "{error}");
        assert!(!a.join(ANEW).exists() && !b.join(ANEW).exists());
        // Nor does another folder in its place.
        std::fs::create_dir_all(&a).unwrap();
        std::fs::write(a.join(".lock"), "").unwrap();
    }
    let error = folder.finish(b"1").unwrap_err().to_string();
    assert!(error.contains("was moved or removed"), "{error}");
}

#[test]
fn results_that_were_removed_meanwhile_are_no_end() {
    let home = tempfile::tempdir().unwrap();
    let folder = begun(home.path(), 1, false).unwrap();
    folder.keep(ANEW, "i", b"{}").unwrap();
    std::fs::remove_file(home.path().join(ANEW)).unwrap();
    let error = folder.finish(b"1").unwrap_err().to_string();
    assert!(error.contains("indicators.json is gone") && !home.path().join(SUMMARY).exists(), "{error}");
}

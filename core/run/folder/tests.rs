//! Tests of a run's folder.

use super::*;

#[test]
fn finds_what_it_kept_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(home.path()).unwrap();
    folder.keep("a.json", "inputs", b"{}").unwrap();
    let busy = Folder::open(home.path()).err().unwrap().to_string();
    assert!(busy.starts_with("another run is at work in "), "{busy}");
    drop(folder);
    let folder = Folder::open(home.path()).unwrap();
    assert_eq!(folder.find("a.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(folder.find("a.json", "other inputs"), Ok(None));
    std::fs::write(home.path().join("a.json"), "{ }").unwrap();
    let damaged = folder.find("a.json", "inputs").unwrap_err().to_string();
    assert!(damaged.starts_with("cannot use ") && damaged.contains("a.json: it is not what this run"), "{damaged}");
    std::fs::remove_file(home.path().join("a.json")).unwrap();
    assert_eq!(folder.find("a.json", "inputs"), Ok(None), "what was deleted is made anew");
}

#[test]
fn copies_what_another_folder_has_from_the_same_inputs() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    Folder::open(&a).unwrap().keep("x.json", "inputs", b"{}").unwrap();
    assert_eq!(Folder::open(&b).unwrap().find("x.json", "inputs"), Ok(None));
    let nowhere = home.path().join("nowhere");
    let beside = Folder::open(&b).unwrap().beside(&[nowhere, a.clone()]);
    assert_eq!(beside.find("x.json", "other inputs"), Ok(None));
    std::fs::write(a.join("x.json"), "[]").unwrap();
    assert_eq!(beside.find("x.json", "inputs"), Ok(None), "a changed file is not what was kept");
    std::fs::write(a.join("x.json"), "{}").unwrap();
    assert_eq!(beside.find("x.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
    drop(beside);
    assert_eq!(Folder::open(&b).unwrap().find("x.json", "inputs").unwrap().as_deref(), Some(&b"{}"[..]));
}

fn origin(seed: u64) -> Origin {
    Origin { config: format!("seed = {seed}\n"), versions: "{\"program_sha256\": \"p\"}".to_owned() }
}

fn begun(home: &Path, seed: u64, replace: bool) -> Result<Folder, FolderError> {
    Folder::open(home).unwrap().begin(origin(seed), replace)
}

fn read(home: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(home.join(name)).ok()
}

/// A finished run of seed 1, and one of seed 2 with its results waiting.
fn two(home: &Path) -> Folder {
    let one = begun(home, 1, false).unwrap();
    for name in ["kept", "made anew", "left over"] {
        one.keep(name, if name == "kept" { "both" } else { "one" }, b"1").unwrap();
    }
    one.finish(&[("policy.json", b"1")], b"1").unwrap();
    let two = begun(home, 2, true).unwrap();
    assert!(two.find("kept", "both").unwrap().is_some() && two.find("made anew", "two").unwrap().is_none());
    two.keep("made anew", "two", b"2").unwrap();
    two.write("policy.json", b"2").unwrap();
    two
}

fn assert_two(home: &Path) {
    for (name, content) in [("kept", "1"), ("made anew", "2"), ("policy.json", "2"), (SUMMARY, "2")] {
        assert_eq!(read(home, name).as_deref(), Some(content), "{name}");
    }
    assert_eq!(read(home, CONFIG).as_deref(), Some("seed = 2\n"));
    assert!(!home.join("left over").exists() && !home.join(NEXT).exists());
    let on_record = Record::read(home).unwrap().artifacts;
    assert!(on_record.keys().eq(["kept", "made anew"]), "{on_record:?}");
}

#[test]
fn earlier_results_stay_until_all_new_ones_are_there() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let folder = two(home);
    for name in ["kept", "made anew", "left over", "policy.json", SUMMARY] {
        assert_eq!(read(home, name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(read(home, CONFIG).as_deref(), Some("seed = 1\n"));
    drop(folder);
    let error = begun(home, 3, false).err().unwrap().to_string();
    assert!(error.contains("\n  seed: 1 there, 3 here\n"), "{error}");
    // The run that waits goes on without being asked twice, and the earlier one has everything.
    assert!(begun(home, 1, false).unwrap().find("made anew", "one").unwrap().is_some());
    let folder = begun(home, 2, false).unwrap();
    assert_eq!(folder.find("made anew", "two").unwrap().as_deref(), Some(&b"2"[..]));
    folder.find("kept", "both").unwrap();
    folder.finish(&[("policy.json", b"2")], b"2").unwrap();
    assert_two(home);
}

#[test]
fn a_run_that_is_killed_while_it_puts_results_in_place_does_the_rest_later() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    drop(two(home));
    // After the first steps of `finish`.
    std::fs::remove_file(home.join(SUMMARY)).unwrap();
    std::fs::rename(home.join("next/made anew"), home.join("made anew")).unwrap();
    let folder = begun(home, 2, false).unwrap();
    assert_eq!(folder.find("made anew", "two").unwrap().as_deref(), Some(&b"2"[..]));
    folder.find("kept", "both").unwrap();
    folder.finish(&[("policy.json", b"2")], b"2").unwrap();
    assert_two(home);
}

#[test]
fn half_written_files_of_killed_runs_are_removed() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(CHECKPOINTS)).unwrap();
    for name in [".limpq-abc", "checkpoints/.limpq-def", "mine"] {
        std::fs::write(home.path().join(name), "").unwrap();
    }
    Folder::open(home.path()).unwrap();
    let left = [".limpq-abc", "checkpoints/.limpq-def", "mine"].map(|name| home.path().join(name).exists());
    assert_eq!(left, [false, false, true]);
}

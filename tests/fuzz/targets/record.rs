//! Records of artifacts: whatever `artifacts.json` says, nothing outside the run's folder is read or changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::run::layout;
use limpq_core::store::Folder;

fuzz_target!(|bytes: &[u8]| {
    let home = tempfile::tempdir().expect("a folder");
    let (run, victim) = (home.path().join("run"), home.path().join("victim"));
    std::fs::create_dir(&run).expect("a folder");
    std::fs::write(&victim, "untouched").expect("a file");
    std::fs::write(run.join("artifacts.json"), bytes).expect("a file");
    if let Ok(folder) = Folder::open(&run, layout()) {
        let _ = folder.find("indicators.json", "inputs");
        let names = folder.names("");
        assert!(names.iter().all(|name| !name.contains("victim")), "{names:?}");
        let _ = folder.remove(&names);
    }
    assert_eq!(std::fs::read_to_string(&victim).expect("it is there"), "untouched");
});

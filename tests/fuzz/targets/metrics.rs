//! Metrics of a run: whatever `metrics.jsonl` says, its plots are drawn inside the run's folder or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq::observers::plots;

fuzz_target!(|bytes: &[u8]| {
    let home = tempfile::tempdir().expect("a folder");
    let run = home.path().join("run");
    std::fs::create_dir(&run).expect("a folder");
    std::fs::write(run.join("metrics.jsonl"), bytes).expect("a file");
    let _ = plots::draw(&run);
    let around = std::fs::read_dir(home.path()).expect("a folder").count();
    assert_eq!(around, 1, "something was written beside the run");
});

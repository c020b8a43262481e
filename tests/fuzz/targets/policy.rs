//! Policy files in every form. Read for a network, they have its layers in its order, and what is written is read back.
#![no_main]

mod graph;

use graph::GRAPH;
use libfuzzer_sys::fuzz_target;
use limpq_core::search::Policy;

fuzz_target!(|bytes: &[u8]| {
    let _ = Policy::from_bytes(bytes, "input", None);
    let Ok(policy) = Policy::from_bytes(bytes, "input", Some(&GRAPH)) else { return };
    let names: Vec<&str> = policy.policy.iter().map(|layer| layer.layer.as_str()).collect();
    assert_eq!(names, ["body", "tail"]);
    for text in [policy.to_csv(), policy.to_limpq_yaml()] {
        assert_eq!(Policy::from_bytes(text.as_bytes(), "written", Some(&GRAPH)).expect("it was written by us"), policy);
    }
});

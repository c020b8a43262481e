//! Policy files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::search::Policy;

fuzz_target!(|bytes: &[u8]| {
    let _ = Policy::from_bytes(bytes, "input", None);
});

//! Pickles as all their readers take them: with names of code refused (indicators) and as names (CIFAR-10, checkpoints).
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::pickle::{MOST_OPERATIONS, Names, read};

fuzz_target!(|bytes: &[u8]| {
    let plain = read(bytes, Names::Refused);
    let Ok(pickle) = read(bytes, Names::Opaque) else {
        assert!(plain.is_err(), "what is plain data is read whatever names are taken for");
        return;
    };
    assert!(pickle.length <= bytes.len() && pickle.values().len() <= 4 * MOST_OPERATIONS);
    assert!(pickle.described(pickle.root()).len() < 1000 + bytes.len());
    let _ = pickle.get(pickle.root(), "key");
});

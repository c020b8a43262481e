//! Indicator files: JSON or LIMPQ's pickle, told apart by content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::search::Indicators;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(indicators) = Indicators::from_bytes(bytes) {
        assert!(!indicators.layers.is_empty(), "empty files are refused");
    }
});

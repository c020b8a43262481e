//! Rules and shares: what is read is written back as something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::search::{Rule, Share};

fuzz_target!(|text: &str| {
    if let Ok(rule) = text.parse::<Rule>() {
        assert_eq!(rule.to_string().parse::<Rule>().as_ref(), Ok(&rule));
    }
    if let Ok(share) = text.parse::<Share>() {
        assert_eq!(share.to_string().parse::<Share>().as_ref(), Ok(&share));
    }
});

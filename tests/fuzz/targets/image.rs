//! Image files of every format, by way of a data set: pixels or an error, in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_plugins::datasets::decode_image;

/// Small, so that hostile files are refused for their size rather than slow.
const MOST_PIXELS: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((width, height, pixels)) = decode_image(bytes, MOST_PIXELS) {
        assert!(width > 0 && height > 0 && pixels.len() == 3 * width * height);
        assert!((width * height) as u64 <= MOST_PIXELS);
    }
});

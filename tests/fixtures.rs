//! What the tests share: the fixtures of the search half, and the device that training tests run on.

#[path = "search/fixtures.rs"]
#[allow(dead_code, reason = "each of the two programs uses some of them")]
mod search;

pub use search::*;

/// The device that training tests run on: that of the environment variable `LIMPQ_TEST_DEVICE`, or the CPU.
pub fn device_name() -> String {
    std::env::var("LIMPQ_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned())
}

/// The same, opened.
pub fn device() -> burn::tensor::Device {
    let device: limpq_core::device::Device = device_name().parse().unwrap_or_else(|error| panic!("{error}"));
    device.open().unwrap_or_else(|error| panic!("{error}"))
}

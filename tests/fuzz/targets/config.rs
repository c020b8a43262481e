//! Experiment configs: what is read is written back as something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::run::Config;
use limpq_plugins as _;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse("config.toml", text, &[]) {
        assert_eq!(Config::parse("config.toml", &config.to_toml(), &[]).expect("it was written by us"), config);
    }
});

//! How this program was built, as `build.rs` found it: for `limpq --version` and for the records of runs.

use limpq_core::provenance::{Build, cpu_model};
use std::sync::LazyLock;

/// How this program was built.
pub fn build() -> Build {
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Build {
        commit: known(env!("LIMPQ_COMMIT")),
        dirty: env!("LIMPQ_DIRTY").parse().ok(),
        features: env!("LIMPQ_FEATURES").split(',').filter(|feature| !feature.is_empty()).map(str::to_owned).collect(),
        rustc: known(env!("LIMPQ_RUSTC")),
        burn: known(env!("LIMPQ_BURN")),
    }
}

/// What `limpq --version` prints after the name; `limpq -V` prints only the version.
pub fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let Build { commit, dirty, features, rustc, burn } = build();
        let unknown = || "unknown".to_owned();
        let changed = if dirty == Some(true) { ", and changes since" } else { "" };
        let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
        [
            env!("CARGO_PKG_VERSION").to_owned(),
            format!("commit:   {}{changed}", commit.unwrap_or_else(unknown)),
            format!("features: {features}"),
            format!("compiler: {}", rustc.unwrap_or_else(unknown)),
            format!("burn:     {}", burn.unwrap_or_else(unknown)),
            format!("CPU:      {}", cpu_model().unwrap_or_else(unknown)),
        ]
        .join("\n")
    });
    &TEXT
}

//! The provenance of a run: the build of the program, the machine, the command and the time. No result depends on it,
//! and two folders with equal results may differ in it.

use std::sync::OnceLock;

/// The build of the running program, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The last commit that touched the sources.
    pub commit: Option<String>,
    /// Whether the sources differed from that commit.
    pub dirty: Option<bool>,
    /// Cargo features.
    pub features: Vec<String>,
    /// Version of the compiler.
    pub rustc: Option<String>,
    /// Version of burn.
    pub burn: Option<String>,
}

static BUILD: OnceLock<Build> = OnceLock::new();

impl Build {
    /// Records the build of the running program. Only the first call counts; without one, runs record nothing about it.
    pub fn record(self) {
        BUILD.get_or_init(|| self);
    }
}

/// The name of the CPU; `None` if the system does not provide it.
pub fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, model) =
        text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == "model name"))?;
    Some(model.trim().to_owned())
}

/// Adds all of it to a run's versions.
#[cfg(feature = "train")]
pub(crate) fn add_to(versions: &mut serde_json::Value) {
    use serde_json::json;
    let build = BUILD.get();
    versions["burn"] = json!(build.and_then(|build| build.burn.as_ref()));
    versions["build"] = json!(build.map(|build| {
        let Build { commit, dirty, features, rustc, burn: _ } = build;
        json!({ "commit": commit, "dirty": dirty, "features": features, "rustc": rustc })
    }));
    versions["cpu"] = json!(cpu_model());
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    versions["command"] = json!(words);
    // A clock that was never set may be before the epoch, which the format does not support.
    let now = std::time::SystemTime::now().max(std::time::SystemTime::UNIX_EPOCH);
    versions["started"] = json!(humantime::format_rfc3339_seconds(now).to_string());
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_say_what_started_the_run_and_when() {
        let mut versions = json!({ "limpq": "0.1.0" });
        add_to(&mut versions);
        assert_eq!(versions["command"].as_array().map(Vec::len), Some(std::env::args_os().count()));
        let started = versions["started"].as_str().expect("a date");
        assert!(started.starts_with("20") && started.ends_with('Z') && started.len() == 20, "{started}");
        assert_eq!(versions["limpq"], "0.1.0");
    }
}

//! Autotuning results of the device `cuda`, kept on disk: which of several kernels is fastest per shape, and the
//! compiled kernels. One file per kind of GPU. While it exists, the kernels are the same in each run.

use burn_cubecl::cubecl::{
    config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig},
    environment,
};
use etcetera::BaseStrategy;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the file existed before the first device was opened, which creates it.
static BEFORE: OnceLock<bool> = OnceLock::new();

/// Sets where kernels are kept, unless a `cubecl.toml` or the environment does. Call it before the first tensor is
/// made.
pub(super) fn keep_kernels() {
    BEFORE.get_or_init(|| {
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        if config.environment.name == environment::DEFAULT {
            config.environment.name = gpus();
        }
        if matches!(config.environment.path, CacheConfig::Target) {
            config.environment.path = CacheConfig::Directory(folder());
        }
        #[cfg(feature = "cuda")]
        {
            config.compilation.cache = true;
        }
        CubeClRuntimeConfig::try_set(config);
        environment::path().exists()
    });
}

/// A message on what this means for the run, once per process. Call it after the first device was opened.
pub(super) fn remark() -> Option<String> {
    static SAID: AtomicBool = AtomicBool::new(false);
    let before = *BEFORE.get()?;
    if SAID.swap(true, Ordering::Relaxed) {
        return None;
    }
    let file = environment::path();
    notice(&file, before, file.exists())
}

/// What a run with this file has to wait for, in words; `None` if an earlier run has waited.
fn notice(file: &Path, before: bool, now: bool) -> Option<String> {
    let file = file.display();
    let why = "cuda: for each shape in the network several kernels are timed and the fastest is taken";
    match (before, now) {
        (true, _) => None,
        (false, true) => Some(format!(
            "{why}: the first steps on this machine take minutes. What is found is kept in {file}; later runs of this network \
             start at once and take the same kernels"
        )),
        (false, false) => Some(format!(
            "{why}, which takes minutes in each run: {file}, where that is kept, cannot be written. Let XDG_CACHE_HOME name a \
                 folder of a local disk that can"
        )),
    }
}

/// In the user's cache folder.
fn folder() -> PathBuf {
    let cache = etcetera::choose_base_strategy().map(|strategy| strategy.cache_dir());
    cache.unwrap_or_else(|_| std::env::temp_dir()).join("limpq")
}

/// The kinds of GPU in this machine as a name: the fastest kernel of one may not even run on another, and a home folder
/// may be shared.
fn gpus() -> String {
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let models = folders.filter_map(|gpu| model(&fs::read_to_string(gpu.path().join("information")).ok()?));
    let models: Vec<String> = models.collect::<BTreeSet<_>>().into_iter().collect();
    if models.is_empty() { "kernels".to_owned() } else { models.join(" and ") }
}

/// The model in the information of NVIDIA's driver on a GPU.
fn model(information: &str) -> Option<String> {
    let line = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_has_a_model() {
        let information = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 123\nGPU UUID: \t GPU-1\n";
        assert_eq!(model(information).as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(model("IRQ: 1\n"), None);
    }

    #[test]
    fn the_first_run_is_told_that_it_waits_and_later_ones_are_not() {
        let file = Path::new("cache/limpq/NVIDIA_H100.db");
        let first = notice(file, false, true).unwrap();
        assert!(first.contains("the first steps on this machine take minutes"), "{first}");
        assert!(first.contains("is kept in cache/limpq/NVIDIA_H100.db;"), "{first}");
        assert_eq!(notice(file, true, true), None);
        let never = notice(file, false, false).unwrap();
        assert!(never.contains("in each run: cache/limpq/NVIDIA_H100.db, where that is kept, cannot be"), "{never}");
        assert!(never.ends_with("Let XDG_CACHE_HOME name a folder of a local disk that can"), "{never}");
    }
}

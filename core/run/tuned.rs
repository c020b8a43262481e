//! What the device `cuda` finds out on a machine and keeps on its disk: which of several kernels is fastest for each shape, and
//! the kernels that it compiled. One file for each kind of GPU. While it is there, kernels are the same in each run, and so are
//! numbers.

use burn_cubecl::cubecl::{
    config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig},
    environment,
};
use etcetera::BaseStrategy;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

/// Has kernels kept, unless somebody configured burn's kernels before. To be called before the first tensor.
pub(super) fn keep_kernels() {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.environment.name = gpus();
    config.environment.path = CacheConfig::Directory(folder());
    #[cfg(feature = "cuda")]
    {
        config.compilation.cache = true;
    }
    CubeClRuntimeConfig::try_set(config);
}

/// Says once what keeping kernels means for this run.
pub(super) fn say() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let file = environment::path();
        let kept = file.parent().map_or(Ok(()), fs::create_dir_all);
        if let Some(notice) = notice(&file, kept) {
            eprintln!("{notice}");
        }
    });
}

/// What a run with this file has to wait for, in words; nothing if an earlier one has waited.
fn notice(file: &Path, kept: io::Result<()>) -> Option<String> {
    let why = "cuda: for each shape in the network several kernels are timed and the fastest is taken";
    match kept {
        Err(error) => Some(format!(
            "{why}, which takes minutes in each run: what is found cannot be kept in {}: {error}",
            file.display()
        )),
        Ok(()) if file.exists() => None,
        Ok(()) => Some(format!(
            "{why}: the first steps on this machine take minutes. What is found is kept in {}; later runs start at once and take \
             the same kernels",
            file.display()
        )),
    }
}

/// In the user's folder for what can be made again.
fn folder() -> PathBuf {
    let cache = etcetera::choose_base_strategy().map(|strategy| strategy.cache_dir());
    cache.unwrap_or_else(|_| std::env::temp_dir()).join("limpq")
}

/// The kinds of GPU in this machine as a name: what is fastest on one may not even run on another, and a home may be shared.
fn gpus() -> String {
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let models = folders.filter_map(|gpu| model(&fs::read_to_string(gpu.path().join("information")).ok()?));
    let models: Vec<String> = models.collect::<BTreeSet<_>>().into_iter().collect();
    if models.is_empty() { "kernels".to_owned() } else { models.join(" and ") }
}

/// The model in what NVIDIA's driver says of a GPU.
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
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("NVIDIA_H100.db");
        let first = notice(&file, Ok(())).unwrap();
        assert!(first.contains("the first steps on this machine take minutes"), "{first}");
        assert!(first.contains(file.to_str().unwrap()), "{first}");
        fs::write(&file, "").unwrap();
        assert_eq!(notice(&file, Ok(())), None);
        let never = notice(&file, Err(io::ErrorKind::PermissionDenied.into())).unwrap();
        assert!(never.contains("in each run") && never.contains("permission denied"), "{never}");
    }
}

//! A run: one config, one folder, one artifact for each stage.
//!
//! ```text
//! pretrain -> indicators -> search (-> refine) -> finetune (found and uniform policy) -> evaluate -> summary
//! ```

mod artifacts;
mod config;
mod device;
mod entry;
mod error;
mod experiment;
mod folder;
mod measured;
mod origin;
mod policy;
mod read;
mod record;
mod shelf;
mod stages;
mod summary;
#[cfg(feature = "cuda-untuned")]
mod tuned;
mod variables;

pub use config::{Config, Evaluate, Limit, Plugin, Refine, SearchOptions};
pub use device::{Device, DeviceError, Devices};
pub use error::RunError;
pub use experiment::{Place, run, run_in};
pub use folder::{Folder, FolderError};
pub use read::ConfigError;
pub use shelf::CheckpointOptions;
pub use summary::{Entrant, Summary};
pub use variables::VariableError;

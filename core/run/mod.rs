//! A run: one config, one folder, one artifact for each stage.
//!
//! ```text
//! pretrain -> indicators -> search -> finetune (found and uniform policy) -> evaluate -> summary
//! ```

mod config;
mod device;
mod folder;
mod record;
mod shelf;
mod stages;

pub use config::{Config, ConfigError, Evaluate, Limit, Plugin, Refine, SearchOptions};
pub use device::{Device, DeviceError, Devices};
pub use folder::{Folder, FolderError};
pub use shelf::CheckpointOptions;
pub use stages::{Entrant, RunError, Summary, run, run_beside};

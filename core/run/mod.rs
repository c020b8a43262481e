//! A run: one config, one folder, one artifact for each stage.
//!
//! ```text
//! pretrain -> indicators -> search -> finetune (found and uniform policy) -> evaluate -> summary
//! ```

mod config;
mod device;
mod error;
mod folder;
mod record;
mod shelf;
mod stages;
mod summary;

pub use config::{Config, ConfigError, Evaluate, Limit, Plugin, Refine, SearchOptions};
pub use device::{Device, DeviceError, Devices};
pub use error::RunError;
pub use folder::{Folder, FolderError};
pub use shelf::CheckpointOptions;
pub use stages::{run, run_beside};
pub use summary::{Entrant, Summary};

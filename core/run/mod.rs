//! A run: one config, one folder, one artifact for each stage.
//!
//! ```text
//! pretrain -> indicators -> search -> finetune (found and uniform policy) -> evaluate -> summary
//! ```

mod config;
mod device;
mod folder;
mod record;
mod stages;

pub use config::{Config, ConfigError, Limit, Plugin, Refine, SearchOptions};
pub use device::{Device, DeviceError};
pub use folder::{Folder, FolderError};
pub use stages::{Entrant, RunError, Summary, run};

//! A run: one config, one folder, one artifact for each stage.
//!
//! ```text
//! pretrain -> indicators -> search -> finetune (found and uniform policy) -> evaluate -> summary
//! ```

mod config;
mod folder;
mod record;
mod stages;

pub use config::{Config, ConfigError, Device, Limit, Plugin, Refine, SearchOptions};
pub use folder::{Folder, FolderError};
pub use stages::{Entrant, RunError, Summary, run};

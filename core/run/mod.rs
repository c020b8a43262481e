//! A run: one config, one folder, and a list of stages, each of which leaves artifacts in the folder.
//!
//! ```text
//! pretrain -> indicators -> search (-> refine) -> evaluate -> fine-tune (found, refined and uniform policy) -> summary
//! ```

mod checkpoint_store;
mod config;
mod error;
mod pipeline;
mod read;
mod record;
mod setup;
mod stages;
mod variables;

pub use checkpoint_store::CheckpointOptions;
pub use config::{Config, Evaluate, Limit, Plugin, Refine, SearchOptions};
pub use error::RunError;
pub use pipeline::{Place, Run, StageReport, StageState, report_stages, run, run_in};
pub use read::ConfigError;
pub use setup::Setup;
pub use stages::{NetworkResult, Stage, Summary, layout};
pub use variables::VariableError;

//! Why a run ends early.

use crate::{
    device::DeviceError,
    graph::{DescribedError, GraphError},
    registry::RegistryError,
    search::{IndicatorsError, PolicyError, SearchError},
    store::{
        FolderError,
        artifact::{Damaged, WriteError},
    },
    train::{DatasetError, StateError, ThreadsError, TrainError, WeightsError},
};

impl From<DescribedError> for RunError {
    fn from(error: DescribedError) -> Self {
        match error {
            DescribedError::Registry(error) => error.into(),
            DescribedError::Graph(error) => error.into(),
        }
    }
}

/// Why a run ended early. Artifacts of finished stages stay; the same command continues after them.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant passes on the error it is named after")]
pub enum RunError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error("the model does not fit the data: {0}")]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    #[error("cannot read this program's own file, which is part of what results depend on: {0}")]
    Program(std::io::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Indicators(#[from] IndicatorsError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A stage of a plugin, for errors of its own.
    #[error("stage {stage}: {why}")]
    Stage { stage: &'static str, why: String },
}

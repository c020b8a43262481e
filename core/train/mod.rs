//! The training half: networks as burn modules, fake quantization, joint training, fine-tuning, evaluation.

mod dataset;
mod fit;
mod network;
mod quantizer;
mod recipe;
mod sensitivity;
mod state;
mod weights;

pub use dataset::{Data, Dataset, DatasetError, InMemory, Samples, mean_and_deviation};
pub use fit::{Bench, Progress, Score, TrainError};
pub use network::{Bits, Network, Plan};
pub use quantizer::{Grid, NoIndicator, Quantizer, Role};
pub use recipe::Recipe;
pub(crate) use sensitivity::preflight;
pub use sensitivity::{ByLayer, Lab, Sensitivity, Unindicated};
pub use state::{Array, State, StateError};
pub use weights::{Loaded, Weights, WeightsError};

crate::registry::kind!(Dataset, "dataset");
crate::registry::kind!(Quantizer, "quantizer");
crate::registry::kind!(Sensitivity, "sensitivity");

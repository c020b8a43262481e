//! The training half: networks as burn modules, fake quantization, joint training, fine-tuning, evaluation.

mod checkpoint;
mod collective;
mod dataset;
mod evaluate;
mod fit;
mod in_memory;
mod joint;
pub mod kernels;
mod lab;
mod loader;
mod loss;
mod network;
mod optimizer;
mod parallel;
mod progress;
mod quantizer;
mod recipe;
mod sensitivity;
mod split;
mod state;
mod step;
mod weights;

pub use checkpoint::{Best, Checkpoint, Checkpoints, Nowhere};
pub(crate) use collective::{count_by_all_reduce, have_all_reduce};
pub use dataset::{Data, Dataset, DatasetError, Samples};
pub use evaluate::Score;
pub use fit::{Bench, Job, TrainError, Trained};
pub use in_memory::{Augment, InMemory, mean_and_deviation};
pub use joint::{Gradients, Joint, RandomPass, Update};
pub use lab::{ByLayer, Lab};
pub use loader::{Batch, Loader, Pick, default_workers};
pub use loss::{cross_entropy, distillation, smoothed};
pub use network::{Bits, Network, Plan};
pub use progress::{Pass, Progress, Step, StepSize, Validation};
pub use quantizer::{Grid, NoIndicator, Quantizer, Role};
pub use recipe::{Arithmetic, Keep, Optimizer, Recipe};
pub(crate) use sensitivity::preflight;
pub use sensitivity::{Sensitivity, Unindicated};
pub use split::Split;
pub use state::{Array, State, StateError};
pub use weights::{Loaded, Weights, WeightsError};

crate::registry::kind!(Dataset, "dataset");
crate::registry::kind!(Quantizer, "quantizer");
crate::registry::kind!(Sensitivity, "sensitivity");

//! The state of a stage, from which a run that was killed continues with bit-identical results.
//!
//! Data order, augmentation and sampled bit-widths depend on seed, stage and step only. So a checkpoint is the step,
//! the network's parameters and the optimizer's state.

use super::{Score, State, StateError};
use crate::store::artifact::{Damaged, WriteError};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The state of a stage after some of its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Number of steps that are done.
    pub step: usize,
    /// The network.
    pub state: State,
    /// The optimizer's state, in its own format.
    pub optimizer: Vec<u8>,
    /// The best epoch so far, if there are validation images.
    pub best: Option<Best>,
}

/// The network after the epoch of highest validation accuracy; the first one of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Its score.
    pub score: Score,
    /// The network after that epoch.
    pub state: State,
}

/// Stores the checkpoints of stages and finds the latest one.
pub trait Checkpoints {
    /// The latest undamaged checkpoint that was made from the same inputs, if there is one.
    ///
    /// # Errors
    /// When there are some and all are damaged.
    fn latest(&self, label: &str) -> Result<Option<Checkpoint>, Damaged>;

    /// Stores a checkpoint, and removes those that are no longer needed.
    ///
    /// # Errors
    /// A full disk, a folder that cannot be written to. Earlier checkpoints stay.
    fn keep(&self, label: &str, checkpoint: &Checkpoint) -> Result<(), WriteError>;

    /// Whether a checkpoint is due after step `step`, besides those at the ends of epochs.
    fn due(&self, step: usize) -> bool;
}

/// Stores no checkpoints, for stages too short to be interrupted.
pub struct Nowhere;

impl Checkpoints for Nowhere {
    fn latest(&self, _: &str) -> Result<Option<Checkpoint>, Damaged> {
        Ok(None)
    }
    fn keep(&self, _: &str, _: &Checkpoint) -> Result<(), WriteError> {
        Ok(())
    }
    fn due(&self, _: usize) -> bool {
        false
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    step: usize,
    best: Option<(usize, Score)>,
}

const HEADER: &str = "checkpoint";
const OPTIMIZER: &str = "optimizer";

impl Checkpoint {
    /// As the bytes of a safetensors file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header { step: self.step, best: self.best.as_ref().map(|best| (best.epoch, best.score)) };
        let header = serde_json::to_string(&header).expect("a header is plain data");
        let states = [("network", Some(&self.state)), ("best", self.best.as_ref().map(|best| &best.state))];
        let raw: Vec<(String, Vec<usize>, Vec<u8>)> = states
            .into_iter()
            .filter_map(|(part, state)| Some((part, state?)))
            .flat_map(|(part, state)| {
                state.0.iter().map(move |(name, array)| {
                    let bytes = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    (format!("{part}/{name}"), array.shape.clone(), bytes)
                })
            })
            .collect();
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).expect("the bytes fit the shape");
        let optimizer = view(Dtype::U8, vec![self.optimizer.len()], &self.optimizer);
        let views = raw.iter().map(|(name, shape, bytes)| (name.as_str(), view(Dtype::F32, shape.clone(), bytes)));
        let metadata = HashMap::from([(HEADER.to_owned(), header)]);
        safetensors::serialize(views.chain([(OPTIMIZER, optimizer)]), Some(metadata)).expect("names are distinct")
    }

    /// From the bytes of a safetensors file; `path` is for the error.
    ///
    /// # Errors
    /// When they are not a checkpoint.
    pub fn from_bytes(bytes: &[u8], path: &str) -> Result<Self, StateError> {
        let wrong = |why: String| StateError::Format { path: path.to_owned(), why };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
        let header = header.ok_or_else(|| wrong("it has no checkpoint header".into()))?;
        let header: Header = serde_json::from_str(header).map_err(|error| wrong(error.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        let optimizer = file.tensor(OPTIMIZER).map_err(|error| wrong(error.to_string()))?.data().to_vec();
        let part = |part: &str| {
            State::from_views(file.iter().filter_map(|(name, view)| Some((name.strip_prefix(part)?, view))))
        };
        let state = part("network/").map_err(&wrong)?;
        let best = match header.best {
            Some((epoch, score)) => Some(Best { epoch, score, state: part("best/").map_err(&wrong)? }),
            None => None,
        };
        Ok(Self { step: header.step, state, optimizer, best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Array;

    #[test]
    fn reads_what_it_writes() {
        let state = |value: f32| {
            let array = Array { shape: vec![1, 2], values: vec![value, f32::MIN_POSITIVE] };
            State([("conv1.weight".to_owned(), array)].into())
        };
        let score = Score { accuracy: 0.5, top5: 0.75, loss: 0.1 + 0.2, images: 3, batch_norm_images: 0 };
        let best = Best { epoch: 2, score, state: state(2.0) };
        for best in [None, Some(best)] {
            let checkpoint = Checkpoint { step: 7, state: state(1.0), optimizer: vec![1, 2, 3], best };
            assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes(), "x").unwrap(), checkpoint);
        }
        let plain = Checkpoint::from_bytes(&state(1.0).to_bytes(), "x.safetensors").unwrap_err().to_string();
        assert_eq!(plain, "x.safetensors is not a usable safetensors file: it has no checkpoint header");
    }
}

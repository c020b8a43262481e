//! The data-set kind: labelled images, split into training and test.

use crate::{graph::Shape, hash::hex};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What is wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}{hint}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
        /// What to do, starting with a space or empty.
        hint: String,
    },
    /// A file is not what it should be.
    #[error("{path}: {why}")]
    Content {
        /// The file.
        path: String,
        /// What was found and what was expected.
        why: String,
    },
    /// A batch that the system has no memory for.
    #[error("cannot hold {images} images at once: the system has no {mib} MiB for them; lower batch_size")]
    Memory {
        /// How many images.
        images: usize,
        /// What they take.
        mib: usize,
    },
    /// An image that its data set was told to leave out; no reason to stop.
    #[error("{path} is left out: {why}")]
    LeftOut {
        /// The file.
        path: String,
        /// Why it cannot be used.
        why: String,
    },
}

/// Labelled images that can be had one by one, in any order, from any thread.
pub trait Samples: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of an image; known without decoding it.
    fn label(&self, index: usize) -> usize;

    /// Writes the normalised image `index` into `pixels` (channel, row, column order). `draw` fixes the augmentation: the
    /// same number gives the same image. `None` is the image as it is evaluated, without augmentation.
    ///
    /// # Errors
    /// When the image cannot be read or decoded.
    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError>;

    /// Hash of everything that results depend on; `elements` is the size of an image. Unless a set knows something
    /// cheaper, every image is decoded for it.
    ///
    /// # Errors
    /// When an image cannot be read or decoded.
    fn identity(&self, elements: usize) -> Result<String, DatasetError> {
        let (mut pixels, mut digest) = (vec![0f32; elements], Sha256::new());
        for index in 0..self.len() {
            self.image(index, None, &mut pixels)?;
            digest.update(self.label(index).to_le_bytes());
            digest.update(pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(hex(&digest.finalize()))
    }
}

/// A loaded data set.
#[derive(Clone)]
pub struct Data {
    /// Shape of every image.
    pub shape: Shape,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// What networks are trained on.
    pub train: Arc<dyn Samples>,
    /// A part of the training set that is held out to choose between epochs.
    pub validation: Option<Arc<dyn Samples>>,
    /// What accuracies are measured on.
    pub test: Arc<dyn Samples>,
}

/// Labelled images for training and evaluation.
pub trait Dataset: Send + Sync {
    /// Opens or decodes the data.
    ///
    /// # Errors
    /// Missing, truncated or foreign files, by name.
    fn load(&self) -> Result<Data, DatasetError>;
}

//! The data-set kind: labelled images, split into training and test.

use crate::graph::Shape;
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
}

/// Labelled images that can be had one by one, in any order, from any thread.
pub trait Samples: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the normalised image `index` into `pixels` (channel, row, column order) and gives its class.
    ///
    /// # Errors
    /// When the sample cannot be read or decoded.
    fn sample(&self, index: usize, pixels: &mut [f32]) -> Result<usize, DatasetError>;
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

/// Grey or colour images held in memory as bytes, normalised when they are read.
pub struct InMemory {
    /// Shape of every image.
    pub shape: Shape,
    /// All images after another, channel, row, column order.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
    /// Mean of the pixels of the training images, in pixel units.
    pub mean: f32,
    /// Standard deviation of the same.
    pub deviation: f32,
}

impl Samples for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize, pixels: &mut [f32]) -> Result<usize, DatasetError> {
        let size = self.shape.elements();
        for (out, &pixel) in pixels.iter_mut().zip(&self.pixels[index * size..(index + 1) * size]) {
            *out = (f32::from(pixel) - self.mean) / self.deviation;
        }
        Ok(self.labels[index].into())
    }
}

/// Mean and standard deviation of pixels; the deviation is never 0.
pub fn mean_and_deviation(pixels: &[u8]) -> (f32, f32) {
    let count = pixels.len().max(1) as f64;
    let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / count;
    let variance = pixels.iter().map(|&p| (f64::from(p) - mean).powi(2)).sum::<f64>() / count;
    (mean as f32, (variance.sqrt() as f32).max(1e-6))
}

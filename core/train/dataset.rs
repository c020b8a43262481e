//! The data-set kind: labelled images, split into training and test.

use crate::{graph::Shape, store::hash::hex};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};

/// What is wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}{hint}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
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
    /// A batch for which there is not enough memory.
    #[error("cannot hold {images} images at once: the system has no {mib} MiB for them; lower batch_size")]
    Memory {
        /// Number of images.
        images: usize,
        /// Memory they need, in MiB.
        mib: usize,
    },
    /// An image that the data set leaves out, as its options ask; not a reason to stop.
    #[error("{path} is left out: {why}")]
    LeftOut {
        /// The file.
        path: String,
        /// Why it cannot be used.
        why: String,
    },
}

/// Labelled images, read one by one, in any order, from any thread.
pub trait Samples: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of an image; known without decoding it.
    fn label(&self, index: usize) -> usize;

    /// Writes the normalised image `index` into `pixels` (channel, row, column order). `draw` seeds the augmentation:
    /// the same value gives the same image. `None` is the image as in evaluation, without augmentation.
    ///
    /// # Errors
    /// When the image cannot be read or decoded.
    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError>;

    /// Remarks on images decoded so far that are not errors but matter for the results. Each is returned once, to the
    /// first caller.
    fn remarks(&self) -> Vec<String> {
        vec![]
    }

    /// Hash of everything that results depend on; `elements` is the size of an image. By default every image is decoded
    /// for it; override it if something cheaper will do.
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
    /// The training images.
    pub train: Arc<dyn Samples>,
    /// A part of the training set that is held out to choose between epochs.
    pub validation: Option<Arc<dyn Samples>>,
    /// The test images, on which accuracies are measured.
    pub test: Arc<dyn Samples>,
    /// Remarks that are not errors but matter for the results, for users.
    pub remarks: Vec<String>,
}

impl Data {
    /// A remark on each part of the data that has no image of some classes.
    pub fn empty_classes(&self) -> Vec<String> {
        let parts = [("training", &self.train), ("test", &self.test)];
        parts.into_iter().filter_map(|(part, set)| empty_classes(part, &**set, self.classes)).collect()
    }
}

fn empty_classes(part: &str, set: &dyn Samples, classes: usize) -> Option<String> {
    let found: BTreeSet<usize> = (0..set.len()).map(|index| set.label(index)).collect();
    let empty: Vec<usize> = (0..classes).filter(|class| !found.contains(class)).collect();
    let them = |count: usize| if count == 1 { "class" } else { "classes" };
    let (missing, there) = (empty.len(), found.len());
    (missing > 0).then(|| {
        format!(
            "no {part} image is of {} {}; there are images of {there} of the {classes} classes, the network distinguishes all \
             {classes}",
            them(missing),
            ranges(&empty)
        )
    })
}

/// Ascending numbers as text: `0`, `1 to 254`, `3, 5 to 9`; one line at most.
fn ranges(numbers: &[usize]) -> String {
    const MOST: usize = 10;
    let runs: Vec<&[usize]> = numbers.chunk_by(|a, b| a + 1 == *b).collect();
    let one = |run: &&[usize]| match run {
        [one] => one.to_string(),
        [first, second] => format!("{first}, {second}"),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    };
    let shown: Vec<String> = runs.iter().take(MOST).map(one).collect();
    shown.join(", ") + if runs.len() > MOST { " and others" } else { "" }
}

/// Labelled images for training and evaluation.
///
/// ```
/// # use limpq_core::{graph::Shape, train::{Data, Dataset, DatasetError, Samples}};
/// # use std::sync::Arc;
/// /// Images of one shade: class 0 is dark, class 1 is bright.
/// struct Shades(usize);
///
/// impl Samples for Shades {
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn label(&self, index: usize) -> usize {
///         index % 2
///     }
///     fn image(&self, index: usize, _: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
///         pixels.fill(self.label(index) as f32 - 0.5);
///         Ok(())
///     }
/// }
///
/// struct TwoShades;
///
/// impl Dataset for TwoShades {
///     fn load(&self) -> Result<Data, DatasetError> {
///         let shape = Shape::new(1, 8, 8).expect("no side is zero");
///         let (train, test) = (Arc::new(Shades(64)), Arc::new(Shades(16)));
///         Ok(Data { shape, classes: 2, train, validation: None, test, remarks: vec![] })
///     }
/// }
///
/// let data = TwoShades.load()?;
/// assert_eq!((data.test.len(), data.test.label(3)), (16, 1));
/// # Ok::<(), DatasetError>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Opens or decodes the data.
    ///
    /// # Errors
    /// Missing, truncated or foreign files, by name.
    fn load(&self) -> Result<Data, DatasetError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Augment, InMemory};

    fn labelled(labels: &[u8]) -> Arc<InMemory> {
        let shape = Shape { channels: 1, height: 1, width: 1 };
        let (pixels, labels, augment) = (vec![0; labels.len()], labels.to_vec(), Augment::default());
        Arc::new(InMemory { shape, pixels, labels, mean: vec![0.0], deviation: vec![1.0], augment })
    }

    fn remarks(classes: usize, train: &[u8], test: &[u8]) -> Vec<String> {
        let (train, test) = (labelled(train), labelled(test));
        let shape = Shape { channels: 1, height: 1, width: 1 };
        Data { shape, classes, train, validation: None, test, remarks: vec![] }.empty_classes()
    }

    /// EMNIST's letters are labelled 1 to 26, and its class 0 is empty (torchvision calls it "N/A"); masks have 0 and 255.
    #[test]
    fn classes_without_images_are_named() {
        assert!(remarks(3, &[0, 1, 2], &[2, 0, 1]).is_empty());
        let letters: Vec<u8> = (1..27).collect();
        let found = remarks(27, &letters, &letters);
        let expected = "is of class 0; there are images of 26 of the 27 classes, the network distinguishes all 27";
        assert_eq!(found, [format!("no training image {expected}"), format!("no test image {expected}")]);
        let mask = &remarks(256, &[0, 255], &[0, 255])[0];
        assert!(mask.contains("of classes 1 to 254; there are images of 2 of the 256 classes"), "{mask}");
        let test = remarks(9, &[0, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 3, 4, 7]);
        assert_eq!(test.len(), 1);
        assert!(test[0].starts_with("no test image is of classes 1, 2, 5, 6, 8; "), "{test:?}");
        let many: Vec<u8> = (0..100).map(|class| 2 * class).collect();
        let many = &remarks(199, &many, &[])[0];
        assert!(many.contains("of classes 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and others; "), "{many}");
    }
}

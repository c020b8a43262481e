//! CIFAR-10 (Krizhevsky, 2009): 60 000 colour images of 32x32 pixels in ten classes, 50 000 of them for training.
//!
//! Reads both published layouts, whichever exists. The binary layout has records of 3073 bytes: the class, then 1024
//! bytes each of red, green and blue. The Python layout has five pickled dicts for training and one for testing, whose
//! `data` is a numpy array with one row of 3072 bytes per image and whose `labels` is a list. No code in a pickle is
//! run.
//!
//! Pixels are normalised per channel by mean and standard deviation of the training images. Training images are
//! augmented as in He et al. (CVPR 2016, section 4.2): four black pixels of padding, a random crop of 32x32, mirrored
//! with probability 1/2.

use super::files;
use limpq_core::graph::Shape;
use limpq_core::train::{Augment, Data, Dataset, DatasetError, InMemory, mean_and_deviation};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

mod pickle;

const SHAPE: Shape = Shape { channels: 3, height: 32, width: 32 };
const PIXELS: usize = 3 * 32 * 32;
const CLASSES: u8 = 10;
const TRAIN_FILES: usize = 5;
/// Largest size of a file; those of the data set have 31 MB.
const MOST_BYTES: u64 = 1 << 30;

/// Where the files are and how training images are augmented.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cifar10 {
    /// Folder of the files, or the one that contains `cifar-10-batches-bin` or `cifar-10-batches-py`.
    pub folder: PathBuf,
    /// Training images are padded by this many black pixels on each side and cropped to 32x32 at random; 0 is off.
    pub crop_padding: u16,
    /// Whether training images are mirrored at random.
    pub flip: bool,
}

impl Default for Cifar10 {
    fn default() -> Self {
        Self { folder: "data".into(), crop_padding: 4, flip: true }
    }
}

limpq_core::plugin!(Dataset, "cifar10", "CIFAR-10, from its binary files or those for Python", Cifar10);

impl Dataset for Cifar10 {
    fn load(&self) -> Result<Data, DatasetError> {
        let (folder, layout) = self.find()?;
        let mut train = Images::default();
        for number in 1..=TRAIN_FILES {
            train.read(&folder, &format!("data_batch_{number}"), layout)?;
        }
        let mut test = Images::default();
        test.read(&folder, "test_batch", layout)?;
        let (mean, deviation) = mean_and_deviation(&train.pixels, SHAPE);
        let augment = Augment { crop_padding: self.crop_padding, flip: self.flip };
        let samples = |Images { pixels, labels }| {
            let (mean, deviation) = (mean.clone(), deviation.clone());
            Arc::new(InMemory { shape: SHAPE, pixels, labels, mean, deviation, augment })
        };
        let (train, test) = (samples(train), samples(test));
        Ok(Data { shape: SHAPE, classes: CLASSES.into(), train, validation: None, test, remarks: vec![] })
    }
}

/// The layout of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Binary,
    Python,
}

impl Layout {
    fn extension(self) -> &'static str {
        match self {
            Self::Binary => ".bin",
            Self::Python => "",
        }
    }
}

impl Cifar10 {
    /// The folder and layout of the first file found; missing files are reported when they are read.
    fn find(&self) -> Result<(PathBuf, Layout), DatasetError> {
        for (below, layout) in [
            ("", Layout::Binary),
            ("", Layout::Python),
            ("cifar-10-batches-bin", Layout::Binary),
            ("cifar-10-batches-py", Layout::Python),
        ] {
            let folder = if below.is_empty() { self.folder.clone() } else { self.folder.join(below) };
            let names = (1..=TRAIN_FILES).map(|number| format!("data_batch_{number}")).chain(["test_batch".to_owned()]);
            if names.into_iter().any(|name| folder.join(name + layout.extension()).is_file()) {
                return Ok((folder, layout));
            }
        }
        let path = self.folder.join("data_batch_1.bin").display().to_string();
        let hint = "; neither data_batch_1.bin nor data_batch_1 is in this folder or in its cifar-10-batches-bin or \
                    cifar-10-batches-py; unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and set the option \
                    `folder`"
            .to_owned();
        Err(DatasetError::Read { path, error: io::ErrorKind::NotFound.into(), hint })
    }
}

/// Images with their labels.
#[derive(Default)]
struct Images {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    fn read(&mut self, folder: &Path, name: &str, layout: Layout) -> Result<(), DatasetError> {
        let path = folder.join(format!("{name}{}", layout.extension()));
        let shown = path.display().to_string();
        let bytes = files::read(&path, MOST_BYTES).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "; other files of CIFAR-10 are there: unpack the archive again",
                _ => "",
            };
            DatasetError::Read { path: shown.clone(), error, hint: hint.to_owned() }
        })?;
        let read = match layout {
            Layout::Binary => self.read_records(&bytes),
            Layout::Python => self.read_pickle(&bytes),
        };
        read.map_err(|why| DatasetError::Content { path: shown, why })
    }

    fn read_records(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(PIXELS + 1) {
            let (found, record) = (bytes.len(), PIXELS + 1);
            return Err(format!(
                "it is {found} bytes long, which is not a whole number of records of {record}; unpack it again"
            ));
        }
        for (place, record) in bytes.chunks(PIXELS + 1).enumerate() {
            self.labels.push(label(place, record[0].into())?);
            self.pixels.extend_from_slice(&record[1..]);
        }
        Ok(())
    }

    fn read_pickle(&mut self, bytes: &[u8]) -> Result<(), String> {
        let pickle::Batch { rows, pixels, labels } = pickle::read(bytes)?;
        if rows == 0 || labels.len() != rows {
            return Err(format!(
                "it has {} labels for {rows} images; there must be one per image, and at least one",
                labels.len()
            ));
        }
        for (place, &number) in labels.iter().enumerate() {
            self.labels.push(label(place, number)?);
        }
        self.pixels.extend(pixels);
        Ok(())
    }
}

fn label(place: usize, number: i64) -> Result<u8, String> {
    let label = u8::try_from(number).ok().filter(|label| *label < CLASSES);
    label.ok_or_else(|| format!("image {place} (from 0) has class {number}; CIFAR-10 has 0 to {}", CLASSES - 1))
}

#[cfg(test)]
mod tests;

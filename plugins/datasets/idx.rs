//! The MNIST family (LeCun, Cortes and Burges, 1998; Fashion-MNIST: Xiao et al., 2017): grey images in IDX files.
//!
//! An IDX file is big-endian: a magic number (0x00000803 for images, 0x00000801 for labels), the number of items, for
//! images also rows and columns, then one byte for each pixel or label. Each file may be plain or gzipped (`.gz`).
//! Everything is checked: the magic, that a file is as long as it says (before more of a gzipped one is unpacked), that there are as many labels as images, that
//! training and test images have one size. The number of classes is one more than the largest label of both. Pixels are
//! normalised with mean and deviation of the training images that are used.

use super::files;
use flate2::read::GzDecoder;
use limpq_core::graph::Shape;
use limpq_core::train::{Augment, Data, Dataset, DatasetError, InMemory, mean_and_deviation};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// Bytes that a file may have, unpacked: it is held in memory.
const MOST_BYTES: u64 = 1 << 33;

/// Where the files are and how much of them is used.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Idx {
    /// Folder of the four files. The default is where Debian's dataset-fashion-mnist puts them.
    pub folder: PathBuf,
    /// Training images, in the folder; `.gz` is tried too.
    pub train_images: PathBuf,
    /// Their labels.
    pub train_labels: PathBuf,
    /// Test images.
    pub test_images: PathBuf,
    /// Their labels.
    pub test_labels: PathBuf,
    /// Use only this many training images, the first ones; 0 is all.
    pub limit: usize,
    /// Use only this many test images, the first ones; 0 is all.
    pub test_limit: usize,
    /// Training images are padded by this many black pixels on each side and cropped to their size at random; 0 is off.
    pub crop_padding: u16,
    /// Every other training image is mirrored, at random.
    pub flip: bool,
}

impl Default for Idx {
    fn default() -> Self {
        Self {
            folder: "/usr/share/datasets/fashion-mnist".into(),
            train_images: "train-images-idx3-ubyte".into(),
            train_labels: "train-labels-idx1-ubyte".into(),
            test_images: "t10k-images-idx3-ubyte".into(),
            test_labels: "t10k-labels-idx1-ubyte".into(),
            limit: 0,
            test_limit: 0,
            crop_padding: 0,
            flip: false,
        }
    }
}

limpq_core::plugin!(Dataset, "idx", "MNIST, Fashion-MNIST and their like, from IDX files", Idx);

impl Dataset for Idx {
    fn load(&self) -> Result<Data, DatasetError> {
        let train = self.part(&self.train_images, &self.train_labels, self.limit)?;
        let test = self.part(&self.test_images, &self.test_labels, self.test_limit)?;
        if train.shape != test.shape {
            let why = format!("images are {}, those for training {}", test.shape, train.shape);
            return Err(DatasetError::Content { path: test.path.display().to_string(), why });
        }
        let (mean, deviation) = mean_and_deviation(&train.pixels, train.shape);
        let shape = train.shape;
        let augment = Augment { crop_padding: self.crop_padding, flip: self.flip };
        let samples = |Part { pixels, labels, .. }| {
            let (mean, deviation) = (mean.clone(), deviation.clone());
            Arc::new(InMemory { shape, pixels, labels, mean, deviation, augment })
        };
        let classes = train.classes.max(test.classes);
        Ok(Data { shape, classes, train: samples(train), validation: None, test: samples(test), remarks: vec![] })
    }
}

/// Images with their labels.
struct Part {
    path: PathBuf,
    shape: Shape,
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Idx {
    fn part(&self, images: &Path, labels: &Path, limit: usize) -> Result<Part, DatasetError> {
        let images = File::open(&self.folder, images, IMAGES)?;
        let labels = File::open(&self.folder, labels, LABELS)?;
        let [count, rows, columns] = images.sizes[..] else { return Err(images.wrong("it has no size".to_owned())) };
        if labels.sizes != [count] {
            let found = labels.items.len();
            return Err(labels.wrong(format!("{found} labels for the {count} images of {}", images.path.display())));
        }
        if count == 0 {
            return Err(images.wrong("it holds no images".to_owned()));
        }
        let shape = Shape::new(1, rows, columns).map_err(|error| images.wrong(error.to_string()))?;
        // Over all labels: how many classes there are does not depend on how much is used.
        let classes = labels.items.iter().max().map_or(0, |&label| usize::from(label) + 1);
        let used = if limit == 0 { count } else { limit.min(count) };
        let (mut pixels, mut labels) = (images.items, labels.items);
        pixels.truncate(used * shape.elements());
        labels.truncate(used);
        Ok(Part { path: images.path, shape, classes, pixels, labels })
    }
}

/// A file, taken apart.
struct File {
    path: PathBuf,
    /// Number of items, then the sizes of one item.
    sizes: Vec<usize>,
    items: Vec<u8>,
}

impl File {
    fn open(folder: &Path, name: &Path, magic: u32) -> Result<Self, DatasetError> {
        let plain = folder.join(name);
        let mut zipped = plain.clone().into_os_string();
        zipped.push(".gz");
        let zipped = PathBuf::from(zipped);
        match files::read(&plain, MOST_BYTES) {
            Ok(bytes) => Self::parse(plain, bytes, magic),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match files::read(&zipped, MOST_BYTES) {
                Ok(bytes) => Self::unzip(folder, zipped, &bytes, magic),
                // Neither is there: the plain name is the one that was asked for.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unreadable(folder, &plain, error)),
                Err(error) => Err(unreadable(folder, &zipped, error)),
            },
            Err(error) => Err(unreadable(folder, &plain, error)),
        }
    }

    /// A gzipped file. It may hold a thousand times its length, so no more is unpacked than its header says.
    fn unzip(folder: &Path, path: PathBuf, bytes: &[u8], magic: u32) -> Result<Self, DatasetError> {
        let mut start = vec![];
        let read = GzDecoder::new(bytes).take(header(magic) as u64).read_to_end(&mut start);
        read.map_err(|error| unreadable(folder, &path, error))?;
        let file = Self::start(path, &start, magic)?;
        let most = file.length().map_or(MOST_BYTES, |length| length as u64);
        if most > MOST_BYTES {
            let gib = MOST_BYTES >> 30;
            return Err(
                file.wrong(format!("its header says {} items, more than the {gib} GiB that are read", file.shown()))
            );
        }
        // One more shows that it is longer.
        match files::unzip(bytes, most + 1) {
            Ok(bytes) => Self::parse(file.path, bytes, magic),
            Err(error) if error.kind() == io::ErrorKind::Other => {
                Err(file.wrong(format!("it is longer than its header and {} items, {most} bytes", file.shown())))
            }
            Err(error) => Err(unreadable(folder, &file.path, error)),
        }
    }

    fn parse(path: PathBuf, bytes: Vec<u8>, magic: u32) -> Result<Self, DatasetError> {
        let mut file = Self::start(path, &bytes, magic)?;
        let expected = file.length();
        if expected != Some(bytes.len()) {
            let expected = expected.map_or_else(|| "more than any file".to_owned(), |bytes| bytes.to_string());
            let (found, sizes) = (bytes.len(), file.shown());
            return Err(file.wrong(format!("it is {found} bytes long; {sizes} items and the header are {expected}")));
        }
        file.items = bytes;
        file.items.drain(..header(magic));
        Ok(file)
    }

    /// What its header says.
    fn start(path: PathBuf, bytes: &[u8], magic: u32) -> Result<Self, DatasetError> {
        let mut file = Self { path, sizes: vec![], items: vec![] };
        let (dimensions, header) = ((magic & 0xff) as usize, header(magic));
        // A foreign file is recognised before a short one.
        let words: Vec<u32> = bytes.chunks_exact(4).take(1 + dimensions).map(big_endian).collect();
        match words.first() {
            Some(&found) if found != magic => {
                return Err(file.wrong(format!("its magic number is {found:#010x} instead of {magic:#010x}")));
            }
            _ if words.len() <= dimensions => {
                return Err(file.wrong(format!("{} bytes are too short for its header of {header}", bytes.len())));
            }
            _ => {}
        }
        file.sizes = words[1..].iter().map(|&size| size as usize).collect();
        Ok(file)
    }

    /// How long the file must be; `None` if that is no number of bytes.
    fn length(&self) -> Option<usize> {
        let items = self.sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        items?.checked_add(4 * (1 + self.sizes.len()))
    }

    fn shown(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        sizes.join("x")
    }

    fn wrong(&self, why: String) -> DatasetError {
        DatasetError::Content { path: self.path.display().to_string(), why }
    }
}

fn big_endian(word: &[u8]) -> u32 {
    word.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Bytes of the magic number and the sizes.
fn header(magic: u32) -> usize {
    4 * (1 + (magic & 0xff) as usize)
}

fn unreadable(folder: &Path, path: &Path, error: io::Error) -> DatasetError {
    let hint = if !folder.is_dir() {
        "; there is no such folder: `apt install dataset-fashion-mnist` or set the option `folder`"
    } else if error.kind() == io::ErrorKind::NotFound {
        ", with or without .gz; set the options `folder`, `train_images`, `train_labels`, `test_images`, `test_labels`"
    } else {
        ""
    };
    DatasetError::Read { path: path.display().to_string(), error, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use io::Write;
    use std::fs;

    fn idx(magic: u32, sizes: &[u32], items: &[u8]) -> Vec<u8> {
        let words = std::iter::once(&magic).chain(sizes);
        words.flat_map(|word| word.to_be_bytes()).chain(items.iter().copied()).collect()
    }

    /// Three training and two test images of 2x3 pixels.
    fn folder() -> (tempfile::TempDir, Idx) {
        let folder = tempfile::tempdir().unwrap();
        let data = Idx { folder: folder.path().to_owned(), ..Idx::default() };
        let pixels: Vec<u8> = (0..18).collect();
        fs::write(folder.path().join(&data.train_images), idx(IMAGES, &[3, 2, 3], &pixels)).unwrap();
        fs::write(folder.path().join(&data.train_labels), idx(LABELS, &[3], &[1, 0, 2])).unwrap();
        fs::write(folder.path().join(&data.test_images), idx(IMAGES, &[2, 2, 3], &[255; 12])).unwrap();
        fs::write(folder.path().join(&data.test_labels), idx(LABELS, &[2], &[4, 0])).unwrap();
        (folder, data)
    }

    fn error(data: &Idx) -> String {
        data.load().err().unwrap().to_string()
    }

    #[test]
    fn reads_images_and_labels() {
        let (_folder, data) = folder();
        let data = data.load().unwrap();
        assert_eq!((data.shape.to_string().as_str(), data.classes), ("1x2x3", 5));
        assert_eq!((data.train.len(), data.test.len()), (3, 2));
        // Mean of 0..=17 is 8.5, its variance (18^2 - 1) / 12.
        let deviation = (323.0f32 / 12.0).sqrt();
        let mut pixels = [0.0; 6];
        data.train.image(2, None, &mut pixels).unwrap();
        assert_eq!(data.train.label(2), 2);
        for (index, pixel) in pixels.iter().enumerate() {
            assert!((pixel - (12.0 + index as f32 - 8.5) / deviation).abs() < 1e-6);
        }
        data.test.image(0, None, &mut pixels).unwrap();
        assert_eq!(data.test.label(0), 4);
        assert!((pixels[0] - (255.0 - 8.5) / deviation).abs() < 1e-4);
    }

    #[test]
    fn augmentation_is_for_training_images_that_are_drawn() {
        let (_folder, data) = folder();
        let data = Idx { crop_padding: 1, ..data }.load().unwrap();
        let drawn = |draw| {
            let mut pixels = [0.0; 6];
            data.train.image(1, draw, &mut pixels).unwrap();
            pixels
        };
        assert!((0..50).any(|draw| drawn(Some(draw)) != drawn(None)));
        assert!((0..50).any(|draw| drawn(Some(draw)) == drawn(None)), "one place of nine is the image itself");
    }

    #[test]
    fn limits_take_the_first_and_keep_the_classes() {
        let (_folder, data) = folder();
        let data = Idx { limit: 2, test_limit: 1, ..data }.load().unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (2, 1, 5));
        let (_folder, data) = folder();
        assert_eq!(Idx { limit: 99, ..data }.load().unwrap().train.len(), 3);
    }

    #[test]
    fn gzipped_files_will_do() {
        let (folder, data) = folder();
        for name in [&data.train_images, &data.test_labels] {
            let plain = folder.path().join(name);
            let zipped = fs::File::create(format!("{}.gz", plain.display())).unwrap();
            let mut encoder = GzEncoder::new(zipped, Compression::default());
            encoder.write_all(&fs::read(&plain).unwrap()).unwrap();
            encoder.finish().unwrap();
            fs::remove_file(plain).unwrap();
        }
        let data = data.load().unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (3, 2, 5));
    }

    /// 4 GiB of zeros take 4 MB gzipped.
    #[test]
    fn gzipped_files_are_unpacked_as_far_as_their_header_says() {
        let (folder, data) = folder();
        fs::remove_file(folder.path().join(&data.train_images)).unwrap();
        let write = |sizes: &[u32], items: &[u8]| {
            let zipped = folder.path().join(format!("{}.gz", data.train_images.display()));
            let mut encoder = GzEncoder::new(fs::File::create(zipped).unwrap(), Compression::best());
            encoder.write_all(&idx(IMAGES, sizes, items)).unwrap();
            encoder.finish().unwrap();
            error(&data)
        };
        let longer = write(&[3, 2, 3], &[0; 1 << 20]);
        assert!(
            longer.ends_with("images-idx3-ubyte.gz: it is longer than its header and 3x2x3 items, 34 bytes"),
            "{longer}"
        );
        let shorter = write(&[3, 2, 3], &[0; 17]);
        assert!(shorter.ends_with("it is 33 bytes long; 3x2x3 items and the header are 34"), "{shorter}");
        let large = write(&[1 << 20, 1 << 10, 1 << 10], &[0; 17]);
        assert!(
            large.ends_with("its header says 1048576x1024x1024 items, more than the 8 GiB that are read"),
            "{large}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused() {
        let (folder, data) = folder();
        let path = folder.path().join(&data.test_labels);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(
            error(&data).contains("t10k-labels-idx1-ubyte: it is not a regular file but a pipe, a socket or a device")
        );
    }

    #[test]
    fn a_missing_folder_says_what_to_install() {
        let missing = error(&Idx { folder: "/nowhere".into(), ..Idx::default() });
        assert!(missing.starts_with("cannot read /nowhere/train-images-idx3-ubyte: "), "{missing}");
        assert!(missing.contains("`apt install dataset-fashion-mnist` or set the option `folder`"), "{missing}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let (folder, data) = folder();
        fs::remove_file(folder.path().join(&data.test_images)).unwrap();
        let missing = error(&data);
        assert!(missing.contains("t10k-images-idx3-ubyte: ") && missing.contains("with or without .gz"), "{missing}");
    }

    #[test]
    fn truncated_files_are_refused() {
        let (folder, data) = folder();
        let path = folder.path().join(&data.train_images);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..33]).unwrap();
        assert!(error(&data).ends_with("it is 33 bytes long; 3x2x3 items and the header are 34"));
        fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert!(error(&data).ends_with("it is 35 bytes long; 3x2x3 items and the header are 34"));
        for length in [0, 3, 15] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(error(&data).ends_with(&format!("{length} bytes are too short for its header of 16")));
        }
        fs::write(&path, idx(IMAGES, &[u32::MAX; 3], &[])).unwrap();
        assert!(error(&data).ends_with("the header are more than any file"));
    }

    #[test]
    fn foreign_files_are_refused() {
        let (_folder, data) = folder();
        let swapped = Idx { train_images: data.train_labels.clone(), ..data.clone() };
        assert!(error(&swapped).ends_with("its magic number is 0x00000801 instead of 0x00000803"));
        fs::write(data.folder.join("broken.gz"), "this is no gzip file").unwrap();
        let broken = error(&Idx { train_images: "broken".into(), ..data });
        assert!(broken.starts_with("cannot read ") && broken.contains("broken.gz: "), "{broken}");
    }

    #[test]
    fn counts_and_sizes_must_match() {
        let (folder, data) = folder();
        let write = |name: &Path, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write(&data.test_images, idx(IMAGES, &[2, 3, 3], &[0; 18]));
        assert!(error(&data).ends_with("images are 1x3x3, those for training 1x2x3"));
        write(&data.train_labels, idx(LABELS, &[4], &[0; 4]));
        let mismatch = error(&data);
        assert!(mismatch.contains("train-labels-idx1-ubyte: 4 labels for the 3 images of "), "{mismatch}");
        write(&data.train_images, idx(IMAGES, &[0, 2, 3], &[]));
        write(&data.train_labels, idx(LABELS, &[0], &[]));
        assert!(error(&data).ends_with("it holds no images"));
        write(&data.train_images, idx(IMAGES, &[3, 0, 3], &[]));
        write(&data.train_labels, idx(LABELS, &[3], &[0; 3]));
        assert!(error(&data).ends_with("height must be at least 1, got 0"));
    }
}

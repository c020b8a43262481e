//! Photographs in folders, as ImageNet is laid out for PyTorch: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`.
//!
//! A class is a folder in `train`; classes are numbered in the order of their names, and may have subfolders. The
//! images are those that torchvision's `ImageFolder` would read, in the same order; files that are left out are
//! reported. Images may be JPEG, PNG, WebP, BMP, PPM or TIFF, whatever their extension, and are converted to RGB as by
//! Pillow's `convert("RGB")`; as there, the orientation is applied for TIFF but not for EXIF data of photographs, and
//! 16-bit grey values above 255 become white. Training images are cropped and resized at random (Szegedy et al., CVPR
//! 2015): 8 to 100 % of the area, aspect ratios 3:4 to 4:3, mirrored with probability 1/2. For evaluation the shorter
//! side is resized to `resize` and the centre is cropped. These are torchvision's `RandomResizedCrop`,
//! `RandomHorizontalFlip`, `Resize`, `CenterCrop` on Pillow's images, with the bilinear arithmetic of Pillow before
//! version 13.
//!
//! Images are decoded when they are needed. A run records the hash of their names and sizes in bytes.

use super::files;
use limpq_core::graph::Shape;
use limpq_core::store::hash;
use limpq_core::train::{Data, Dataset, DatasetError, Samples};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

mod crop;
mod decode;
mod list;
mod resize;

use crop::View;
use list::{Image, Others};

/// Where the images are and how they are preprocessed.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFolder {
    /// Folder that contains `train` and `val`.
    pub folder: PathBuf,
    /// Training images: one folder per class.
    pub train: PathBuf,
    /// Test images: the same classes.
    pub val: PathBuf,
    /// Height and width of the input.
    pub size: NonZeroU32,
    /// Length of the shorter side for evaluation, before the centre is cropped.
    pub resize: NonZeroU32,
    /// Mean of red, green and blue, on a scale from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, on the same scale.
    pub deviation: [f32; 3],
    /// Use only this many training images per class, the first ones; 0 is all.
    pub limit: usize,
    /// Use only this many test images per class, the first ones; 0 is all.
    pub val_limit: usize,
    /// What to do about an image that cannot be decoded: "stop", or "skip" to leave it out and report it.
    pub unreadable: Unreadable,
    /// Largest number of pixels of an image, which bounds the memory: 3 to 12 bytes per pixel and worker. The default
    /// is Pillow's limit against decompression bombs.
    pub max_pixels: NonZeroU64,
}

/// What to do about an image that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// End with an error that names the file.
    #[default]
    Stop,
    /// Leave it out and report it once.
    Skip,
}

impl Default for ImageFolder {
    fn default() -> Self {
        Self {
            folder: "imagenet".into(),
            train: "train".into(),
            val: "val".into(),
            size: const { NonZeroU32::new(224).expect("not 0") },
            resize: const { NonZeroU32::new(256).expect("not 0") },
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
            limit: 0,
            val_limit: 0,
            unreadable: Unreadable::Stop,
            max_pixels: const { NonZeroU64::new(2 * 89_478_485).expect("not 0") },
        }
    }
}

limpq_core::plugin!(
    Dataset,
    "image_folder",
    "ImageNet and others: one folder of photographs for each class",
    ImageFolder
);

impl Dataset for ImageFolder {
    fn load(&self) -> Result<Data, DatasetError> {
        let option = |name: &str, why: String| DatasetError::Content { path: format!("[dataset] {name}"), why };
        let (size, resize) = (self.size.get() as usize, self.resize.get() as usize);
        if resize < size {
            return Err(option("resize", format!("must be at least size, {size}, to crop it; got {resize}")));
        }
        if let Some(bad) = self.deviation.iter().find(|deviation| !(deviation.is_finite() && **deviation > 0.0)) {
            return Err(option("deviation", format!("must be positive numbers, got {bad}")));
        }
        let shape = Shape::new(3, size, size).map_err(|error| option("size", error.to_string()))?;
        let (train_root, val_root) = (self.folder.join(&self.train), self.folder.join(&self.val));
        let (mut of_train, mut of_val) = (Others::default(), Others::default());
        let classes = list::classes(&train_root, &mut of_train)?;
        let train = list::images(&train_root, &classes, self.limit, &mut of_train)?;
        let below = list::classes(&val_root, &mut of_val)?;
        if let Some(unknown) = below.iter().find(|class| classes.binary_search(class).is_err()) {
            let path = val_root.join(unknown).display().to_string();
            let why = format!("there is no such class in {}; both must have the same classes", train_root.display());
            return Err(DatasetError::Content { path, why });
        }
        if let Some(missing) = classes.iter().find(|class| below.binary_search(class).is_err()) {
            let path = val_root.join(missing).display().to_string();
            let why = format!("this class of {} is missing; both must have the same classes", train_root.display());
            return Err(DatasetError::Content { path, why });
        }
        let val = list::images(&val_root, &classes, self.val_limit, &mut of_val)?;
        let samples = |root: PathBuf, images| {
            let normal = normal(self.mean, self.deviation);
            let (classes, unreadable) = (classes.clone(), self.unreadable);
            let (most, left_out) = (self.max_pixels.get(), Mutex::default());
            Arc::new(Photographs { root, classes, images, size, resize, normal, unreadable, most, left_out })
        };
        let (train, test) = (samples(train_root, train), samples(val_root, val));
        let remarks = [of_train.remarks(), of_val.remarks(), train.deep_greys(), test.deep_greys()].concat();
        Ok(Data { shape, classes: classes.len(), train, validation: None, test, remarks })
    }
}

/// The normalised value of each byte in each channel, computed in torchvision's order.
fn normal(mean: [f32; 3], deviation: [f32; 3]) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean[channel]) / deviation[channel])
    })
}

/// Width, height and RGB bytes of an image file of any supported format, with at most `most` pixels.
///
/// # Errors
/// What is wrong with the file.
pub fn decode_image(bytes: &[u8], max_pixels: u64) -> Result<(usize, usize, Vec<u8>), String> {
    let picture = decode::rgb(bytes, max_pixels)?;
    Ok((picture.width, picture.height, picture.pixels))
}

/// Images on disk.
struct Photographs {
    root: PathBuf,
    /// Names of the classes, sorted.
    classes: Vec<String>,
    images: Vec<Image>,
    size: usize,
    resize: usize,
    normal: [[f32; 256]; 3],
    unreadable: Unreadable,
    /// Largest number of pixels of an image.
    most: u64,
    left_out: Mutex<LeftOut>,
}

/// Images that cannot be decoded and are left out.
#[derive(Default)]
struct LeftOut {
    known: BTreeSet<usize>,
    /// Remarks that have not been reported yet.
    untold: Vec<String>,
}

impl Photographs {
    fn path(&self, index: usize) -> PathBuf {
        let Image { class, name, .. } = &self.images[index];
        self.root.join(&self.classes[*class as usize]).join(name)
    }

    /// The bytes of an image file, at most eight per pixel.
    fn bytes(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        files::read(path, self.most.saturating_mul(8).saturating_add(1 << 20))
    }

    /// A remark if images have 16-bit grey values, as depth maps and X-ray images do. In a large set only some are
    /// examined.
    fn deep_greys(&self) -> Vec<String> {
        const LOOKED_AT: usize = 1000;
        let step = self.images.len().div_ceil(LOOKED_AT).max(1);
        let looked_at = self.images.len().div_ceil(step);
        let is_deep = |path: &PathBuf| {
            let may_be = path
                .extension()
                .is_some_and(|end| !["jpg", "jpeg", "webp", "bmp"].iter().any(|no| end.eq_ignore_ascii_case(no)));
            may_be && self.bytes(path).is_ok_and(|bytes| decode::deep_grey(&bytes))
        };
        let mut deep = (0..self.images.len()).step_by(step).map(|index| self.path(index)).filter(is_deep);
        let Some(first) = deep.next() else { return vec![] };
        let (count, first) = (1 + deep.count(), first.display());
        vec![format!(
            "{count} of {looked_at} images looked at hold grey of more than 8 bits; as with Pillow's convert(\"RGB\"), and so \
             torchvision, every value above 255 becomes white. Store them with 8 bits. The first: {first}"
        )]
    }

    /// Stops with an error, or leaves a remark the first time.
    fn undecodable(&self, index: usize, path: &Path, why: String) -> DatasetError {
        let path = path.display().to_string();
        match self.unreadable {
            Unreadable::Stop => {
                let why = format!("{why}; replace or remove it, or set unreadable = \"skip\" in [dataset]");
                DatasetError::Content { path, why }
            }
            Unreadable::Skip => {
                let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
                if left_out.known.insert(index) {
                    left_out.untold.push(format!("{path} is left out: {why}"));
                }
                DatasetError::LeftOut { path, why }
            }
        }
    }
}

impl Samples for Photographs {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> usize {
        self.images[index].class as usize
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        let path = self.path(index);
        let bytes = self.bytes(&path).map_err(|error| list::unreadable(&path, error))?;
        let picture = decode::rgb(&bytes, self.most).map_err(|why| self.undecodable(index, &path, why))?;
        let View { picture, flip } = match draw {
            Some(draw) => crop::random(&picture, self.size, draw),
            None => crop::middle(&picture, self.resize, self.size),
        };
        let plane = self.size * self.size;
        for (row, line) in picture.pixels.as_chunks::<3>().0.chunks(self.size).enumerate() {
            for (column, pixel) in line.iter().enumerate() {
                let column = if flip { self.size - 1 - column } else { column };
                for (channel, &byte) in pixel.iter().enumerate() {
                    pixels[channel * plane + row * self.size + column] = self.normal[channel][usize::from(byte)];
                }
            }
        }
        Ok(())
    }

    fn remarks(&self) -> Vec<String> {
        std::mem::take(&mut self.left_out.lock().unwrap_or_else(PoisonError::into_inner).untold)
    }

    fn identity(&self, _: usize) -> Result<String, DatasetError> {
        let list = self.images.iter().map(|Image { class, name, bytes }| {
            format!("{}/{} {bytes}\n", self.classes[*class as usize], name.display())
        });
        let options = format!("{} {} {:?} {:?}\n", self.size, self.resize, self.normal, self.unreadable);
        Ok(hash::of_bytes((options + &list.collect::<String>()).as_bytes()))
    }
}

#[cfg(test)]
mod tests;

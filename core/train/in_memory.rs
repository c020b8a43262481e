//! Images held in memory as bytes; normalised, and optionally augmented, when they are read.

use super::{DatasetError, Samples};
use crate::{graph::Shape, store::hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Random augmentation of small training images (He et al., CVPR 2016, section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Black pixels added around the image, from which a random crop of the original size is taken.
    pub crop_padding: u16,
    /// Whether images are mirrored horizontally, with probability 1/2.
    pub flip: bool,
}

/// Grey or colour images held in memory as bytes.
pub struct InMemory {
    /// Shape of every image.
    pub shape: Shape,
    /// Pixels of all images, in image, channel, row, column order.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
    /// Mean of the training images per channel, in pixel units.
    pub mean: Vec<f32>,
    /// Standard deviation of the training images per channel, in pixel units.
    pub deviation: Vec<f32>,
    /// Augmentation in training.
    pub augment: Augment,
}

impl Samples for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        let Shape { height, width, .. } = self.shape;
        let size = self.shape.elements();
        let image = &self.pixels[index * size..(index + 1) * size];
        let Place { down, right, flip } = draw.map_or(Place::default(), |draw| self.augment.place(draw));
        let planes = image.chunks(height * width).zip(pixels.chunks_mut(height * width));
        for ((plane, out), (mean, deviation)) in planes.zip(self.mean.iter().zip(&self.deviation)) {
            let normal = |pixel: u8| (f32::from(pixel) - mean) / deviation;
            for (row, out) in out.chunks_mut(width).enumerate() {
                let Some(row) = row.checked_add_signed(down).filter(|&row| row < height) else {
                    out.fill(normal(0));
                    continue;
                };
                let row = &plane[row * width..(row + 1) * width];
                for (column, out) in out.iter_mut().enumerate() {
                    let column = if flip { width - 1 - column } else { column };
                    let from = column.checked_add_signed(right).and_then(|column| row.get(column));
                    *out = normal(from.copied().unwrap_or(0));
                }
            }
        }
        Ok(())
    }

    fn identity(&self, _: usize) -> Result<String, DatasetError> {
        let mut digest = Sha256::new();
        digest.update(format!("{} {:?} {:?} {:?}", self.shape, self.mean, self.deviation, self.augment));
        digest.update(&self.labels);
        digest.update(&self.pixels);
        Ok(hash::hex(&digest.finalize()))
    }
}

/// Position of the crop, relative to the unpadded image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    down: isize,
    right: isize,
    flip: bool,
}

impl Augment {
    fn place(self, draw: u64) -> Place {
        let mut random = ChaCha8Rng::seed_from_u64(draw);
        let padding = i64::from(self.crop_padding);
        let mut shift = || random.random_range(-padding..=padding) as isize;
        let (down, right) = (shift(), shift());
        Place { down, right, flip: self.flip && random.random() }
    }
}

/// Mean and standard deviation per channel of concatenated images; the deviation is never 0.
pub fn mean_and_deviation(pixels: &[u8], shape: Shape) -> (Vec<f32>, Vec<f32>) {
    let plane = shape.height * shape.width;
    let channel = |channel: usize| {
        let values = || pixels.chunks(plane).skip(channel).step_by(shape.channels).flatten().map(|&p| f64::from(p));
        let count = (pixels.len() / shape.channels).max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        (mean as f32, (variance.sqrt() as f32).max(1e-6))
    };
    (0..shape.channels).map(channel).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One image of two channels: 1..=6 and ten times that, not normalised.
    fn image(augment: Augment) -> InMemory {
        let shape = Shape::new(2, 2, 3).unwrap();
        let pixels = (1..=6).chain((1..=6).map(|p| 10 * p)).collect();
        InMemory { shape, pixels, labels: vec![7], mean: vec![0.0; 2], deviation: vec![1.0, 10.0], augment }
    }

    fn drawn(samples: &InMemory, draw: Option<u64>) -> Vec<f32> {
        let mut pixels = vec![f32::NAN; 12];
        samples.image(0, draw, &mut pixels).unwrap();
        pixels
    }

    #[test]
    fn channels_are_normalised_apart() {
        // Channel 0: 0, 2 and 4, 6; channel 1: always 5.
        let shape = Shape::new(2, 1, 2).unwrap();
        let (mean, deviation) = mean_and_deviation(&[0, 2, 5, 5, 4, 6, 5, 5], shape);
        assert_eq!((mean, deviation), (vec![3.0, 5.0], vec![5f32.sqrt(), 1e-6]));
        let plain = drawn(&image(Augment::default()), None);
        assert_eq!(plain, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].repeat(2));
        assert_eq!(drawn(&image(Augment::default()), Some(3)), plain, "without options nothing is changed");
    }

    #[test]
    fn crops_are_of_the_black_padded_image_and_flips_mirror() {
        let augment = Augment { crop_padding: 1, flip: true };
        let samples = image(augment);
        let plain = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(drawn(&samples, None)[..6], plain, "evaluation changes nothing");
        let mut seen = std::collections::BTreeSet::new();
        for draw in 0..400 {
            let Place { down, right, flip } = augment.place(draw);
            seen.insert((down, right, flip));
            let expected: Vec<f32> = (0..6)
                .map(|at| {
                    let (row, column) = (at / 3, if flip { 2 - at % 3 } else { at % 3 });
                    let (row, column) = (row as isize + down, column as isize + right);
                    let inside = (0..2).contains(&row) && (0..3).contains(&column);
                    if inside { plain[(row * 3 + column) as usize] } else { 0.0 }
                })
                .collect();
            let found = drawn(&samples, Some(draw));
            assert_eq!(found[..6], expected, "{down} {right} {flip}");
            assert_eq!(found[6..], expected, "both channels are changed alike");
        }
        assert_eq!(seen.len(), 3 * 3 * 2, "every place and both directions turn up");
        assert_eq!(augment.place(5), augment.place(5));
    }

    #[test]
    fn the_identity_depends_on_pixels_labels_and_options() {
        let of = |change: &dyn Fn(&mut InMemory)| {
            let mut samples = image(Augment::default());
            change(&mut samples);
            samples.identity(12).unwrap()
        };
        let plain = of(&|_| {});
        assert_eq!(of(&|_| {}), plain);
        for other in [of(&|s| s.pixels[3] = 0), of(&|s| s.labels[0] = 0), of(&|s| s.augment.flip = true)] {
            assert_ne!(other, plain);
        }
    }
}

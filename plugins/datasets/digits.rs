//! Handwritten digits (Alpaydin and Kaynak, UCI Machine Learning Repository, 1998; CC BY 4.0): 1797 grey images of 8x8
//! pixels with values 0 to 16, ten classes. Small enough to be part of the program, so that a first run needs no
//! download.
//!
//! This is the test set of "Optical Recognition of Handwritten Digits" (<https://archive.ics.uci.edu/dataset/80>),
//! written by other people than its training set. It is split here, so accuracies are not comparable to those published
//! for the original split: within each class, in file order, every fifth image (the 5th, 10th, ...) is a test image,
//! the others are training images. Pixels are normalised by mean and standard deviation of the training images.

use flate2::read::GzDecoder;
use limpq_core::graph::Shape;
use limpq_core::train::{Augment, Data, Dataset, DatasetError, InMemory, mean_and_deviation};
use serde::{Deserialize, Serialize};
use std::{io::Read, sync::Arc};

/// One line per image: 64 pixels, then the class. See digits.LICENSE.md.
const FILE: &[u8] = include_bytes!("digits.csv.gz");
const NAME: &str = "digits.csv.gz";
const SHAPE: Shape = Shape { channels: 1, height: 8, width: 8 };
const CLASSES: usize = 10;
/// Every fifth image of a class is a test image.
const TEST_EVERY: usize = 5;

/// The digits have no options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Digits {}

limpq_core::plugin!(Dataset, "digits", "1797 handwritten digits of 8x8 pixels, part of the program", Digits);

impl Dataset for Digits {
    fn load(&self) -> Result<Data, DatasetError> {
        let mut text = String::new();
        let read = GzDecoder::new(FILE).read_to_string(&mut text);
        read.map_err(|error| DatasetError::Read { path: NAME.to_owned(), error, hint: String::new() })?;
        let mut seen = [0; CLASSES];
        let (mut train, mut test) = ((vec![], vec![]), (vec![], vec![]));
        for (line, image) in text.lines().enumerate() {
            let (pixels, label) = image_of(line, image)?;
            seen[usize::from(label)] += 1;
            let part = if seen[usize::from(label)] % TEST_EVERY == 0 { &mut test } else { &mut train };
            part.0.extend(pixels);
            part.1.push(label);
        }
        let (mean, deviation) = mean_and_deviation(&train.0, SHAPE);
        let samples = |(pixels, labels)| {
            let (mean, deviation, augment) = (mean.clone(), deviation.clone(), Augment::default());
            Arc::new(InMemory { shape: SHAPE, pixels, labels, mean, deviation, augment })
        };
        Ok(Data {
            shape: SHAPE,
            classes: CLASSES,
            train: samples(train),
            validation: None,
            test: samples(test),
            remarks: vec![],
        })
    }
}

fn image_of(line: usize, image: &str) -> Result<(Vec<u8>, u8), DatasetError> {
    let wrong = |why: &str| DatasetError::Content { path: NAME.to_owned(), why: format!("line {}: {why}", line + 1) };
    let numbers: Result<Vec<u8>, _> = image.split(',').map(str::parse).collect();
    let mut pixels = numbers.map_err(|_| wrong("not a list of numbers from 0 to 255"))?;
    if pixels.len() != SHAPE.elements() + 1 {
        return Err(wrong(&format!("{} numbers instead of 64 pixels and a class", pixels.len())));
    }
    match pixels.pop() {
        Some(label) if usize::from(label) < CLASSES => Ok((pixels, label)),
        label => Err(wrong(&format!("class {label:?} instead of 0 to 9"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::train::Samples;

    fn labels(samples: &dyn Samples) -> Vec<usize> {
        (0..samples.len()).map(|index| samples.label(index)).collect()
    }

    #[test]
    fn a_fifth_of_each_class_is_for_testing() {
        let data = Digits::default().load().unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (1442, 355, 10));
        let (train, test) = (labels(&*data.train), labels(&*data.test));
        for class in 0..CLASSES {
            let count = |labels: &[usize]| labels.iter().filter(|&&label| label == class).count();
            let all = count(&train) + count(&test);
            assert!((174..=183).contains(&all) && count(&test) == all / TEST_EVERY, "class {class}");
        }
    }

    #[test]
    fn the_first_image_is_a_nought() {
        let first = [
            [0, 0, 5, 13, 9, 1, 0, 0],
            [0, 0, 13, 15, 10, 15, 5, 0],
            [0, 3, 15, 2, 0, 11, 8, 0],
            [0, 4, 12, 0, 0, 8, 8, 0],
            [0, 5, 8, 0, 0, 9, 8, 0],
            [0, 4, 11, 0, 1, 12, 7, 0],
            [0, 2, 14, 5, 10, 12, 0, 0],
            [0, 0, 6, 13, 10, 0, 0, 0],
        ];
        let data = Digits::default().load().unwrap();
        let mut pixels = [0.0; 64];
        data.train.image(0, None, &mut pixels).unwrap();
        assert_eq!(data.train.label(0), 0);
        // Normalising is affine: two known pixels give mean and deviation, which must explain the others.
        let deviation = 15.0 / (pixels[11] - pixels[0]);
        for (&found, &expected) in pixels.iter().zip(first.as_flattened()) {
            assert!(((found - pixels[0]) * deviation - expected as f32).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn training_pixels_have_mean_0_and_deviation_1() {
        let data = Digits::default().load().unwrap();
        let mut pixels = [0.0; 64];
        let (mut sum, mut squares) = (0.0, 0.0);
        for index in 0..data.train.len() {
            data.train.image(index, None, &mut pixels).unwrap();
            sum += pixels.iter().map(|&p| f64::from(p)).sum::<f64>();
            squares += pixels.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>();
        }
        let count = (data.train.len() * 64) as f64;
        assert!((sum / count).abs() < 1e-5 && (squares / count - 1.0).abs() < 1e-5);
    }

    #[test]
    fn wrong_lines_are_named() {
        let error = |line: &str| image_of(6, line).unwrap_err().to_string();
        assert_eq!(error("1,2,3"), "digits.csv.gz: line 7: 3 numbers instead of 64 pixels and a class");
        assert_eq!(error("1,x"), "digits.csv.gz: line 7: not a list of numbers from 0 to 255");
    }
}

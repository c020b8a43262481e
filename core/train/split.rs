//! Subsets of a training set: some images held out for validation, some unused, stratified by class.

use super::{Data, DatasetError, Samples, default_workers};
use crate::store::hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

/// How a data set's training images are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Fraction of each class that is held out, to choose between epochs.
    pub validation: f64,
    /// Fraction of the rest of each class that is trained on.
    pub fraction: f64,
    /// Threads that read and decode images; 0 is as many as the machine has. Results do not depend on it.
    pub workers: usize,
}

impl Default for Split {
    fn default() -> Self {
        Self { validation: 0.0, fraction: 1.0, workers: 0 }
    }
}

impl Split {
    /// The first invalid value, as (key, reason).
    pub fn fault(&self) -> Option<(&'static str, String)> {
        if !(0.0..1.0).contains(&self.validation) {
            return Some(("validation", format!("must be in 0..1, got {}", self.validation)));
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Some(("fraction", format!("must be above 0 and at most 1, got {}", self.fraction)));
        }
        None
    }

    /// Number of threads that read and decode images.
    pub fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.workers).unwrap_or_else(default_workers)
    }

    /// The data with its training images split; the same for the same seed.
    ///
    /// # Errors
    /// A class of which no image would be left to train on.
    pub fn divide(&self, data: Data, seed: u64) -> Result<Data, DatasetError> {
        divided(data, (self.validation, self.fraction), seed, "[split]")
    }
}

impl Data {
    /// The data with a fraction of the training images of each class, for the stage of that name; the same for the same
    /// seed.
    ///
    /// # Errors
    /// A class of which no image would be left to train on.
    pub fn part(&self, fraction: f64, seed: u64, stage: &str) -> Result<Self, DatasetError> {
        let part = divided(self.clone(), (0.0, fraction), seed, &format!("[{stage}]"))?;
        Ok(Self { validation: self.validation.clone(), ..part })
    }
}

/// The data with a fraction of each class's training images held out, and a fraction of the rest left to train on.
fn divided(data: Data, (validation, fraction): (f64, f64), seed: u64, section: &str) -> Result<Data, DatasetError> {
    if validation == 0.0 && fraction == 1.0 {
        return Ok(data);
    }
    let mut classes = BTreeMap::<usize, Vec<usize>>::new();
    for index in 0..data.train.len() {
        classes.entry(data.train.label(index)).or_default().push(index);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut train, mut held_out) = (vec![], vec![]);
    for (class, mut images) in classes {
        images.shuffle(&mut random);
        let all = images.len();
        let held = (all as f64 * validation).round() as usize;
        let used = ((all - held) as f64 * fraction).round() as usize;
        if used == 0 {
            let why = format!(
                "no image of class {class} is left to train on: there are {all}, and validation = {validation} and \
                 fraction = {fraction} leave none"
            );
            return Err(DatasetError::Content { path: section.to_owned(), why });
        }
        held_out.extend_from_slice(&images[..held]);
        train.extend_from_slice(&images[held..held + used]);
    }
    let part = |mut places: Vec<usize>| {
        places.sort_unstable();
        Arc::new(Part { of: data.train.clone(), places })
    };
    let held_out = (!held_out.is_empty()).then(|| part(held_out) as Arc<dyn Samples>);
    Ok(Data { train: part(train), validation: held_out, ..data })
}

/// A subset of the images of a set.
struct Part {
    of: Arc<dyn Samples>,
    places: Vec<usize>,
}

impl Samples for Part {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn label(&self, index: usize) -> usize {
        self.of.label(self.places[index])
    }

    fn image(&self, index: usize, draw: Option<u64>, pixels: &mut [f32]) -> Result<(), DatasetError> {
        self.of.image(self.places[index], draw, pixels)
    }

    fn remarks(&self) -> Vec<String> {
        self.of.remarks()
    }

    fn identity(&self, elements: usize) -> Result<String, DatasetError> {
        Ok(hash::of_bytes(format!("{} {:?}", self.of.identity(elements)?, self.places).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Shape,
        train::{Augment, InMemory},
    };

    /// Twenty images of class 0 and ten of class 1; an image's one pixel is its place.
    fn data() -> Data {
        let shape = Shape::new(1, 1, 1).unwrap();
        let labels = [[0; 20].as_slice(), &[1; 10]].concat();
        let (mean, deviation, augment) = (vec![0.0], vec![1.0], Augment::default());
        let train = Arc::new(InMemory { shape, pixels: (0..30).collect(), labels, mean, deviation, augment });
        Data { shape, classes: 2, train: train.clone(), validation: None, test: train, remarks: vec![] }
    }

    fn places(samples: &dyn Samples) -> Vec<usize> {
        let mut pixel = [0.0];
        (0..samples.len())
            .map(|index| {
                samples.image(index, None, &mut pixel).unwrap();
                pixel[0] as usize
            })
            .collect()
    }

    #[test]
    fn classes_keep_their_proportion_and_no_image_is_in_two_parts() {
        let split = Split { validation: 0.2, fraction: 0.5, workers: 0 };
        let divided = split.divide(data(), 1).unwrap();
        let (train, held) = (places(&*divided.train), places(&**divided.validation.as_ref().unwrap()));
        let of_first = |places: &[usize]| places.iter().filter(|&&place| place < 20).count();
        assert_eq!((train.len(), of_first(&train), held.len(), of_first(&held)), (12, 8, 6, 4));
        assert!(held.iter().all(|place| !train.contains(place)));
        assert_eq!(divided.test.len(), 30, "the test set is whole");
        assert_eq!(places(&*split.divide(data(), 1).unwrap().train), train, "the same seed, the same parts");
        let other = split.divide(data(), 2).unwrap();
        assert_ne!(places(&*other.train), train);
        let identity = |samples: &dyn Samples| samples.identity(1).unwrap();
        assert_ne!(identity(&*other.train), identity(&*divided.train), "other images are other data");
        assert_eq!(divided.train.label(0), 0);
        assert_eq!(divided.train.label(11), 1);
    }

    #[test]
    fn the_held_out_part_does_not_depend_on_how_much_is_trained_on() {
        let held = |fraction| {
            let divided = Split { validation: 0.2, fraction, workers: 0 }.divide(data(), 1).unwrap();
            places(&**divided.validation.as_ref().unwrap())
        };
        assert_eq!(held(1.0), held(0.25));
    }

    #[test]
    fn a_stage_trains_on_a_part_of_its_own_and_the_held_out_images_stay() {
        let split = Split { validation: 0.2, fraction: 1.0, workers: 0 }.divide(data(), 1).unwrap();
        let half = split.part(0.5, 1, "indicators").unwrap();
        let (all, train) = (places(&*split.train), places(&*half.train));
        // Half of 16 and of 8.
        assert_eq!((train.len(), train.iter().filter(|&&place| place < 20).count()), (12, 8));
        assert!(train.iter().all(|place| all.contains(place)));
        assert_eq!(places(&**half.validation.as_ref().unwrap()), places(&**split.validation.as_ref().unwrap()));
        assert_eq!(places(&*split.part(0.5, 1, "indicators").unwrap().train), train);
        assert_eq!(places(&*split.part(1.0, 1, "indicators").unwrap().train), all);
        let error = split.part(0.01, 1, "indicators").err().unwrap().to_string();
        assert!(error.starts_with("[indicators]: no image of class 0 is left to train on: there are 16"), "{error}");
    }

    #[test]
    fn a_class_without_images_is_refused() {
        let error = Split { validation: 0.0, fraction: 0.04, workers: 0 }.divide(data(), 1).err().unwrap().to_string();
        assert!(error.starts_with("[split]: no image of class 1 is left to train on: there are 10"), "{error}");
        assert_eq!(Split { validation: 1.0, fraction: 1.0, workers: 0 }.fault().unwrap().0, "validation");
        assert_eq!(Split { validation: 0.0, fraction: 0.0, workers: 0 }.fault().unwrap().0, "fraction");
    }
}

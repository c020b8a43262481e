//! Sliced mutual information between activations and classes (Goldfeld and Greenewald, NeurIPS 2021), estimated from
//! histograms, for `infoq` and `mutual_information_drop`.
//!
//! ```text
//! SI(X; C) = mean over directions u of I(u.X; C)
//! I(t; C)  = sum over bins k and classes c of p(k,c) ln( p(k,c) / (p(k) p(c)) )
//! ```
//!
//! X are activations, one row per image; u are random unit vectors, the same for every measurement at one place of the
//! network (the paper slices both variables; classes need no slicing). Bins hold equally many images; equal values
//! share a bin. The estimate has a bias of about +(bins - 1)(classes - 1)/(2 images) nats.

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, RngExt};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// Estimates the information of activations about the classes.
pub(super) struct SlicedInformation<R> {
    labels: Vec<usize>,
    classes: usize,
    projections: usize,
    bins: usize,
    random: R,
    /// Unit vectors as columns, by place in the network.
    directions: BTreeMap<usize, Tensor<2>>,
}

impl<R: Rng> SlicedInformation<R> {
    /// For images of these classes; directions are drawn from `random` when they are needed.
    pub(super) fn new(
        labels: Vec<usize>,
        classes: usize,
        projections: NonZeroUsize,
        bins: NonZeroUsize,
        random: R,
    ) -> Self {
        Self { labels, classes, projections: projections.get(), bins: bins.get(), random, directions: BTreeMap::new() }
    }

    /// Information in nats of activations `[images, features]` that are always measured at the same place. NaN if one
    /// of them is not finite, since binning would hide it.
    pub(super) fn of(&mut self, place: usize, values: Tensor<2>) -> f64 {
        let [images, features] = values.dims();
        let count = self.projections;
        let (random, device) = (&mut self.random, values.device());
        let directions = self.directions.entry(place).or_insert_with(|| {
            // Uniform instead of normal values: the sum over many features is close to normal in both cases.
            let drawn: Vec<f32> = (0..features * count).map(|_| random.random_range(-1.0f32..1.0)).collect();
            let drawn = Tensor::<2>::from_data(TensorData::new(drawn, [features, count]), &device);
            let lengths = drawn.clone().square().sum_dim(0).sqrt().clamp_min(1e-12);
            drawn / lengths
        });
        let projected = values.matmul(directions.clone()).transpose().into_data();
        let projected: Vec<f32> = projected.try_to_vec().expect("networks hold 32-bit floats");
        if projected.iter().any(|value| !value.is_finite()) {
            return f64::NAN;
        }
        let information = projected.chunks(images).map(|values| {
            let bins = bins(values, self.bins);
            information(&bins, &self.labels, self.bins, self.classes)
        });
        information.sum::<f64>() / count as f64
    }
}

/// The bin of each value: its rank times `bins` over the number of values. Equal values have the lowest rank of them.
fn bins(values: &[f32], bins: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut found = vec![0; values.len()];
    let mut first = 0;
    for (rank, &place) in order.iter().enumerate() {
        if values[place] != values[order[first]] {
            first = rank;
        }
        found[place] = first * bins / values.len();
    }
    found
}

/// Mutual information of bins and classes in nats, from their joint histogram.
fn information(bins: &[usize], labels: &[usize], bin_count: usize, classes: usize) -> f64 {
    let mut counts = vec![vec![0f64; classes]; bin_count];
    for (&bin, &label) in bins.iter().zip(labels) {
        counts[bin][label] += 1.0;
    }
    let total = bins.len() as f64;
    let of_class: Vec<f64> = (0..classes).map(|class| counts.iter().map(|row| row[class]).sum()).collect();
    let mut sum = 0.0;
    for row in &counts {
        let of_bin: f64 = row.iter().sum();
        for (&count, of_class) in row.iter().zip(&of_class).filter(|(count, _)| **count > 0.0) {
            sum += count / total * (count * total / (of_bin * of_class)).ln();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::worked::near;
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn bins_hold_equally_many_and_equal_values_share_one() {
        assert_eq!(bins(&[0.3, -1.0, 7.0, 0.2], 2), [1, 0, 1, 0]);
        assert_eq!(bins(&[5.0, 5.0, 5.0, 9.0], 4), [0, 0, 0, 3]);
        assert_eq!(bins(&[1.0, -0.0, 0.0], 3), [2, 0, 0], "the two zeros are equal");
    }

    #[test]
    fn information_worked_by_hand() {
        let ln2 = 2f64.ln();
        near(information(&[0, 0, 1, 1], &[0, 0, 1, 1], 2, 2), ln2);
        near(information(&[0, 1, 0, 1], &[0, 0, 1, 1], 2, 2), 0.0);
        // p(0,0) = 1/2, p(1,0) = p(1,1) = 1/4: 1/2 ln(4/3) + 1/4 ln(2/3) + 1/4 ln 2.
        let expected = 0.5 * (4.0f64 / 3.0).ln() + 0.25 * (2.0f64 / 3.0).ln() + 0.25 * ln2;
        near(information(&[0, 0, 1, 1], &[0, 0, 0, 1], 2, 2), expected);
    }

    /// NaN and infinity have ranks, too, and would count as information.
    #[test]
    fn what_is_not_finite_has_no_information() {
        let count = NonZeroUsize::new(4).unwrap();
        let device = crate::quantizers::worked::device();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let random = ChaCha8Rng::seed_from_u64(0);
            let mut information = SlicedInformation::new(vec![0, 1], 2, count, count, random);
            near(information.of(0, Tensor::from_floats([[1.0], [2.0]], &device)), 2f64.ln());
            assert!(information.of(0, Tensor::from_floats([[1.0], [bad]], &device)).is_nan(), "{bad}");
        }
    }
}

//! InfoQ (Akbulut et al., AAAI 2026, arXiv 2508.04753): a layer is sensitive if quantizing it changes the information that
//! flows through the rest of the network.
//!
//! From the paper: one layer at a time goes down to b bits in the pre-trained network, without training; the score is the
//! change of mutual information in the layers behind it, estimated by slicing; an integer program adds the scores up.
//!
//! Our choices, where we could not read the paper's or differ from it: weights and activations are scored apart, as
//! this search chooses them apart; the tensor goes from 8 bits to b while everything else stays in full precision; the
//! information is the one about the classes; and it is estimated as follows.
//!
//! ```text
//! SI(X; C) = mean over directions u of I(u.X; C)                        sliced information
//! I(t; C)  = sum over bins k and classes c of p(k,c) ln( p(k,c) / (p(k) p(c)) )
//! score    = sum over later layers j of |SI_8(X_j; C) - SI_b(X_j; C)|
//! ```
//!
//! X_j is what a later layer reads (all of them, and at the end the scores), flattened; u are random unit vectors, the same for
//! every measurement (Goldfeld and Greenewald, NeurIPS 2021, slice both variables; classes need none). Bins hold equally many
//! images; equal values share a bin. The estimate is too high by about (bins - 1)(classes - 1)/(2 images) nats for
//! every tensor alike, which the difference cancels for the most part. Numbers below that are noise: take more images.
//!
//! Weights and activations are on one scale: give `search.alpha = 1`. Works with every quantizer.

use burn::tensor::{Tensor, TensorData};
use limpq_core::{
    search::BitWidth,
    train::{ByLayer, Lab, Network, Role, Sensitivity, TrainError},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// How the information is estimated.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Infoq {
    /// Number of training images.
    pub images: NonZeroUsize,
    /// Random directions for each layer.
    pub projections: NonZeroUsize,
    /// Bins of each projection.
    pub bins: NonZeroUsize,
}

impl Default for Infoq {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("it is above 0");
        Self { images: count(512), projections: count(32), bins: count(16) }
    }
}

limpq_core::plugin!(
    Sensitivity,
    "infoq",
    "change of sliced mutual information in later layers (InfoQ, AAAI 2026)",
    Infoq
);

/// What a layer falls from.
const BASE: u64 = 8;

impl Sensitivity for Infoq {
    fn measure(&self, lab: &Lab) -> Result<ByLayer, TrainError> {
        let base = BitWidth::new(BASE).expect("8 is a bit-width");
        let others = lab.candidates.iter().filter(|&bits| bits != base);
        let network = lab.calibrated(std::iter::once(base).chain(others))?;
        // One batch: bins are over all images.
        let (images, labels) = lab.batches("infoq", 1, self.images.get())?.remove(0);
        let mut flow = Flow {
            infoq: self,
            network: &network,
            images,
            labels,
            classes: lab.graph.classes,
            random: lab.bench.random("infoq directions"),
            directions: BTreeMap::new(),
        };
        let mut before: Option<((usize, Role), Vec<f64>)> = None;
        lab.each("infoq", &mut |layer, role, bits| {
            let at_base = match before.take() {
                Some((place, flows)) if place == (layer, role) => flows,
                _ => flow.behind((layer, role, base)),
            };
            let change = match bits == base {
                true => 0.0,
                false => at_base.iter().zip(flow.behind((layer, role, bits))).map(|(a, b)| (a - b).abs()).sum(),
            };
            before = Some(((layer, role), at_base));
            Ok(change)
        })
    }
}

/// Measures information behind a layer.
struct Flow<'a, R> {
    infoq: &'a Infoq,
    network: &'a Network,
    images: Tensor<4>,
    labels: Vec<usize>,
    classes: usize,
    random: R,
    /// Unit vectors as columns, by layer; the scores' stand behind the last layer's.
    directions: BTreeMap<usize, Tensor<2>>,
}

impl<R: rand::Rng> Flow<'_, R> {
    /// Information about the classes in what each later layer reads and in the scores, with one tensor quantized.
    fn behind(&mut self, (at, role, bits): (usize, Role, BitWidth)) -> Vec<f64> {
        let network = self.network;
        let mut seen = vec![];
        let scores = network.forward_with(self.images.clone(), &mut |layer, input, kernel| {
            if layer > at {
                seen.push((layer, input.clone().flatten::<2>(1, 3)));
            }
            match (layer == at, role) {
                (true, Role::Weight) => (input, network.quantized(layer, role, kernel, bits)),
                (true, Role::Act) => (network.quantized(layer, role, input, bits), kernel),
                (false, _) => (input, kernel),
            }
        });
        seen.push((network.plan().layers.len(), scores));
        seen.into_iter().map(|(layer, values)| self.sliced(layer, values)).collect()
    }

    /// Sliced information between rows and classes.
    fn sliced(&mut self, layer: usize, values: Tensor<2>) -> f64 {
        let [images, features] = values.dims();
        let count = self.infoq.projections.get();
        let (random, device) = (&mut self.random, values.device());
        let directions = self.directions.entry(layer).or_insert_with(|| {
            // Uniform numbers instead of normal ones: the sum over many features is all but normal either way.
            let drawn: Vec<f32> = (0..features * count).map(|_| random.random_range(-1.0f32..1.0)).collect();
            let drawn = Tensor::<2>::from_data(TensorData::new(drawn, [features, count]), &device);
            let lengths = drawn.clone().square().sum_dim(0).sqrt().clamp_min(1e-12);
            drawn / lengths
        });
        let projected = values.matmul(directions.clone()).transpose().into_data();
        let projected: Vec<f32> = projected.try_to_vec().expect("networks hold 32-bit floats");
        let information = projected.chunks(images).map(|values| {
            let bins = bins(values, self.infoq.bins.get());
            information(&bins, &self.labels, self.infoq.bins.get(), self.classes)
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

/// Mutual information of bins and classes in nats, by counting.
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
    use super::super::worked::{Lamp, near};
    use super::*;

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

    /// Four images whose neighbours are of different classes. Told apart, they say everything about the class (ln 2). With
    /// steps of 1 both neighbours become one value, which says nothing. The classifier and the scores read it: 2 ln 2.
    #[test]
    fn merging_classes_costs_their_information_in_every_later_layer() {
        let lamp = Lamp::new(&[(0.9, 0), (0.6, 1), (-0.6, 0), (-0.9, 1)]);
        let found = lamp.measure(&Infoq::default(), &[1, 8, 4]);
        near(found.act[&1], 2.0 * 2f64.ln());
        // A weight scales all values alike; no order changes.
        near(found.weight[&1], 0.0);
        // Steps of 1/8 keep the four apart, and 8 bits are what it is compared with.
        assert_eq!((found.act[&4], found.act[&8], found.weight[&8]), (0.0, 0.0, 0.0));
    }
}

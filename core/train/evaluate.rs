//! Accuracy and loss of a network.

use super::{
    Arithmetic, Batch, Pick, Samples, TrainContext, TrainError,
    loss::{cross_entropy, smoothed},
    network::{Bits, Network, host},
    parallel,
};
use crate::graph::Shape;
use burn::{module::Module, tensor::Device};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Batch size of evaluation.
const BATCH: usize = 256;

/// Accuracy and loss over a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Fraction of images whose largest logit is that of their class (top-1).
    pub accuracy: f64,
    /// Fraction of images whose class is among the five largest logits (top-5).
    pub top5: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Number of images, without those that could not be read and were left out.
    pub images: usize,
    /// Number of training images on which batch-norm statistics were re-estimated before; 0 if they are those of
    /// training.
    pub batch_norm_images: usize,
}

impl TrainContext<'_> {
    /// Accuracy and loss on the test set with every layer at the given bits.
    ///
    /// # Errors
    /// Unreadable samples; [`TrainError::InterruptedMeasuring`]; [`TrainError::NotFinite`] for a loss that is not
    /// finite.
    pub fn evaluate(&self, network: &Network, bits: &Bits) -> Result<Score, TrainError> {
        let all: Vec<usize> = (0..self.data.test.len()).collect();
        let go_on = || self.stop_if_asked("measuring accuracy on the test images");
        let (score, place) = self.measured(network, bits, &self.data.test, &all, &go_on)?;
        match place {
            None => Ok(score),
            Some(place) => {
                let why = format!(
                    "its loss on the test images is {}; the first values that are not finite are {place}",
                    score.loss
                );
                Err(TrainError::NotFinite { network: "the network".to_owned(), why })
            }
        }
    }

    /// Accuracy and loss on some samples of a set with every layer at the given bits; the loss may be NaN or infinite.
    /// Cannot be cancelled.
    ///
    /// # Errors
    /// Unreadable samples.
    pub fn evaluate_on(
        &self,
        network: &Network,
        bits: &Bits,
        set: &Arc<dyn Samples>,
        indices: &[usize],
    ) -> Result<Score, TrainError> {
        Ok(self.measured(network, bits, set, indices, &|| Ok(()))?.0)
    }

    /// The score; and, for the first batch whose loss is not finite, where in the network that begins.
    fn measured(
        &self,
        network: &Network,
        bits: &Bits,
        set: &Arc<dyn Samples>,
        indices: &[usize],
        go_on: &dyn Fn() -> Result<(), TrainError>,
    ) -> Result<(Score, Option<String>), TrainError> {
        let (devices, shape) = (self.devices(), self.data.shape);
        let network = network.clone().computing(Arithmetic::Float32);
        let networks: Vec<Network> = devices.iter().map(|device| parallel::copy(&network, device, false)).collect();
        let mut batches = self.loader(set, Pick::plain(indices), BATCH).filled();
        let (mut first, mut top5, mut loss, mut used) = (0usize, 0usize, 0f64, 0usize);
        let mut not_finite = None;
        loop {
            go_on()?;
            // One batch per device; sums are in the order of the batches, whichever device computed them.
            let round = batches.by_ref().take(devices.len()).collect::<Result<Vec<_>, _>>()?;
            if round.is_empty() {
                break;
            }
            let tasks = round.into_iter().zip(networks.iter().zip(&devices)).collect();
            for part in parallel::each(tasks, |(batch, (network, device))| part(network, bits, batch, shape, device)) {
                used += part.images;
                loss += part.loss;
                first += part.first;
                top5 += part.top5;
                not_finite = not_finite.or(part.not_finite);
            }
        }
        let share = |count: usize| count as f64 / used.max(1) as f64;
        let loss = loss / used.max(1) as f64;
        let score = Score { accuracy: share(first), top5: share(top5), loss, images: used, batch_norm_images: 0 };
        Ok((score, not_finite))
    }

    /// The network with batch-norm statistics that are the mean over batches of up to `images` training images, run at
    /// the given bits; and the number of images used, since some may be left out.
    ///
    /// # Errors
    /// Unreadable samples; [`TrainError::InterruptedMeasuring`]; [`TrainError::NotFinite`] for statistics that are not
    /// finite.
    pub fn reestimate(&self, network: &Network, bits: &Bits, images: usize) -> Result<(Network, usize), TrainError> {
        let network = network.clone().valid();
        let places = self.some_training_images(images);
        let (mut batches, mut used) = (0, 0);
        for batch in self.loader(&self.data.train, Pick::plain(&places), BATCH).filled() {
            self.stop_if_asked("estimating batch-norm statistics")?;
            let (images, labels) = batch?.on(self.data.shape, self.device);
            // A batch of one has no variance.
            if labels.len() > 1 {
                (batches, used) = (batches + 1, used + labels.len());
                network.observe(images, bits, 1.0 / f64::from(batches));
            }
        }
        match network.overflowed_statistics() {
            None => Ok((network, used)),
            Some(place) => {
                let why = format!("re-estimated on training images, its batch-norm statistics overflow: {place}");
                Err(TrainError::NotFinite { network: "the network".to_owned(), why })
            }
        }
    }
}

/// The contribution of a batch to a score.
struct Part {
    images: usize,
    first: usize,
    top5: usize,
    loss: f64,
    /// Where in the network, if the loss is not finite.
    not_finite: Option<String>,
}

fn part(network: &Network, bits: &Bits, batch: Batch, shape: Shape, device: &Device) -> Part {
    let (images, labels) = batch.on(shape, device);
    let scores = network.forward(images.clone(), bits, false);
    let [count, classes] = scores.dims();
    let mean: f32 = cross_entropy(scores.clone(), smoothed(&labels, classes, 0.0, device)).into_scalar();
    let place = || network.not_finite(images, bits, false).unwrap_or_else(|| "the logits".to_owned());
    let not_finite = (count > 0 && !mean.is_finite()).then(place);
    let loss = if count > 0 { f64::from(mean) * count as f64 } else { 0.0 };
    let mut part = Part { images: count, first: 0, top5: 0, loss, not_finite };
    for (scores, &label) in host(scores).chunks(classes).zip(&labels) {
        let rank = rank(scores, label);
        part.first += usize::from(rank == 0);
        part.top5 += usize::from(rank < 5);
    }
    part
}

/// Rank of the true class, from 0. Among equal logits the first class ranks first; NaN ranks last.
fn rank(scores: &[f32], label: usize) -> usize {
    let own = scores[label];
    let ahead = |(class, &score): (usize, &f32)| own.is_nan() || score > own || (score == own && class < label);
    scores.iter().enumerate().filter(|&(class, score)| class != label && ahead((class, score))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_by_score_then_by_place() {
        let scores = [1.0, 3.0, 3.0, -1.0];
        assert_eq!([0, 1, 2, 3].map(|label| rank(&scores, label)), [2, 0, 1, 3]);
        assert_eq!(rank(&[f32::NAN, f32::NAN], 0), 1, "NaN is never right");
        assert_eq!(rank(&[f32::NAN, 0.0], 1), 0);
    }
}

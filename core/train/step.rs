//! The gradients of one optimizer step: all its passes, on one device or on several that share the batch.

use super::{
    Pass, collective,
    loader::Batch,
    loss::{cross_entropy, distillation, smoothed},
    network::{Bits, Network, host},
    parallel,
    recipe::Recipe,
};
use crate::graph::Shape;
use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor, TensorData},
};

/// The passes of an optimizer step.
pub(super) struct Passes<'a> {
    /// The bits of each pass.
    pub bits: &'a [Bits],
    /// Factor of each pass's gradients.
    pub weight: f64,
    /// Smoothing and distillation.
    pub recipe: &'a Recipe,
    /// Shape of an image.
    pub shape: Shape,
    /// Number of classes.
    pub classes: usize,
}

/// The result of all passes.
pub(super) struct Gradients {
    /// Sum of the gradients over the passes, on the first device.
    pub sum: GradientsParams,
    /// Loss and accuracy of each pass on the whole batch.
    pub passes: Vec<Pass>,
    /// The first pass whose loss is not finite, and where in the network that begins.
    pub diverged: Option<(usize, String)>,
}

/// The result of one device.
struct Share {
    gradients: GradientsParams,
    /// Mean loss and accuracy per pass.
    scored: Vec<[f32; 2]>,
    diverged: Option<(usize, String)>,
}

impl Passes<'_> {
    /// Runs all passes forward and backward. Each of the `devices` has a copy of the teacher, if there is one;
    /// `network` is on the first device.
    pub fn gradients(&self, network: &Network, teachers: &[Network], devices: &[Device], batch: Batch) -> Gradients {
        let whole = batch.labels.len() as f64;
        let parts = parallel::shares(batch, devices.len());
        let sizes: Vec<f64> = parts.iter().map(|part| part.labels.len() as f64 / whole.max(1.0)).collect();
        let tasks = parts.into_iter().enumerate().map(|(place, part)| {
            let copy = (place > 0).then(|| parallel::copy(network, &devices[place], true));
            (place, part, copy)
        });
        let shares = parallel::each(tasks.collect(), |(place, part, copy)| {
            let network = copy.as_ref().unwrap_or(network);
            self.share(network, teachers.get(place), &devices[place], part, sizes[place])
        });
        let mut passes: Vec<[f64; 2]> = vec![[0.0; 2]; self.bits.len()];
        let (mut diverged, mut gradients) = (None, vec![]);
        for (share, size) in shares.into_iter().zip(&sizes) {
            for (pass, scored) in passes.iter_mut().zip(share.scored) {
                *pass = [0, 1].map(|number| pass[number] + size * f64::from(scored[number]));
            }
            diverged = diverged.or(share.diverged);
            gradients.push(share.gradients);
        }
        let sum = collective::sum(network, gradients, devices);
        let fixed: Vec<bool> = network.plan().layers.iter().map(|layer| layer.fixed).collect();
        let pass = |(bits, [loss, accuracy]): (&Bits, [f64; 2])| Pass {
            bits: shown(bits, &fixed),
            loss: loss as f32,
            accuracy,
        };
        Gradients { sum, passes: self.bits.iter().zip(passes).map(pass).collect(), diverged }
    }

    /// The passes on one device's part of a batch; `size` is the whole batch.
    fn share(&self, network: &Network, teacher: Option<&Network>, device: &Device, part: Batch, size: f64) -> Share {
        let (tracked, recipe) = (device.clone().autodiff(), self.recipe);
        let (images, labels) = part.on(self.shape, &tracked);
        let targets = smoothed(&labels, self.classes, recipe.label_smoothing, &tracked);
        let taught = teacher.map(|teacher| {
            let logits = teacher.forward(images.clone().inner(), &teacher.plan().no_bits(), false);
            Tensor::<2>::from_inner(logits)
        });
        let mut gradients = GradientsAccumulator::new();
        let mut scored = Scored::new(&labels, device);
        let mut take = |found| gradients.accumulate(network, GradientsParams::from_grads(found, network));
        let plain = recipe.gradient_checkpointing.then(|| network.clone().valid());
        let mut prefix = network.shared_prefix(images.clone(), self.bits);
        for bits in self.bits {
            let (logits, pass) = network.pass(&prefix, bits, plain.as_ref());
            let mut loss = cross_entropy(logits.clone(), targets.clone());
            if let Some(taught) = &taught {
                let distance = distillation(logits.clone(), taught.clone(), recipe.temperature);
                loss = loss.mul_scalar(1.0 - recipe.distillation) + distance.mul_scalar(recipe.distillation);
            }
            scored.add(logits.inner(), loss.clone().inner());
            let of_pass = loss.mul_scalar(self.weight * size).backward();
            pass.backward(of_pass, &mut prefix, &mut take);
            // Once per pass: gradient checkpointing runs the network in segments.
            if let Some(terms) = network.regularisation(bits) {
                take(terms.mul_scalar(self.weight * size).backward());
            }
        }
        if let Some(of_prefix) = prefix.backward() {
            take(of_prefix);
        }
        let scored = scored.read();
        let bad = scored.iter().position(|[loss, _]| !loss.is_finite());
        let diverged = bad.map(|pass| {
            let place = network.not_finite(images, &self.bits[pass], true);
            (pass, place.unwrap_or_else(|| "the logits themselves".to_owned()))
        });
        Share { gradients: gradients.grads(), scored, diverged }
    }
}

/// Losses and accuracies of a step's passes, read from the device in one transfer.
struct Scored {
    labels: Tensor<2, burn::tensor::Int>,
    /// Loss and accuracy per pass.
    numbers: Vec<Tensor<1>>,
}

impl Scored {
    fn new(labels: &[usize], device: &Device) -> Self {
        let values: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        Self { labels: Tensor::from_data(TensorData::new(values, [labels.len(), 1]), device), numbers: vec![] }
    }

    fn add(&mut self, logits: Tensor<2>, loss: Tensor<1>) {
        let right = logits.argmax(1).equal(self.labels.clone()).float().mean();
        self.numbers.extend([loss, right]);
    }

    fn read(self) -> Vec<[f32; 2]> {
        host(Tensor::cat(self.numbers, 0)).as_chunks::<2>().0.to_vec()
    }
}

/// The bits of a pass in one word, without those of fixed layers, which the policy does not choose.
fn shown(bits: &Bits, fixed: &[bool]) -> String {
    let mut chosen = bits.iter().zip(fixed).filter(|(_, fixed)| !**fixed).filter_map(|(bits, _)| *bits);
    match chosen.next() {
        None => "full precision".to_owned(),
        Some(first) if chosen.all(|bits| bits == first) => first.to_string(),
        Some(_) => "mixed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_policy_is_called_by_its_bits_whatever_stem_and_classifier_have() {
        let of = |bits: [&str; 4]| {
            let bits: Bits = bits.iter().map(|bits| bits.parse().ok()).collect();
            shown(&bits, &[true, false, false, true])
        };
        assert_eq!(of(["w8a8", "w2a4", "w2a4", "w8a8"]), "w2a4");
        assert_eq!(of(["", "w2a4", "w2a4", ""]), "w2a4");
        assert_eq!(of(["w8a8", "w8a8", "w8a8", "w8a8"]), "w8a8");
        assert_eq!(of(["w8a8", "w2a4", "w4a4", "w8a8"]), "mixed");
        assert_eq!(of(["w8a8", "w8a8", "w2a4", "w8a8"]), "mixed");
        assert_eq!(of(["", "", "", ""]), "full precision");
    }
}

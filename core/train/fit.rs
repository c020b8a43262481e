//! The training loop: for every step a list of passes at given bits whose gradients are added up, then one step of SGD.

use super::{
    Data, DatasetError, NoIndicator, Samples,
    network::{Bits, Network},
    recipe::Recipe,
    state::StateError,
};
use burn::{
    grad_clipping::GradientClipping,
    module::{Module, ParamGroup},
    optim::{
        GradientsAccumulator, GradientsParams, ModuleOptimizer, SgdConfig, decay::WeightDecayConfig,
        momentum::MomentumConfig,
    },
    tensor::{Device, Tensor, TensorData, activation::log_softmax},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A sample could not be read.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// Saved numbers do not fit the network.
    #[error(transparent)]
    State(#[from] StateError),
    /// The quantizer gives no indicators.
    #[error(transparent)]
    NoIndicator(#[from] NoIndicator),
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in step {step} of {stage} at learning rate {learning_rate}; lower [{stage}] learning_rate, \
         or set clip_value = 1.0 there"
    )]
    Diverged {
        /// Which stage.
        stage: String,
        /// Step from 0.
        step: usize,
        /// The loss.
        loss: f32,
        /// The learning rate then.
        learning_rate: f64,
    },
    /// Fewer images than a batch.
    #[error("the training set has {images} images, fewer than a batch of {batch_size}; lower [{stage}] batch_size")]
    TooFewImages {
        /// Which stage.
        stage: String,
        /// How many images.
        images: usize,
        /// The batch size.
        batch_size: usize,
    },
}

/// Told how far a long stage is.
pub trait Progress {
    /// A stage of so many steps starts.
    fn start(&self, stage: &str, steps: usize);
    /// One step is done; `note` says how it goes.
    fn step(&self, note: &str);
    /// The stage is over.
    fn finish(&self);
}

/// What everything that trains or evaluates needs.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The images.
    pub data: &'a Data,
    /// Where tensors live, without autodiff.
    pub device: &'a Device,
    /// Seeds data order and sampling, together with the stage's name.
    pub seed: u64,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
}

/// Accuracy and loss over a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of images whose highest score is their class.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Number of images.
    pub images: usize,
}

impl Bench<'_> {
    /// Random numbers of a stage: the same for the same seed and stage.
    pub fn random(&self, stage: &str) -> ChaCha8Rng {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{stage}/{}", self.seed));
        ChaCha8Rng::from_seed(digest.into())
    }

    /// The first training batch of a stage, for calibration.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn first_batch(&self, batch_size: usize) -> Result<Tensor<4>, TrainError> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random("calibrate"));
        order.truncate(batch_size);
        Ok(self.batch(self.data.train.as_ref(), &order, self.device)?.0)
    }

    /// Places of so many training images, drawn evenly and the same for the same seed.
    pub fn some_training_images(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random("refine"));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// Trains a network. `stage` is the config's section and fixes the data order, `label` is shown to people; `passes`
    /// gives the bits of each pass of a step.
    ///
    /// # Errors
    /// Unreadable samples; a loss that is no number.
    pub fn fit(
        &self,
        stage: &str,
        label: &str,
        mut network: Network,
        recipe: &Recipe,
        passes: &mut dyn FnMut(&mut ChaCha8Rng) -> Vec<Bits>,
    ) -> Result<Network, TrainError> {
        let device = self.device.clone().autodiff();
        let mut random = self.random(stage);
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        let per_epoch = order.len() / recipe.batch_size;
        if per_epoch == 0 {
            let (images, batch_size) = (order.len(), recipe.batch_size);
            return Err(TrainError::TooFewImages { stage: stage.to_owned(), images, batch_size });
        }
        let steps = per_epoch * recipe.epochs;
        let mut optimizer = optimizer(&network, recipe);
        let mut gradients = GradientsAccumulator::new();
        self.progress.start(label, steps);
        for step in 0..steps {
            if step % per_epoch == 0 {
                order.shuffle(&mut random);
            }
            let place = step % per_epoch * recipe.batch_size;
            let (images, labels) =
                self.batch(self.data.train.as_ref(), &order[place..place + recipe.batch_size], &device)?;
            let targets = smoothed(&labels, self.data.classes, recipe.label_smoothing, &device);
            let learning_rate = recipe.learning_rate_at(step, steps, per_epoch);
            let mut total = 0.0;
            let passes = passes(&mut random);
            for bits in &passes {
                let loss = cross_entropy(network.forward(images.clone(), bits, true), targets.clone());
                let value: f32 = loss.clone().into_scalar();
                if !value.is_finite() {
                    self.progress.finish();
                    let stage = stage.to_owned();
                    return Err(TrainError::Diverged { stage, step, loss: value, learning_rate });
                }
                total += value;
                gradients.accumulate(&network, GradientsParams::from_grads(loss.backward(), &network));
            }
            network = optimizer.step(learning_rate, network, gradients.grads()).project();
            self.progress.step(&format!("loss {:.3}", total / passes.len() as f32));
        }
        self.progress.finish();
        Ok(network)
    }

    /// Accuracy and loss on the test set with every layer at the given bits.
    ///
    /// # Errors
    /// Unreadable samples.
    pub fn evaluate(&self, network: &Network, bits: &Bits) -> Result<Score, TrainError> {
        let all: Vec<usize> = (0..self.data.test.len()).collect();
        self.evaluate_on(network, bits, self.data.test.as_ref(), &all)
    }

    /// Accuracy and loss on some samples of a set with every layer at the given bits.
    ///
    /// # Errors
    /// Unreadable samples.
    pub fn evaluate_on(
        &self,
        network: &Network,
        bits: &Bits,
        set: &dyn Samples,
        indices: &[usize],
    ) -> Result<Score, TrainError> {
        const BATCH: usize = 256;
        let network = network.clone().valid();
        let (mut right, mut loss) = (0usize, 0f64);
        for chunk in indices.chunks(BATCH) {
            let (images, labels) = self.batch(set, chunk, self.device)?;
            let scores = network.forward(images, bits, false);
            let targets = smoothed(&labels, self.data.classes, 0.0, self.device);
            let mean: f32 = cross_entropy(scores.clone(), targets).into_scalar();
            loss += f64::from(mean) * chunk.len() as f64;
            let guesses: Vec<i64> =
                scores.argmax(1).into_data().convert::<i64>().try_to_vec().expect("indices are integers");
            right += guesses.iter().zip(&labels).filter(|(guess, label)| **guess == **label as i64).count();
        }
        let images = indices.len();
        let count = images.max(1) as f64;
        Ok(Score { accuracy: right as f64 / count, loss: loss / count, images })
    }

    fn batch(
        &self,
        samples: &dyn Samples,
        indices: &[usize],
        device: &Device,
    ) -> Result<(Tensor<4>, Vec<usize>), DatasetError> {
        let shape = self.data.shape;
        let size = shape.elements();
        let mut pixels = vec![0f32; size * indices.len()];
        let labels = indices
            .iter()
            .zip(pixels.chunks_mut(size))
            .map(|(&index, pixels)| samples.sample(index, pixels))
            .collect::<Result<_, _>>()?;
        let data = TensorData::new(pixels, [indices.len(), shape.channels, shape.height, shape.width]);
        Ok((Tensor::from_data(data, device), labels))
    }
}

/// SGD; weight decay on the weights only.
fn optimizer(network: &Network, recipe: &Recipe) -> ModuleOptimizer {
    let momentum = MomentumConfig { momentum: recipe.momentum, dampening: 0.0, nesterov: recipe.nesterov };
    let plain = SgdConfig::new().with_momentum(Some(momentum));
    let decayed = plain.clone().with_weight_decay(Some(WeightDecayConfig::new(recipe.weight_decay as f32)));
    let clip = (recipe.clip_value > 0.0).then_some(GradientClipping::Value(recipe.clip_value as f32));
    let rest = ModuleOptimizer::from(plain.build());
    let rest = match clip.clone() {
        Some(clip) => rest.with_grad_clipping(clip),
        None => rest,
    };
    rest.with_group(ParamGroup::from_ids(network.decayed()), decayed.build(), clip)
}

/// One-hot targets with a share spread evenly over all classes.
fn smoothed(labels: &[usize], classes: usize, smoothing: f64, device: &Device) -> Tensor<2> {
    let mut targets = vec![(smoothing / classes as f64) as f32; labels.len() * classes];
    for (row, &label) in targets.chunks_mut(classes).zip(labels) {
        row[label] += 1.0 - smoothing as f32;
    }
    Tensor::from_data(TensorData::new(targets, [labels.len(), classes]), device)
}

/// Mean over the batch.
fn cross_entropy(scores: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let [batch, _] = scores.dims();
    (log_softmax(scores, 1) * targets).sum().div_scalar(-(batch as f64))
}

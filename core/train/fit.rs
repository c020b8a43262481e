//! The training loop: for every step a list of passes at given bits whose gradients are added up, then one step of the
//! optimizer.

use super::{
    Batch, Data, DatasetError, Loader, NoIndicator, Pick, Plan, Samples, State,
    checkpoint::{Best, Checkpoint, Checkpoints},
    joint::Update,
    loss::{cross_entropy, distillation, smoothed},
    network::{Bits, Network},
    optimizer::{clip_norm, only, optimizer},
    progress::{Pass, Progress, Step, Validation},
    recipe::Recipe,
    state::StateError,
};
use crate::artifact::WriteError;
use burn::{
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Bytes, Device, Tensor, TensorData},
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{num::NonZeroUsize, sync::Arc};

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
        "the loss became {loss} in step {step} of {stage} at learning rate {learning_rate}; the first numbers that are not \
         finite are {place}. Lower [{stage}] learning_rate, or set clip_value = 1.0 there. Checkpoints of earlier steps stay"
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
        /// Where, in words.
        place: String,
    },
    /// Somebody asked the run to end.
    #[error("stopped after step {step} of {steps} of {stage}, which is saved. The same command goes on from there")]
    Interrupted {
        /// Which stage.
        stage: String,
        /// Steps that are done.
        step: usize,
        /// Steps of the stage.
        steps: usize,
    },
    /// A checkpoint could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
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

/// What everything that trains or evaluates needs.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The images.
    pub data: &'a Data,
    /// Where tensors live, without autodiff.
    pub device: &'a Device,
    /// Seeds data order and sampling, together with the stage's name.
    pub seed: u64,
    /// Threads that read and decode images. Results do not depend on it.
    pub workers: NonZeroUsize,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
    /// Where a stage goes on from after it was stopped.
    pub checkpoints: &'a dyn Checkpoints,
}

/// What is trained, and how.
pub struct Job<'a> {
    /// The config's section, which fixes the data order.
    pub stage: &'a str,
    /// What people see; checkpoints go by it.
    pub label: &'a str,
    /// Settings.
    pub recipe: &'a Recipe,
    /// The full-precision network, for recipes that distil from it.
    pub teacher: &'a State,
    /// What a step does with the gradients of its passes.
    pub update: Update,
}

/// A trained network.
pub struct Trained {
    /// As it is after the last step.
    pub network: Network,
    /// As it was after its best epoch, if there are validation images.
    pub best: Option<Best>,
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
        let first = self.loader(&self.data.train, Pick::plain(&order), order.len()).next();
        Ok(self.tensors(first.transpose()?.unwrap_or_default(), self.device).0)
    }

    /// Places of so many training images, drawn evenly and the same for the same seed.
    pub fn some_training_images(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random("refine"));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// Trains a network, from the start or from its latest checkpoint. `passes` gives the bits of each pass of a step;
    /// it must depend on the step alone.
    ///
    /// # Errors
    /// Unreadable samples; a loss that is no number; checkpoints that cannot be written; [`TrainError::Interrupted`].
    pub fn fit(
        &self,
        job: &Job,
        network: Network,
        passes: &mut dyn FnMut(usize) -> Vec<Bits>,
    ) -> Result<Trained, TrainError> {
        let Job { stage, label, recipe, .. } = *job;
        let device = self.device.clone().autodiff();
        let images = self.data.train.len();
        let per_epoch = images / recipe.batch_size;
        if per_epoch == 0 {
            let (stage, batch_size) = (stage.to_owned(), recipe.batch_size);
            return Err(TrainError::TooFewImages { stage, images, batch_size });
        }
        let steps = per_epoch * recipe.epochs;
        let mut run = self.resume(job, network)?;
        let teacher = self.teacher(job, run.network.plan())?;
        let mut gradients = GradientsAccumulator::new();
        let mut batches = None;
        self.progress.start(label, steps, run.done);
        while run.done < steps {
            let (step, epoch) = (run.done, run.done / per_epoch);
            let batches = match &mut batches {
                Some(batches) if step % per_epoch != 0 => batches,
                next => next.insert(self.epoch(stage, epoch, step % per_epoch, recipe.batch_size)),
            };
            let batch = batches.next().expect("an epoch has a batch for each of its steps")?;
            let (images, labels) = self.tensors(batch, &device);
            let targets = smoothed(&labels, self.data.classes, recipe.label_smoothing, &device);
            let taught = teacher.as_ref().map(|teacher| self.taught(teacher, &images));
            let learning_rate = recipe.learning_rate_at(step, steps, per_epoch);
            let passes = passes(step);
            let share = job.update.gradients.share(passes.len());
            let mut scored = Scored::new(&labels, self.device);
            for bits in &passes {
                let scores = run.network.forward(images.clone(), bits, true);
                let mut loss = cross_entropy(scores.clone(), targets.clone());
                if let Some(taught) = &taught {
                    let distance = distillation(scores.clone(), taught.clone(), recipe.temperature);
                    loss = loss.mul_scalar(1.0 - recipe.distillation) + distance.mul_scalar(recipe.distillation);
                }
                scored.add(scores.inner(), loss.clone().inner());
                let of_pass = GradientsParams::from_grads(loss.mul_scalar(share).backward(), &run.network);
                gradients.accumulate(&run.network, of_pass);
            }
            let scored = scored.read(&passes);
            if let Some(bad) = scored.iter().zip(&passes).find(|(pass, _)| !pass.loss.is_finite()) {
                self.progress.finish();
                let place = run.network.not_finite(images, bad.1).unwrap_or_else(|| "the scores themselves".to_owned());
                let (stage, loss) = (stage.to_owned(), bad.0.loss);
                return Err(TrainError::Diverged { stage, step, loss, learning_rate, place });
            }
            let mut summed = gradients.grads();
            if job.update.frozen_weights {
                summed = only(&run.network.quantization_parameters(), summed);
            }
            if recipe.clip_norm > 0.0 {
                summed = clip_norm(&run.network, summed, recipe.clip_norm);
            }
            run.network = run.optimizer.step(learning_rate, run.network, summed).project();
            run.done += 1;
            let images = labels.len();
            self.progress.step(&Step { done: run.done, epoch, learning_rate, images, passes: scored });
            self.after_step(job, &mut run, epoch, (per_epoch, steps), &passes[0])?;
        }
        self.progress.finish();
        Ok(Trained { network: run.network, best: run.best })
    }

    /// Step sizes to watch, validation at the end of an epoch, and a checkpoint where one is due.
    fn after_step(
        &self,
        job: &Job,
        run: &mut Running,
        epoch: usize,
        (per_epoch, steps): (usize, usize),
        bits: &Bits,
    ) -> Result<(), TrainError> {
        const SIGHTINGS: usize = 50;
        let done = run.done;
        if done == 1 || done == steps || done.is_multiple_of(steps.div_ceil(SIGHTINGS)) {
            self.progress.step_sizes(done, &run.network.step_sizes());
        }
        let ends_epoch = done.is_multiple_of(per_epoch);
        if let (true, Some(validation)) = (ends_epoch, &self.data.validation) {
            let all: Vec<usize> = (0..validation.len()).collect();
            let score = self.evaluate_on(&run.network, bits, validation, &all)?;
            let best = run.best.as_ref().is_none_or(|best| score.accuracy > best.score.accuracy);
            if best {
                run.best = Some(Best { epoch, score, state: run.network.state() });
            }
            self.progress.validated(&Validation { done, epoch, score, best });
        }
        let interrupted = done < steps && self.progress.interrupted();
        if ends_epoch || interrupted || self.checkpoints.due(done) {
            let state = run.network.state();
            // Gradients that overflowed show in the next loss, which names the place. Such numbers are nothing to go on from.
            if state.is_finite() {
                let optimizer = run.optimizer.into_bytes().expect("memory holds the optimizer's numbers").to_vec();
                let checkpoint = Checkpoint { step: done, state, optimizer, best: run.best.clone() };
                self.checkpoints.keep(job.label, &checkpoint)?;
            }
        }
        if interrupted {
            self.progress.finish();
            return Err(TrainError::Interrupted { stage: job.label.to_owned(), step: done, steps });
        }
        Ok(())
    }

    fn resume(&self, job: &Job, network: Network) -> Result<Running, TrainError> {
        let fresh = optimizer(&network, job.recipe);
        let Some(kept) = self.checkpoints.latest(job.label) else {
            return Ok(Running { network, optimizer: fresh, done: 0, best: None });
        };
        let optimizer = fresh.from_bytes(Bytes::from_bytes_vec(kept.optimizer)).map_err(|error| {
            StateError::Format { path: format!("checkpoint of {}", job.label), why: error.to_string() }
        })?;
        let network = Network::new(network.plan(), &kept.state, &self.device.clone().autodiff())?;
        Ok(Running { network, optimizer, done: kept.step, best: kept.best })
    }

    fn teacher(&self, job: &Job, plan: &Plan) -> Result<Option<Network>, TrainError> {
        if job.recipe.distillation == 0.0 {
            return Ok(None);
        }
        let plan = Plan::full_precision(plan.graph.clone(), plan.quantizer.clone());
        Ok(Some(Network::new(&plan, job.teacher, self.device)?))
    }

    /// The teacher's scores, as constants.
    fn taught(&self, teacher: &Network, images: &Tensor<4>) -> Tensor<2> {
        let scores = teacher.forward(images.clone().inner(), &teacher.plan().no_bits(), false);
        Tensor::from_inner(scores)
    }

    /// The batches of an epoch from a step on. Order and augmentation depend on seed, stage and epoch alone.
    fn epoch(&self, stage: &str, epoch: usize, from: usize, batch_size: usize) -> Loader {
        let mut random = self.random(&format!("{stage} epoch {epoch}"));
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut random);
        order.truncate(order.len() / batch_size * batch_size);
        let picks = Pick::drawn(&order[from * batch_size..], random.next_u64());
        self.loader(&self.data.train, picks, batch_size)
    }

    pub(super) fn loader(&self, samples: &Arc<dyn Samples>, picks: Vec<Pick>, batch_size: usize) -> Loader {
        let batch_size = NonZeroUsize::new(batch_size).unwrap_or(NonZeroUsize::MIN);
        Loader::new(samples.clone(), self.data.shape.elements(), picks, batch_size, self.workers)
    }

    pub(super) fn tensors(&self, batch: Batch, device: &Device) -> (Tensor<4>, Vec<usize>) {
        let shape = self.data.shape;
        let data = TensorData::new(batch.pixels, [batch.labels.len(), shape.channels, shape.height, shape.width]);
        (Tensor::from_data(data, device), batch.labels)
    }
}

/// A network on its way.
struct Running {
    network: Network,
    optimizer: burn::optim::ModuleOptimizer,
    done: usize,
    best: Option<Best>,
}

/// Losses and accuracies of a step's passes, read from the device at once.
struct Scored {
    labels: Tensor<2, burn::tensor::Int>,
    /// For each pass its loss and the share of right guesses.
    numbers: Vec<Tensor<1>>,
}

impl Scored {
    fn new(labels: &[usize], device: &Device) -> Self {
        let values: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        Self { labels: Tensor::from_data(TensorData::new(values, [labels.len(), 1]), device), numbers: vec![] }
    }

    fn add(&mut self, scores: Tensor<2>, loss: Tensor<1>) {
        let right = scores.argmax(1).equal(self.labels.clone()).float().mean();
        self.numbers.extend([loss, right]);
    }

    fn read(self, passes: &[Bits]) -> Vec<Pass> {
        let numbers = super::network::host(Tensor::cat(self.numbers, 0));
        let pairs = numbers.as_chunks::<2>().0;
        let pass = |(bits, &[loss, accuracy]): (&Bits, &[f32; 2])| Pass {
            bits: shown(bits),
            loss,
            accuracy: f64::from(accuracy),
        };
        passes.iter().zip(pairs).map(pass).collect()
    }
}

/// The bits of a pass in one word.
fn shown(bits: &Bits) -> String {
    let mut given = bits.iter().flatten();
    match given.next() {
        None => "full precision".to_owned(),
        Some(first) if given.all(|bits| bits == first) => first.to_string(),
        Some(_) => "mixed".to_owned(),
    }
}

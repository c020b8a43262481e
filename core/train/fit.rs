//! The training loop. Each step has a list of passes at given bits, whose gradients are summed, and one optimizer step.

use super::{
    Batch, Data, DatasetError, Loader, NoIndicator, Pick, Plan, Role, Samples, State,
    cancel::CancelToken,
    checkpoint::{Best, Checkpoint, Checkpoints},
    network::{Bits, Network},
    optimizer::{clip_norm, only, optimizer},
    optimizer_state,
    progress::{Progress, Step, Validation},
    recipe::{Keep, Recipe},
    state::StateError,
    step::{Gradients, Passes},
    update::Update,
};
use crate::{
    search::BitWidth,
    store::artifact::{Damaged, WriteError},
};
use burn::tensor::{Bytes, Device, Tensor};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{num::NonZeroUsize, sync::Arc};

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A sample could not be read.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// Saved parameters do not fit the network.
    #[error(transparent)]
    State(#[from] StateError),
    /// The quantizer gives no indicators.
    #[error(transparent)]
    NoIndicator(#[from] NoIndicator),
    /// The loss, or another value in the network, is not finite.
    #[error(
        "{what} in step {step} of {stage} at learning rate {learning_rate}; the first values that are not finite are \
         {place}. {} {}",
        match learned {
            true => format!("Lower [{stage}] learning_rate, or set clip_value = 1.0 there."),
            false => "Nothing had been learned yet: the network that the stage starts from, or the images, are too large for \
                      32-bit floats.".to_owned(),
        },
        .kept.map_or_else(|| "No checkpoint had been made".to_owned(), |step| format!("The checkpoint of step {step} stays"))
    )]
    Diverged {
        /// The stage.
        stage: String,
        /// What happened.
        what: String,
        /// Step from 1.
        step: usize,
        /// Its learning rate.
        learning_rate: f64,
        /// Where in the network, in words.
        place: String,
        /// Whether the stage had changed the network before this step.
        learned: bool,
        /// The step of the last checkpoint, if there is one.
        kept: Option<usize>,
    },
    /// A network that computes NaN or infinity, whatever made it.
    #[error("{network} is not finite: {why}. No result of it is written")]
    NotFinite {
        /// Which network.
        network: String,
        /// What was found, and where.
        why: String,
    },
    /// A sensitivity that is NaN or infinite.
    #[error(
        "the sensitivity of the {} of layer {layer} at {bits} bits is {value}. Either the network overflows 32-bit floats when \
         this tensor is quantized, as it does if its values, or those of the batch-norm before it, are very large or very small: \
         rescale them. Or the metric is not defined for this network: take another one",
        .role.plural()
    )]
    NotMeasurable {
        /// The layer.
        layer: String,
        /// Which of its tensors.
        role: Role,
        /// The bit-width.
        bits: BitWidth,
        /// The measured value.
        value: f64,
    },
    /// The run was cancelled.
    #[error("stopped after step {step} of {steps} of {stage}, which is saved. The same command continues from there")]
    Interrupted {
        /// Which stage.
        stage: String,
        /// Steps that are done.
        step: usize,
        /// Steps of the stage.
        steps: usize,
    },
    /// The run was cancelled during work that has no checkpoints.
    #[error("stopped while {doing}. The same command does that again; what was finished before is kept")]
    InterruptedMeasuring {
        /// The work, such as "measuring infoq".
        doing: String,
    },
    /// A checkpoint could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// All checkpoints of a stage are damaged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Fewer images than a batch.
    #[error("the training set has {images} images, fewer than a batch of {batch_size}; lower [{stage}] batch_size")]
    TooFewImages {
        /// The stage.
        stage: String,
        /// Number of images.
        images: usize,
        /// The batch size.
        batch_size: usize,
    },
}

/// The context of all training and evaluation.
#[derive(Clone, Copy)]
pub struct TrainContext<'a> {
    /// The images.
    pub data: &'a Data,
    /// Where tensors live, without autodiff.
    pub device: &'a Device,
    /// Further devices, which share each batch with the first.
    pub others: &'a [Device],
    /// Seeds data order and sampling, together with the stage's name.
    pub seed: u64,
    /// Threads that read and decode images. Results do not depend on it.
    pub workers: NonZeroUsize,
    /// The observer of the run.
    pub progress: &'a dyn Progress,
    /// Cancellation; `None` if the work cannot be cancelled.
    pub cancel: Option<&'a CancelToken>,
    /// Where checkpoints are kept and found.
    pub checkpoints: &'a dyn Checkpoints,
}

/// What is trained, and how.
pub struct Job<'a> {
    /// The config's section, which fixes the data order.
    pub stage: &'a str,
    /// Its name for users; checkpoints are named after it.
    pub label: &'a str,
    /// Settings.
    pub recipe: &'a Recipe,
    /// The full-precision network, teacher of recipes with distillation.
    pub teacher: &'a State,
    /// How a step uses the gradients of its passes.
    pub update: Update,
}

/// A trained network.
pub struct Trained {
    /// The network after the last step.
    pub network: Network,
    /// The network after its best epoch, if there are validation images.
    pub best: Option<Best>,
}

impl<'a> TrainContext<'a> {
    /// The random generator of a stage, seeded by the run's seed and the stage.
    pub fn random(&self, stage: &str) -> ChaCha8Rng {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{stage}/{}", self.seed));
        ChaCha8Rng::from_seed(digest.into())
    }

    /// The first training batch of a stage that has images, for calibration.
    ///
    /// # Errors
    /// When a sample cannot be read, or all are left out.
    pub fn first_batch(&self, batch_size: usize) -> Result<Tensor<4>, TrainError> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random("calibrate"));
        let first = self.loader(&self.data.train, Pick::plain(&order), batch_size).filled().next();
        Ok(first.transpose()?.unwrap_or_default().on(self.data.shape, self.device).0)
    }

    /// The training batches that initialise activation parameters: those of [`Recipe::calibration_batches`], or as many
    /// as there are. The first is [`Self::first_batch`].
    ///
    /// # Errors
    /// As [`Self::first_batch`].
    pub fn calibration_batches(&self, recipe: &Recipe) -> Result<Vec<Tensor<4>>, TrainError> {
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random("calibrate"));
        let batches = self.loader(&self.data.train, Pick::plain(&order), recipe.batch_size).filled();
        let batches = batches.take(recipe.calibration_batches.get());
        let tensors = batches.map(|batch| Ok(batch?.on(self.data.shape, self.device).0));
        let tensors = tensors.collect::<Result<Vec<_>, TrainError>>()?;
        match tensors.is_empty() {
            true => Ok(vec![self.first_batch(recipe.batch_size)?]),
            false => Ok(tensors),
        }
    }

    /// The first batches that a stage trains on: `count`, or as many as its first epoch has.
    ///
    /// # Errors
    /// When a sample cannot be read; [`TrainError::TooFewImages`].
    pub fn training_batches(&self, stage: &str, count: usize, batch_size: usize) -> Result<Vec<Tensor<4>>, TrainError> {
        self.steps_per_epoch(stage, batch_size)?;
        let none_left = |batch: &Result<Batch, DatasetError>| batch.as_ref().is_ok_and(|batch| batch.labels.is_empty());
        let batches = self.epoch(stage, 0, 0, batch_size).filter(|batch| !none_left(batch)).take(count);
        let tensors = batches.map(|batch| Ok(batch?.on(self.data.shape, self.device).0));
        let tensors = tensors.collect::<Result<Vec<_>, TrainError>>()?;
        match tensors.is_empty() {
            true => Err(TrainError::TooFewImages { stage: stage.to_owned(), images: 0, batch_size }),
            false => Ok(tensors),
        }
    }

    /// Number of whole batches in an epoch.
    fn steps_per_epoch(&self, stage: &str, batch_size: usize) -> Result<usize, TrainError> {
        let images = self.data.train.len();
        match images / batch_size {
            0 => Err(TrainError::TooFewImages { stage: stage.to_owned(), images, batch_size }),
            steps => Ok(steps),
        }
    }

    /// Indices of `count` training images, drawn uniformly and the same for the same seed: the images of refinement and
    /// of batch-norm re-estimation.
    pub fn some_training_images(&self, count: usize) -> Vec<usize> {
        // Both use this label; with labels of their own, results would change.
        const LABEL: &str = "refine";
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut self.random(LABEL));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// Trains a network, from the start or from its latest checkpoint. `passes` gives the bits of each pass of a step;
    /// it must depend on the step alone.
    ///
    /// # Errors
    /// Unreadable samples; a network that is not finite, before, after, or in any step; checkpoints that cannot be
    /// written;
    /// [`TrainError::Interrupted`].
    pub fn fit(
        &self,
        job: &Job,
        network: Network,
        passes: &mut dyn FnMut(usize) -> Vec<Bits>,
    ) -> Result<Trained, TrainError> {
        let Job { stage, label, recipe, .. } = *job;
        let epochs = recipe.all_epochs();
        // Without epochs there may be fewer images than a batch.
        let per_epoch = if epochs == 0 { 0 } else { self.steps_per_epoch(stage, recipe.batch_size)? };
        let steps = per_epoch * epochs;
        let mut run = self.resume(job, network, steps)?;
        if let (0, Some(unusable)) = (run.done, run.network.unusable()) {
            let network = format!("the network that {label} starts from");
            return Err(TrainError::NotFinite { network, why: unusable.to_string() });
        }
        run.network = run.network.computing(recipe.arithmetic);
        let devices = self.devices();
        let teachers = self.teachers(job, run.network.plan(), &devices)?;
        let mut batches = None;
        self.progress.start(label, steps, run.done);
        while run.done < steps {
            let (step, epoch) = (run.done, run.done / per_epoch);
            let batches = match &mut batches {
                Some(batches) if step % per_epoch != 0 => batches,
                next => next.insert(self.epoch(stage, epoch, step % per_epoch, recipe.batch_size)),
            };
            let batch = batches.next().expect("an epoch has a batch for each of its steps")?;
            let images = batch.labels.len();
            let learning_rate = recipe.learning_rate_at(step, steps, per_epoch);
            let bits = passes(step);
            run.network = run.network.at(step as f64 / steps as f64);
            if images == 0 {
                // None of its images can be read: the step learns nothing, and later steps are unchanged.
                run.done += 1;
                self.after_step(job, &mut run, epoch, (per_epoch, steps), &bits[0])?;
                continue;
            }
            let (shape, classes) = (self.data.shape, self.data.classes);
            let weight = job.update.gradients.share(bits.len());
            let passes = Passes { bits: &bits, weight, recipe, shape, classes };
            let Gradients { sum: mut summed, passes: scored, diverged } =
                passes.gradients(&run.network, &teachers, &devices, batch);
            if let Some((pass, place)) = diverged {
                let what = format!("the loss became {}", scored[pass].loss);
                return Err(self.diverged(job, what, (step + 1, step > 0), learning_rate, place));
            }
            if let Some(place) = run.network.overflowed_statistics() {
                let what = "batch-norm's running statistics overflowed".to_owned();
                let place = format!("in the running statistics: {place}");
                return Err(self.diverged(job, what, (step + 1, step > 0), learning_rate, place));
            }
            if job.update.frozen_weights {
                summed = only(&run.network.quantization_parameters(), summed);
            }
            if recipe.clip_norm > 0.0 {
                summed = clip_norm(&run.network, summed, recipe.clip_norm);
            }
            let before = run.network.quantization();
            run.network = run.optimizer.step(learning_rate, run.network, summed).project(&before);
            run.done += 1;
            self.progress.step(&Step { done: run.done, epoch, learning_rate, images, passes: scored });
            self.after_step(job, &mut run, epoch, (per_epoch, steps), &bits[0])?;
        }
        self.progress.finish();
        let judged = recipe.keep == Keep::Best && self.data.validation.is_some() && steps > 0;
        if judged && run.best.is_none() {
            let network = format!("the network of every epoch of {label}");
            let why = "its loss on the validation images never is, so that there is no best epoch".to_owned();
            return Err(TrainError::NotFinite { network, why });
        }
        Ok(Trained { network: run.network.at(1.0), best: run.best })
    }

    /// Reports step sizes, validates at the end of an epoch, and saves a checkpoint if one is due.
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
        let interrupted = || done < steps && self.is_cancelled();
        if !ends_epoch && !interrupted() && !self.checkpoints.due(done) {
            return Ok(());
        }
        let state = run.network.state();
        if let Some(tensor) = state.not_finite() {
            let learning_rate = job.recipe.learning_rate_at(done - 1, steps, per_epoch);
            let place = format!("those of {tensor}");
            return Err(self.diverged(job, "the network overflowed".to_owned(), (done, true), learning_rate, place));
        }
        if let (true, Some(validation)) = (ends_epoch, &self.data.validation) {
            let all: Vec<usize> = (0..validation.len()).collect();
            let score = self.evaluate_on(&run.network, bits, validation, &all)?;
            // A network whose logits are not finite has the accuracy of guessing, which may be the highest so far.
            let best =
                score.loss.is_finite() && run.best.as_ref().is_none_or(|best| score.accuracy > best.score.accuracy);
            if best {
                run.best = Some(Best { epoch, score, state: state.clone() });
            }
            self.progress.validated(&Validation { done, epoch, score, best });
        }
        let optimizer = run.optimizer.into_bytes().expect("memory holds the optimizer's numbers").to_vec();
        let checkpoint = Checkpoint { step: done, state, optimizer, best: run.best.clone() };
        self.progress.saving();
        self.checkpoints.keep(job.label, &checkpoint)?;
        if interrupted() {
            self.progress.finish();
            return Err(TrainError::Interrupted { stage: job.label.to_owned(), step: done, steps });
        }
        Ok(())
    }

    /// The error of a step, counted from 1; `learned` is whether the network had been changed before it.
    fn diverged(
        &self,
        job: &Job,
        what: String,
        (step, learned): (usize, bool),
        learning_rate: f64,
        place: String,
    ) -> TrainError {
        self.progress.finish();
        let kept = self.checkpoints.latest(job.label).ok().flatten().map(|checkpoint| checkpoint.step);
        TrainError::Diverged { stage: job.stage.to_owned(), what, step, learning_rate, place, learned, kept }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }

    /// Stops work that has no checkpoints if it was cancelled; `doing` describes the work.
    ///
    /// # Errors
    /// [`TrainError::InterruptedMeasuring`].
    pub fn stop_if_asked(&self, doing: &str) -> Result<(), TrainError> {
        if !self.is_cancelled() {
            return Ok(());
        }
        self.progress.finish();
        Err(TrainError::InterruptedMeasuring { doing: doing.to_owned() })
    }

    fn resume(&self, job: &Job, network: Network, steps: usize) -> Result<Running, TrainError> {
        let fresh = optimizer(&network, job.recipe, self.device);
        let Some(kept) = self.checkpoints.latest(job.label)? else {
            return Ok(Running { network, optimizer: fresh, done: 0, best: None });
        };
        // A hash proves that it was written, not by whom.
        let started = network.state();
        let states = std::iter::once(&kept.state).chain(kept.best.as_ref().map(|best| &best.state));
        let misfit = states.filter_map(|state| state.differs_from(&started)).next();
        let beyond = (kept.step > steps).then(|| format!("it is after step {} of {steps}", kept.step));
        let foreign = || optimizer_state::check(&kept.optimizer, &network).err();
        if let Some(why) = misfit.or(beyond).or_else(foreign) {
            return Err(Damaged { path: format!("the checkpoint of {}", job.label), why }.into());
        }
        let optimizer = fresh.from_bytes(Bytes::from_bytes_vec(kept.optimizer)).map_err(|error| {
            StateError::Format { path: format!("checkpoint of {}", job.label), why: error.to_string() }
        })?;
        let network = Network::new(network.plan(), &kept.state, &self.device.clone().autodiff())?;
        Ok(Running { network, optimizer, done: kept.step, best: kept.best })
    }

    /// The teacher, the full-precision network, on each device, if the recipe has distillation.
    fn teachers(&self, job: &Job, plan: &Plan, devices: &[Device]) -> Result<Vec<Network>, TrainError> {
        if job.recipe.distillation == 0.0 {
            return Ok(vec![]);
        }
        let plan = Plan::full_precision(plan.graph.clone(), plan.quantizer.clone());
        Ok(devices.iter().map(|device| Network::new(&plan, job.teacher, device)).collect::<Result<_, _>>()?)
    }

    /// All devices, the main one first.
    pub(super) fn devices(&self) -> Vec<Device> {
        std::iter::once(self.device).chain(self.others).cloned().collect()
    }

    /// The batches of an epoch from a step on. Order and augmentation depend on seed, stage and epoch only.
    fn epoch(&self, stage: &str, epoch: usize, from: usize, batch_size: usize) -> Loader<'a> {
        let mut random = self.random(&format!("{stage} epoch {epoch}"));
        let mut order: Vec<usize> = (0..self.data.train.len()).collect();
        order.shuffle(&mut random);
        order.truncate(order.len() / batch_size * batch_size);
        let picks = Pick::drawn(&order[from * batch_size..], random.next_u64());
        let loader = self.loader(&self.data.train, picks, batch_size);
        if from > 0 { loader.after_others() } else { loader }
    }

    pub(super) fn loader(&self, samples: &Arc<dyn Samples>, picks: Vec<Pick>, batch_size: usize) -> Loader<'a> {
        let batch_size = NonZeroUsize::new(batch_size).unwrap_or(NonZeroUsize::MIN);
        Loader::new(samples.clone(), self.data.shape.elements(), picks, batch_size, self.workers).telling(self.progress)
    }
}

/// The state of a training in progress.
struct Running {
    network: Network,
    optimizer: burn::optim::ModuleOptimizer,
    done: usize,
    best: Option<Best>,
}

//! The stages of a run.

use super::{
    artifacts::Files,
    config::{Config, Refine},
    error::RunError,
    folder::Folder,
    measured::measured,
    policy::policy_picks,
    record::{inputs, json},
    shelf::Shelf,
};
use crate::{
    artifact::Damaged,
    graph::{FIXED_BITS, Graph},
    hash,
    search::{
        ConstraintsError, Indicators, Instance, InstanceError, Policy, Precision, Refined, Rules, SearchError, refine,
        uniform_precisions,
    },
    train::{Bench, Job, Keep, Lab, Loaded, Network, Plan, Quantizer, Score, State, TrainError, Trained, Update},
};
use serde::{Deserialize, Serialize};
use std::{cell::OnceCell, sync::Arc};

pub(super) fn constraints_error(error: impl Into<ConstraintsError>) -> RunError {
    SearchError::Instance(InstanceError::Constraints(error.into())).into()
}

/// What refinement leaves in the folder.
#[derive(Serialize, Deserialize)]
struct Refinement {
    #[serde(flatten)]
    refined: Refined,
    picks: Vec<usize>,
    policy: Policy,
}

/// The jointly trained network that the indicators come from.
const JOINT: &str = "joint.safetensors";

/// What all stages need.
pub(super) struct Stages<'a> {
    pub config: &'a Config,
    pub graph: Arc<Graph>,
    pub quantizer: Arc<dyn Quantizer>,
    pub bench: Bench<'a>,
    /// Hash of what every stage depends on.
    pub basis: String,
}

impl Stages<'_> {
    /// The full-precision network: trained from random numbers or from given weights, or those weights as they are.
    pub fn pretrain(&self, folder: &Folder, weights: Option<Loaded>) -> Result<State, RunError> {
        const NAME: &str = "pretrained.safetensors";
        let recipe = &self.config.pretrain;
        // Not the path: the same file elsewhere is the same weights.
        let options = self.config.weights.as_ref().map(|weights| (&weights.key, weights.new_classifier));
        let key = inputs(&[&self.basis, recipe, &weights.as_ref().map(|weights| &weights.sha256), &options]);
        let [best, last] = validated("pretrained");
        if let Some(state) = folder.stage(&[NAME, &best, &last], &key, |files| self.kept_network(NAME, files))? {
            return Ok(state);
        }
        let plan = Plan::full_precision(self.graph.clone(), self.quantizer.clone());
        let start = weights.map_or_else(|| State::random(&self.graph, self.config.seed), |weights| weights.state);
        let state = match recipe.epochs {
            0 => start,
            _ => {
                let job =
                    Job { stage: "pretrain", label: "pretrain", recipe, teacher: &start, update: Update::default() };
                self.train((folder, "pretrained", &key), &job, &plan, &start, plan.no_bits())?.state()
            }
        };
        let name = match (recipe.epochs, &self.config.weights) {
            (0, Some(_)) => "the given network",
            _ => "the pre-trained network",
        };
        self.bench.check_finite(name, &plan, &state, self.config.indicators.batch_size)?;
        folder.keep(NAME, &key, &state.to_bytes())?;
        self.shelf(folder, &key).clear("pretrain")?;
        Ok(state)
    }

    pub fn indicators(&self, folder: &Folder, pretrained: &State) -> Result<Indicators, RunError> {
        const NAME: &str = "indicators.json";
        let Config { bits, sensitivity, indicators: recipe, .. } = self.config;
        let key = self.indicators_key(pretrained);
        let kept = |files: &Files| -> Result<Indicators, Damaged> {
            let bytes = files[0].as_deref().unwrap_or_default();
            let indicators = Indicators::from_bytes(bytes).map_err(|error| damaged(NAME, error))?;
            let plain = Rules::default().allowed(&self.graph, bits).expect("no rule, no fault");
            indicators.check(&self.graph, &plain).map_err(|error| damaged(NAME, error))?;
            Ok(indicators)
        };
        if let Some(indicators) = folder.stage(&[NAME, JOINT], &key, kept)? {
            return Ok(indicators);
        }
        let metric = sensitivity.build::<dyn crate::train::Sensitivity>()?;
        let shelf = self.shelf(folder, &key);
        let data = self.bench.data.part(recipe.fraction, self.config.seed, "indicators")?;
        let lab = Lab {
            graph: self.graph.clone(),
            pretrained,
            candidates: bits,
            quantizer: self.quantizer.clone(),
            recipe,
            bench: Bench { data: &data, checkpoints: &shelf, ..self.bench },
            joint: OnceCell::new(),
            initial: OnceCell::new(),
            spread: OnceCell::new(),
        };
        let indicators = measured(self.config, &lab, metric.as_ref())?;
        let plain = Rules::default().allowed(&self.graph, bits).expect("no rule, no fault");
        indicators.check(&self.graph, &plain)?;
        if let Some(joint) = lab.joint.get() {
            folder.keep(JOINT, &key, &joint.to_bytes())?;
        }
        let bytes = json(&indicators);
        folder.keep(NAME, &key, &bytes)?;
        shelf.clear("indicators")?;
        shelf.clear_all()?;
        // What is used is what was written, so that a run that goes on later computes with the same numbers.
        Ok(Indicators::from_bytes(&bytes)?)
    }

    fn indicators_key(&self, pretrained: &State) -> String {
        let Config { bits, quantizer, sensitivity, indicators: recipe, .. } = self.config;
        inputs(&[&self.basis, &hash::of_bytes(&pretrained.to_bytes()), bits, quantizer, sensitivity, recipe])
    }

    /// Swaps bits of the found policy while the loss on training images falls. Measured with the jointly trained network, or
    /// with the pre-trained one and calibrated step sizes when the sensitivity trains none.
    pub fn refine(
        &self,
        folder: &Folder,
        pretrained: &State,
        instance: &Instance,
        picks: &[usize],
    ) -> Result<Option<(Refined, Policy)>, RunError> {
        const NAME: &str = "refinement.json";
        let Refine { evaluations, images } = self.config.refine;
        if evaluations == 0 {
            return Ok(None);
        }
        let policy = |picks: &[usize]| Policy::new(&self.graph, instance.bits(picks));
        let finetune = self.config.finetune.batch_size;
        let indicators_key = self.indicators_key(pretrained);
        // It is there if the sensitivity trains one: a run whose indicators have lost it makes them again.
        let joint = folder.find(JOINT, &indicators_key)?;
        let measured = hash::of_bytes(joint.as_deref().unwrap_or_default());
        let key = inputs(&[&indicators_key, &measured, &policy(picks), &self.config.refine, &finetune]);
        let kept = |files: &Files| {
            let Refinement { refined, picks, policy } = first(NAME, files)?;
            let found = policy_picks(&policy, &self.graph, instance).map_err(|why| damaged(NAME, why))?;
            let sound = [refined.loss_before, refined.loss_after].iter().all(|loss| loss.is_finite());
            match found == picks && sound {
                true => Ok((Refined { picks, ..refined }, policy)),
                false => Err(damaged(NAME, "its numbers are not those of its policy")),
            }
        };
        if let Some(refined) = folder.stage(&[NAME], &key, kept)? {
            return Ok(Some(refined));
        }
        let calibration = self.bench.first_batch(self.config.finetune.batch_size)?;
        let joint = joint.map(|bytes| self.joint(folder, &bytes, pretrained, &calibration)).transpose()?;
        let state = joint.as_ref().unwrap_or(pretrained);
        let measured_on = self.bench.some_training_images(images);
        self.bench.progress.start("refine", evaluations, 0);
        let mut first = true;
        let measure = |searched: &[Precision]| -> Result<f64, TrainError> {
            self.bench.stop_if_asked("refining the policy")?;
            let mut searched = searched.iter().copied();
            let bits: crate::train::Bits =
                self.graph.layers().iter().map(|layer| if layer.fixed { None } else { searched.next() }).collect();
            let slots = bits.iter().map(|bits| bits.iter().copied().collect()).collect();
            let plan = Plan::new(self.graph.clone(), slots, self.quantizer.clone());
            let network = Network::new(&plan, state, self.bench.device)?;
            let network = if network.is_uncalibrated() { network.calibrate(calibration.clone()) } else { network };
            let score = self.bench.evaluate_on(&network, &bits, &self.bench.data.train, &measured_on)?;
            // A swap whose loss is not finite is not taken. The found policy's own is what all are compared with.
            if std::mem::take(&mut first) && !score.loss.is_finite() {
                self.bench.progress.finish();
                let why = format!("its loss on {} training images is {}", score.images, score.loss);
                return Err(TrainError::NotFinite {
                    network: "the network at the found bits, before fine-tuning,".to_owned(),
                    why,
                });
            }
            self.bench.progress.note(&format!("loss {:.4}", score.loss));
            Ok(score.loss)
        };
        let refined = refine(instance, picks, evaluations, measure)?;
        self.bench.progress.finish();
        let policy = policy(&refined.picks);
        let made = Refinement { refined: refined.clone(), picks: refined.picks.clone(), policy: policy.clone() };
        folder.keep(NAME, &key, &json(&made))?;
        Ok(Some((refined, policy)))
    }

    /// The jointly trained network that was kept, if it has the tensors of one.
    fn joint(
        &self,
        folder: &Folder,
        bytes: &[u8],
        pretrained: &State,
        calibration: &burn::tensor::Tensor<4>,
    ) -> Result<State, RunError> {
        let wrong = |why: String| Damaged { path: folder.path().join(JOINT).display().to_string(), why };
        let state = State::from_bytes(bytes, JOINT).map_err(|error| wrong(error.to_string()))?;
        let searched: Vec<Precision> = uniform_precisions(self.config.bits.iter()).collect();
        let slots =
            self.graph.layers().iter().map(|layer| if layer.fixed { vec![] } else { searched.clone() }).collect();
        let plan = Plan::new(self.graph.clone(), slots, self.quantizer.clone());
        let fresh = Network::new(&plan, pretrained, self.bench.device)?.calibrate(calibration.clone()).state();
        match state.differs_from(&fresh) {
            Some(why) => Err(wrong(why).into()),
            None => Ok(state),
        }
    }

    /// Fine-tunes at a policy's bits from the pre-trained numbers, and measures it. Stem and classifier are quantized to
    /// their fixed bits, the images too unless `image_bits` says otherwise.
    pub fn finetune(
        &self,
        folder: &Folder,
        file: &str,
        pretrained: &State,
        policy: &Policy,
    ) -> Result<Score, RunError> {
        let (name, result) = (format!("{file}.safetensors"), format!("{file}.json"));
        let label = match file {
            "finetuned" => "fine-tune found",
            "refined" => "fine-tune refined",
            _ => "fine-tune uniform",
        };
        let recipe = &self.config.finetune;
        let quantizer = &self.config.quantizer;
        let evaluate = &self.config.evaluate;
        let pretrained_hash = hash::of_bytes(&pretrained.to_bytes());
        let image_bits = &self.config.image_bits;
        let key = inputs(&[&self.basis, &pretrained_hash, quantizer, recipe, evaluate, &policy.policy, image_bits]);
        let [best, last] = validated(file);
        let kept = |files: &Files| match files[1] {
            Some(_) => first(&result, files).and_then(|score| self.sound(&result, score)).map(Some),
            None => Ok(None),
        };
        if let Some(score) = folder.stage(&[&result, &name, &best, &last], &key, kept)?.flatten() {
            return Ok(score);
        }
        let fixed = Precision::uniform(FIXED_BITS.into()).expect("8 is a bit-width");
        let mut chosen = policy.precisions(&self.graph)?.into_iter();
        let layers = self.graph.layers();
        let bits: Vec<Precision> =
            layers.iter().map(|l| if l.fixed { fixed } else { chosen.next().expect("one for each layer") }).collect();
        let plan = Plan::new(self.graph.clone(), bits.iter().map(|&bits| vec![bits]).collect(), self.quantizer.clone());
        let plan = if self.config.plain_images() { plan.with_plain_images() } else { plan };
        let start = Network::new(&plan, pretrained, self.bench.device)?;
        let start = start.calibrate(self.bench.first_batch(recipe.batch_size)?).state();
        let bits = bits.into_iter().map(Some).collect::<Vec<_>>();
        let job = Job { stage: "finetune", label, recipe, teacher: pretrained, update: Update::default() };
        let network = self.train((folder, file, &key), &job, &plan, &start, bits.clone())?;
        let (network, score) = self.evaluate(&format!("the network of {label}"), network, &bits)?;
        folder.keep(&name, &key, &network.state().to_bytes())?;
        folder.keep(&result, &key, &json(&score))?;
        self.shelf(folder, &key).clear(label)?;
        Ok(score)
    }

    pub fn full_precision(&self, pretrained: &State) -> Result<Score, RunError> {
        let plan = Plan::full_precision(self.graph.clone(), self.quantizer.clone());
        let network = Network::new(&plan, pretrained, self.bench.device)?;
        Ok(self.evaluate("the pre-trained network", network, &plan.no_bits())?.1)
    }

    /// Score on the test set, and the network that reached it: its batch-norm statistics may have been estimated anew. `name` is
    /// what an error calls it.
    fn evaluate(
        &self,
        name: &str,
        network: Network,
        bits: &crate::train::Bits,
    ) -> Result<(Network, Score), TrainError> {
        let named = |error| match error {
            TrainError::NotFinite { why, .. } => TrainError::NotFinite { network: name.to_owned(), why },
            other => other,
        };
        let images = self.config.evaluate.batch_norm_images.min(self.bench.data.train.len());
        if images == 0 {
            let score = self.bench.evaluate(&network, bits).map_err(named)?;
            return Ok((network, score));
        }
        let (network, batch_norm_images) = self.bench.reestimate(&network, bits, images).map_err(named)?;
        let score = Score { batch_norm_images, ..self.bench.evaluate(&network, bits).map_err(named)? };
        Ok((network, score))
    }

    /// A network that was kept, if it is one of this graph.
    fn kept_network(&self, name: &str, files: &Files) -> Result<State, Damaged> {
        let bytes = files[0].as_deref().unwrap_or_default();
        let state = State::from_bytes(bytes, name).map_err(|error| damaged(name, error))?;
        for (tensor, shape) in State::shapes(&self.graph) {
            state.get(&tensor, &shape).map_err(|error| damaged(name, error))?;
        }
        match state.not_finite() {
            Some(tensor) => Err(damaged(name, format!("{tensor:?} has numbers that are not finite"))),
            None => Ok(state),
        }
    }

    /// A score that was kept, if it is one of this data.
    fn sound(&self, name: &str, score: Score) -> Result<Score, Damaged> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let Score { accuracy, top5, loss, images, .. } = score;
        match share(accuracy) && share(top5) && loss.is_finite() && images <= self.bench.data.test.len() {
            true => Ok(score),
            false => Err(damaged(name, format!("no score on these images is {score:?}"))),
        }
    }

    fn shelf<'a>(&'a self, folder: &'a Folder, inputs: &'a str) -> Shelf<'a> {
        Shelf { folder, inputs, options: &self.config.checkpoints, progress: self.bench.progress }
    }

    /// Trains at fixed bits; the network that the recipe keeps. With validation images both the last and the best one are
    /// left in the folder, under `name`.
    fn train(
        &self,
        (folder, name, key): (&Folder, &str, &str),
        job: &Job,
        plan: &Plan,
        start: &State,
        bits: crate::train::Bits,
    ) -> Result<Network, RunError> {
        let shelf = self.shelf(folder, key);
        let data = self.bench.data.part(job.recipe.fraction, self.config.seed, job.stage)?;
        let bench = Bench { data: &data, checkpoints: &shelf, ..self.bench };
        let network = Network::new(plan, start, &self.bench.device.clone().autodiff())?;
        let Trained { network, best } = bench.fit(job, network, &mut |_| vec![bits.clone()])?;
        if let Some(best) = &best {
            let [best_name, last_name] = validated(name);
            folder.keep(&best_name, key, &best.state.to_bytes())?;
            folder.keep(&last_name, key, &network.state().to_bytes())?;
        }
        match best.filter(|_| job.recipe.keep == Keep::Best) {
            Some(best) => Ok(Network::new(plan, &best.state, self.bench.device)?),
            None => Ok(network),
        }
    }
}

/// An artifact that is what was written, and yet of no use: a hash says that it was written, not by whom.
pub(super) fn damaged(name: &str, why: impl std::fmt::Display) -> Damaged {
    Damaged { path: name.to_owned(), why: why.to_string() }
}

/// The first of a stage's artifacts, called `name`, read as JSON.
pub(super) fn first<T: serde::de::DeserializeOwned>(name: &str, files: &Files) -> Result<T, Damaged> {
    serde_json::from_slice(files[0].as_deref().unwrap_or_default()).map_err(|error| damaged(name, error))
}

/// The networks of the best and of the last epoch.
fn validated(name: &str) -> [String; 2] {
    ["best", "last"].map(|which| format!("{name}.{which}.safetensors"))
}

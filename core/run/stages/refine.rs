//! Refinement by measurement: bits of the found policy are swapped while the loss on training images falls. The loss is
//! measured with the jointly trained network, or, if the sensitivity trains none, with the full-precision network and
//! calibrated step sizes.

use super::{
    super::{
        Config, RunError,
        pipeline::Run,
        record::{inputs, json},
    },
    Stage, damaged,
    indicators::JOINT,
    names, parsed,
    search::{self, policy_picks},
};
use crate::{
    search::{Instance, Policy, Precision, Refined, refine, uniform_precisions},
    store::{Files, Leaves, artifact::Damaged},
    train::{Bits, Network, Plan, State, TrainError},
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The stage.
pub(super) struct RefinePolicy;

/// Its result.
pub(super) const NAME: &str = "refinement.json";
const NETWORK: &str = "pretrained.safetensors";
const INDICATORS: &str = "indicators.json";

/// Content of its result file.
#[derive(Serialize, Deserialize)]
pub(super) struct Refinement {
    #[serde(flatten)]
    refined: Refined,
    picks: Vec<usize>,
    pub policy: Policy,
}

/// Whether a config asks for it.
pub(super) fn is_asked_for(config: &Config) -> bool {
    config.refine.evaluations > 0
}

/// The kept refinement, with the choices of the refined policy in the integer program.
pub(super) fn refined(run: &Run) -> Result<RefinedPolicy, RunError> {
    let Refinement { refined, picks, policy } = parsed(NAME, Some(&run.read(NAME)?))?;
    Ok(RefinedPolicy { refined: Refined { picks, ..refined }, policy })
}

/// A refined policy.
pub(super) struct RefinedPolicy {
    pub refined: Refined,
    pub policy: Policy,
}

impl Stage for RefinePolicy {
    fn name(&self) -> &'static str {
        "refine"
    }

    fn does(&self) -> &'static str {
        "swaps bits of the found policy while the measured loss falls"
    }

    fn leaves(&self) -> Leaves {
        let reads = names([NETWORK, INDICATORS, JOINT, search::NAME]);
        Leaves { always: names([NAME]), reads, settings: vec!["refine"], ..Leaves::default() }
    }

    fn is_asked_for(&self, config: &Config) -> bool {
        is_asked_for(config)
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        let [indicators, joint, policy] = [INDICATORS, JOINT, search::NAME].map(|name| run.content_of(name));
        // The limits and costs that swaps respect are inputs of the policy; the full-precision network is an input of
        // the indicators.
        let [of_indicators, of_policy] = [INDICATORS, search::NAME].map(|name| run.inputs_of(name));
        let (refine, batch) = (&run.config.refine, &run.config.finetune.batch_size);
        Ok(Some(inputs(&[&of_indicators, &indicators, &joint, &of_policy, &policy, refine, batch])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        let Refinement { refined, picks, policy } = parsed(NAME, files[0].as_deref())?;
        let found = run.searching(|_, instance| Ok(policy_picks(&policy, &run.setup.graph, instance)));
        let found = found.unwrap_or_else(|error| Err(error.to_string())).map_err(|why| damaged(NAME, why))?;
        let sound = [refined.loss_before, refined.loss_after].iter().all(|loss| loss.is_finite());
        match found == picks && sound {
            true => Ok(()),
            false => Err(damaged(NAME, "its costs are not those of its policy")),
        }
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let (_, picks) = search::found(run)?;
        run.searching(|_, instance| {
            let refined = measured(run, instance, &picks)?;
            let (picks, policy) = (refined.picks.clone(), Policy::new(&run.setup.graph, instance.bits(&refined.picks)));
            Ok(run.folder.keep(NAME, key, &json(&Refinement { refined, picks, policy }))?)
        })
    }
}

fn measured(run: &Run, instance: &Instance, picks: &[usize]) -> Result<Refined, RunError> {
    let (train, graph, evaluations) = (&run.train, &run.setup.graph, run.config.refine.evaluations);
    let calibration = train.calibration_batches(&run.config.finetune)?;
    let pretrained = run.network(NETWORK)?;
    let joint = if run.has(JOINT) { Some(joint(run, &pretrained, &calibration)?) } else { None };
    let state = joint.as_ref().unwrap_or(&pretrained);
    let measured_on = train.some_training_images(run.config.refine.images);
    train.progress.start("refine", evaluations, 0);
    let mut first = true;
    let measure = |searched: &[Precision]| -> Result<f64, TrainError> {
        train.stop_if_asked("refining the policy")?;
        let mut searched = searched.iter().copied();
        let bits: Bits = graph.layers().iter().map(|layer| if layer.fixed { None } else { searched.next() }).collect();
        let slots = bits.iter().map(|bits| bits.iter().copied().collect()).collect();
        let plan = Plan::new(graph.clone(), slots, run.setup.quantizer.clone());
        let network = Network::new(&plan, state, train.device)?;
        let network = if network.is_uncalibrated() { network.calibrate_on(&calibration) } else { network };
        let score = train.evaluate_on(&network, &bits, &train.data.train, &measured_on)?;
        // A swap whose loss is not finite is rejected. The found policy's own loss must be finite, since all are
        // compared with it.
        if std::mem::take(&mut first) && !score.loss.is_finite() {
            train.progress.finish();
            let why = format!("its loss on {} training images is {}", score.images, score.loss);
            let network = "the network at the found bits, before fine-tuning,".to_owned();
            return Err(TrainError::NotFinite { network, why });
        }
        train.progress.note(&format!("loss {:.4}", score.loss));
        Ok(score.loss)
    };
    let refined = refine(instance, picks, evaluations, measure)?;
    train.progress.finish();
    Ok(refined)
}

/// The jointly trained network that was kept, if it has the tensors that are needed.
fn joint(run: &Run, pretrained: &State, calibration: &[Tensor<4>]) -> Result<State, RunError> {
    let wrong = |why: String| Damaged { path: run.folder.path().join(JOINT).display().to_string(), why };
    let state = State::from_bytes(&run.read(JOINT)?, JOINT).map_err(|error| wrong(error.to_string()))?;
    let searched: Vec<Precision> = uniform_precisions(run.config.bits.iter()).collect();
    let layers = run.setup.graph.layers();
    let slots = layers.iter().map(|layer| if layer.fixed { vec![] } else { searched.clone() }).collect();
    let plan = Plan::new(run.setup.graph.clone(), slots, run.setup.quantizer.clone());
    let fresh = Network::new(&plan, pretrained, run.train.device)?.calibrate_on(calibration).state();
    match state.differs_from(&fresh) {
        Some(why) => Err(wrong(why).into()),
        None => Ok(state),
    }
}

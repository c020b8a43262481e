//! Shared by the stages that train a network at fixed bits: training, evaluation, and checks of kept files.

use super::{
    super::{RunError, pipeline::Run},
    damaged, parsed,
};
use crate::{
    store::artifact::Damaged,
    train::{Bits, Job, Keep, Network, Plan, Score, State, TrainContext, TrainError, Trained},
};

/// File names of the networks of the best and of the last epoch, which exist if there are validation images.
pub fn of_epochs(name: &str) -> [String; 2] {
    ["best", "last"].map(|which| format!("{name}.{which}.safetensors"))
}

/// A training at fixed bits.
pub struct Training<'a> {
    /// Base name of its files.
    pub name: &'a str,
    pub job: &'a Job<'a>,
    pub plan: &'a Plan,
    pub start: &'a State,
}

impl Training<'_> {
    /// Trains, and returns the network that the recipe keeps. With validation images, both the last and the best
    /// network are written to the folder.
    pub fn run(&self, run: &Run, key: &str, bits: Bits) -> Result<Network, RunError> {
        let Training { name, job, plan, start } = *self;
        let checkpoints = run.checkpoints(key);
        let data = run.train.data.part(job.recipe.fraction, run.config.seed, job.stage)?;
        let train = TrainContext { data: &data, checkpoints: &checkpoints, ..run.train };
        let network = Network::new(plan, start, &run.train.device.clone().autodiff())?;
        let Trained { network, best } = train.fit(job, network, &mut |_| vec![bits.clone()])?;
        if let Some(best) = &best {
            let [best_name, last_name] = of_epochs(name);
            run.folder.keep(&best_name, key, &best.state.to_bytes())?;
            run.folder.keep(&last_name, key, &network.state().to_bytes())?;
        }
        match best.filter(|_| job.recipe.keep == Keep::Best) {
            Some(best) => Ok(Network::new(plan, &best.state, run.train.device)?),
            None => Ok(network),
        }
    }
}

/// The score on the test set, and the network it belongs to: its batch-norm statistics may have been re-estimated.
/// `name` is used in errors.
pub fn evaluate(run: &Run, name: &str, network: Network, bits: &Bits) -> Result<(Network, Score), TrainError> {
    let named = |error| match error {
        TrainError::NotFinite { why, .. } => TrainError::NotFinite { network: name.to_owned(), why },
        other => other,
    };
    let images = run.config.evaluate.batch_norm_images.min(run.train.data.train.len());
    if images == 0 {
        let score = run.train.evaluate(&network, bits).map_err(named)?;
        return Ok((network, score));
    }
    let (network, batch_norm_images) = run.train.reestimate(&network, bits, images).map_err(named)?;
    let score = Score { batch_norm_images, ..run.train.evaluate(&network, bits).map_err(named)? };
    Ok((network, score))
}

/// Checks that a kept network belongs to this graph.
pub fn check_network(run: &Run, name: &str, file: Option<&[u8]>) -> Result<(), Damaged> {
    let state = State::from_bytes(file.unwrap_or_default(), name).map_err(|error| damaged(name, error))?;
    for (tensor, shape) in State::shapes(&run.setup.graph) {
        state.get(&tensor, &shape).map_err(|error| damaged(name, error))?;
    }
    match state.not_finite() {
        Some(tensor) => Err(damaged(name, format!("{tensor:?} has values that are not finite"))),
        None => Ok(()),
    }
}

/// Checks that a kept score is possible for this data.
pub fn check_score(run: &Run, name: &str, file: Option<&[u8]>) -> Result<(), Damaged> {
    let score: Score = parsed(name, file)?;
    let share = |share: f64| (0.0..=1.0).contains(&share);
    let Score { accuracy, top5, loss, images, .. } = score;
    match share(accuracy) && share(top5) && loss.is_finite() && images <= run.train.data.test.len() {
        true => Ok(()),
        false => Err(damaged(name, format!("{score:?} cannot be a score on these images"))),
    }
}

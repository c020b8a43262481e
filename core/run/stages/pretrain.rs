//! Pre-training: the full-precision network, trained from random initialisation or from given weights, or the given
//! weights unchanged.

use super::{
    super::{RunError, pipeline::Run, record::inputs},
    Stage, names,
    trained::{self, Training},
};
use crate::{
    store::{Files, Leaves, artifact::Damaged},
    train::{Job, Plan, State, Update},
};

/// The stage.
pub(super) struct Pretrain;

const NAME: &str = "pretrained.safetensors";

impl Stage for Pretrain {
    fn name(&self) -> &'static str {
        "pretrain"
    }

    fn does(&self) -> &'static str {
        "trains the full-precision network, or takes given weights"
    }

    fn leaves(&self) -> Leaves {
        let sometimes = trained::of_epochs("pretrained").to_vec();
        Leaves { always: names([NAME]), sometimes, reads: vec![], settings: vec!["pretrain"] }
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        let weights = &run.setup.weights;
        // Not the path: the same file at another place holds the same weights.
        let options = run.config.weights.as_ref().map(|weights| (&weights.key, weights.new_classifier));
        let sha256 = weights.as_ref().map(|weights| &weights.sha256);
        Ok(Some(inputs(&[&run.setup.basis, &run.config.pretrain, &sha256, &options])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        trained::check_network(run, NAME, files[0].as_deref())
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let (recipe, graph) = (&run.config.pretrain, &run.setup.graph);
        let plan = Plan::full_precision(graph.clone(), run.setup.quantizer.clone());
        let given = run.setup.weights.as_ref().map(|weights| weights.state.clone());
        let start = given.unwrap_or_else(|| State::random(graph, run.config.seed));
        let state = match recipe.epochs {
            0 => start,
            _ => {
                let label = self.name();
                let job = Job { stage: "pretrain", label, recipe, teacher: &start, update: Update::default() };
                let training = Training { name: "pretrained", job: &job, plan: &plan, start: &start };
                training.run(run, key, plan.no_bits())?.state()
            }
        };
        let name = match (recipe.epochs, &run.config.weights) {
            (0, Some(_)) => "the given network",
            _ => "the pre-trained network",
        };
        run.train.check_finite(name, &plan, &state, run.config.indicators.batch_size)?;
        run.folder.keep(NAME, key, &state.to_bytes())?;
        Ok(run.checkpoints(key).clear(self.name())?)
    }
}

//! Evaluation of the full-precision network on the test images; fine-tuned networks are evaluated by their own stages.

use super::{
    super::{
        RunError,
        pipeline::Run,
        record::{inputs, json},
    },
    Stage, names, trained,
};
use crate::{
    store::{Files, Leaves, artifact::Damaged},
    train::{Network, Plan},
};

/// The stage.
pub(super) struct Evaluate;

/// Its result.
pub(super) const NAME: &str = "pretrained.json";
const NETWORK: &str = "pretrained.safetensors";

impl Stage for Evaluate {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn does(&self) -> &'static str {
        "measures the full-precision network on the test images"
    }

    fn leaves(&self) -> Leaves {
        Leaves { always: names([NAME]), reads: names([NETWORK]), settings: vec!["evaluate"], ..Leaves::default() }
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        Ok(Some(inputs(&[&run.setup.basis, &run.content_of(NETWORK), &run.config.evaluate])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        trained::check_score(run, NAME, files[0].as_deref())
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let plan = Plan::full_precision(run.setup.graph.clone(), run.setup.quantizer.clone());
        let network = Network::new(&plan, &run.network(NETWORK)?, run.train.device)?;
        let (_, score) = trained::evaluate(run, "the pre-trained network", network, &plan.no_bits())?;
        Ok(run.folder.keep(NAME, key, &json(&score))?)
    }
}

//! Fine-tuning of the full-precision network at a policy's bits, and its evaluation: for the found policy, for the
//! refined one, and for the baseline, the best uniform policy within the budgets. First and last layer are quantized to
//! their fixed bits, and so are the images unless `image_bits` says otherwise.

use super::{
    super::{
        Config, RunError,
        pipeline::Run,
        record::{inputs, json},
    },
    Stage, names, refine, search,
    trained::{self, Training},
};
use crate::{
    search::{Policy, Precision},
    store::{Files, Leaves, artifact::Damaged},
    train::{Job, Network, Plan, Update},
};

/// The stage for one policy.
pub(super) struct Finetune {
    /// Base name of its files.
    file: &'static str,
    name: &'static str,
    does: &'static str,
    /// What it reads besides the full-precision network.
    reads: &'static str,
    /// The other settings that the policy depends on.
    settings: &'static [&'static str],
    is_asked_for: fn(&Config) -> bool,
    /// The policy, if there is one.
    policy: fn(&Run) -> Result<Option<Policy>, RunError>,
}

/// For the found policy.
pub(super) const FOUND: Finetune = Finetune {
    file: "finetuned",
    name: "fine-tune found",
    does: "trains at the found bits and measures the network",
    reads: search::NAME,
    settings: &[],
    is_asked_for: |_| true,
    policy: |run| Ok(Some(search::found(run)?.0.policy)),
};

/// For the refined policy.
pub(super) const REFINED: Finetune = Finetune {
    file: "refined",
    name: "fine-tune refined",
    does: "trains at the refined bits and measures the network",
    reads: refine::NAME,
    settings: &[],
    is_asked_for: refine::is_asked_for,
    policy: |run| Ok(Some(refine::refined(run)?.policy)),
};

/// For the best uniform policy within the budgets; there may be none.
pub(super) const UNIFORM: Finetune = Finetune {
    file: "uniform",
    name: "fine-tune uniform",
    does: "trains at the best uniform bits within the budgets and measures the network",
    reads: "indicators.json",
    settings: &["search", "cost"],
    is_asked_for: |_| true,
    policy: |run| {
        let best = run.searching(|search, _| Ok(search.best_uniform()?))?;
        Ok(best.map(|uniform| Policy::uniform(&run.setup.graph, uniform.bits)))
    },
};

const NETWORK: &str = "pretrained.safetensors";

impl Finetune {
    /// Name of the file with the score, the stage's result.
    pub fn result(&self) -> String {
        format!("{}.json", self.file)
    }

    fn network(&self) -> String {
        format!("{}.safetensors", self.file)
    }
}

impl Stage for Finetune {
    fn name(&self) -> &'static str {
        self.name
    }

    fn does(&self) -> &'static str {
        self.does
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            always: vec![self.result(), self.network()],
            sometimes: trained::of_epochs(self.file).to_vec(),
            reads: names([NETWORK, self.reads]),
            settings: [&["finetune", "evaluate", "quantizer", "image_bits"], self.settings].concat(),
        }
    }

    fn is_asked_for(&self, config: &Config) -> bool {
        (self.is_asked_for)(config)
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        let Config { quantizer, finetune, evaluate, image_bits, .. } = run.config;
        // The bits alone, not how they were found: the same bits give the same network.
        let Some(policy) = (self.policy)(run)? else { return Ok(None) };
        let (basis, network) = (&run.setup.basis, run.content_of(NETWORK));
        Ok(Some(inputs(&[basis, &network, quantizer, finetune, evaluate, &policy.policy, image_bits])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        trained::check_score(run, &self.result(), files[0].as_deref())
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        let Some(policy) = (self.policy)(run)? else { return Ok(()) };
        let (recipe, graph) = (&run.config.finetune, &run.setup.graph);
        let mut chosen = policy.precisions(graph)?.into_iter();
        let layers = graph.layers();
        let bits: Vec<Precision> = layers
            .iter()
            .map(|l| if l.fixed { l.fixed_bits } else { chosen.next().expect("one for each layer") })
            .collect();
        let slots = bits.iter().map(|&bits| vec![bits]).collect();
        let plan = Plan::new(graph.clone(), slots, run.setup.quantizer.clone());
        let plan = if run.config.plain_images() { plan.with_plain_images() } else { plan };
        let pretrained = run.network(NETWORK)?;
        let start = Network::new(&plan, &pretrained, run.train.device)?;
        let start = start.calibrate_on(&run.train.calibration_batches(recipe)?).state();
        let bits = bits.into_iter().map(Some).collect::<Vec<_>>();
        let label = self.name;
        let job = Job { stage: "finetune", label, recipe, teacher: &pretrained, update: Update::default() };
        let training = Training { name: self.file, job: &job, plan: &plan, start: &start };
        let network = training.run(run, key, bits.clone())?;
        let (network, score) = trained::evaluate(run, &format!("the network of {label}"), network, &bits)?;
        run.folder.keep(&self.network(), key, &network.state().to_bytes())?;
        run.folder.keep(&self.result(), key, &json(&score))?;
        Ok(run.checkpoints(key).clear(label)?)
    }
}

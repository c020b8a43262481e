//! A whole experiment: its stages one after another.

use super::{
    config::Config,
    error::RunError,
    folder::Folder,
    origin::Origin,
    record::{fingerprint, inputs, json, program, versions},
    stages::{Stages, constraints_error},
    summary::{Entrant, Summary},
};
use crate::{
    search::{Instance, Named, Policy, Search, SearchError},
    train::{Bench, CancelToken, Nowhere, Progress, Quantizer, start_threads},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a run lies.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Folders of other runs. What they hold that was made from the same inputs is copied from there.
    pub others: &'a [PathBuf],
    /// Whether results in the folder that are of another run, or damaged, are made anew.
    pub replace: bool,
}

/// Runs every stage of a config in a folder; finished stages whose inputs have not changed are taken from it.
///
/// # Errors
/// A folder with results of another run; the first stage that fails. What was finished before stays.
pub fn run(config: &Config, out: &Path, progress: &dyn Progress) -> Result<Summary, RunError> {
    run_in(config, Place { folder: out, others: &[], replace: false }, progress, &CancelToken::default())
}

/// As [`run`], in a place of which more is said, and until somebody cancels it.
///
/// # Errors
/// As [`run`]; [`TrainError::Interrupted`](crate::train::TrainError::Interrupted) and its like.
pub fn run_in(
    config: &Config,
    place: Place,
    progress: &dyn Progress,
    cancel: &CancelToken,
) -> Result<Summary, RunError> {
    start_threads()?;
    let folder = Folder::open(place.folder)?.beside(place.others);
    let data = config.data()?;
    data.remarks.iter().for_each(|remark| progress.remark(remark));
    let model = config.model.build::<dyn crate::graph::Model>()?;
    let mut graph = model.graph(data.shape, data.classes)?;
    graph.model.clone_from(&config.model.name);
    graph.options = Some(config.model.options.clone());
    let quantizer: Arc<dyn Quantizer> = config.quantizer.build::<dyn Quantizer>()?.into();
    // Bad budgets and unknown solvers must not come to light after hours of training.
    let budgets = config.budgets()?;
    let solver = config.solver.build::<dyn crate::search::Solver>()?;
    let rules = config.search.rules().map_err(|(_, error)| constraints_error(error))?;
    let constraints = config.constraints(&graph, &budgets, &rules);
    constraints.preflight(solver.as_ref())?;
    let costs = Instance::new(&constraints, |_, _| Some(0.0)).map_err(SearchError::Instance)?.problem;
    let weights = config.weights.as_ref().map(|weights| weights.load(&graph, config.seed)).transpose()?;
    if let Some(remark) = model.weights_remark().filter(|_| weights.is_some()) {
        progress.remark(&remark);
    }
    let devices = config.device.open(config.mixed_precision())?;
    config.device.remark().iter().for_each(|remark| progress.remark(remark));
    let program = program().map_err(RunError::Program)?;
    let images = fingerprint(&data)?;
    let versions = versions(&program, &images, &costs, config, weights.as_ref());
    let folder = folder.begin(Origin { config: config.to_toml(), versions }, place.replace)?;
    let stages = Stages {
        config,
        graph: Arc::new(graph.clone()),
        quantizer,
        bench: Bench {
            data: &data,
            device: &devices[0],
            others: &devices[1..],
            seed: config.seed,
            workers: config.split.workers(),
            progress,
            cancel: Some(cancel),
            checkpoints: &Nowhere,
        },
        basis: inputs(&[&program, &config.seed, &config.device, &config.dataset, &config.model, &images]),
    };
    let pretrained = stages.pretrain(&folder, weights)?;
    let indicators = stages.indicators(&folder, &pretrained)?;
    let search =
        Search { constraints, indicators: &indicators, alpha: config.search.alpha, rising: config.search.rising() };
    let instance = search.instance()?;
    let named = Named::new(&config.solver.name, solver.as_ref());
    let (found, picks) = stages.policy(&folder, &search, &instance, named)?;
    stages.bench.stop_if_asked("searching")?;
    let refined = stages.refine(&folder, &pretrained, &instance, &picks)?;
    let full = stages.full_precision(&pretrained)?;
    let mut entrants = vec![Entrant {
        name: "full precision".into(),
        score: full,
        used: found.budgets.iter().map(|budget| budget.at_32_bits).collect(),
        objective: None,
    }];
    entrants.push(Entrant {
        name: config.sensitivity.name.clone(),
        score: stages.finetune(&folder, "finetuned", &pretrained, &found.policy)?,
        used: found.budgets.iter().map(|budget| Some(budget.used)).collect(),
        objective: Some(found.objective),
    });
    if let Some((refined, policy)) = &refined {
        let used = search.uses(&instance, &refined.picks);
        entrants.push(Entrant {
            name: format!("{}, refined", config.sensitivity.name),
            score: stages.finetune(&folder, "refined", &pretrained, policy)?,
            used: used.iter().map(|budget| Some(budget.used)).collect(),
            objective: Some(instance.problem.objective(&refined.picks)),
        });
    }
    if let Some(uniform) = search.best_uniform()? {
        let bits = uniform.bits;
        entrants.push(Entrant {
            name: format!("uniform {bits}"),
            score: stages.finetune(&folder, "uniform", &pretrained, &Policy::uniform(&stages.graph, bits))?,
            used: uniform.used,
            objective: Some(uniform.objective),
        });
    }
    let summary = Summary::new(config, &stages.graph, found, refined.map(|(refined, _)| refined), entrants);
    folder.finish(&json(&summary))?;
    Ok(summary)
}

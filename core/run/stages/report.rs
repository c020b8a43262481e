//! The result of a run: `summary.json`, built from the artifacts of the stages.

use super::{
    super::{RunError, pipeline::Run},
    evaluate, finetune, parsed, refine, search,
};
use crate::{
    search::{Accounting, BudgetUse, Policy, Proof, Refined, RisingIndicators},
    train::Score,
};
use serde::{Deserialize, Serialize};

/// One network of the final comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkResult {
    /// What it is: full precision, the found policy, or the uniform one.
    pub name: String,
    /// Accuracy and loss on the test set.
    pub score: Score,
    /// Use of each budget, in the order and units of [`Summary::budgets`]. `None` if a cost is not known.
    pub used: Vec<Option<f64>>,
    /// Objective of the integer program.
    pub objective: Option<f64>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The experiment.
    pub name: String,
    /// The network.
    pub model: String,
    /// Its seed.
    pub seed: u64,
    /// How costs were counted.
    pub accounting: Accounting,
    /// Weight of the weights' indicators.
    pub alpha: f64,
    /// Whether bit-widths could be chosen whose indicator is below that of the next higher one.
    pub rising_indicators: RisingIndicators,
    /// What was minimised.
    pub sensitivity: String,
    /// Warnings about the indicators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The budgets and their use by the found policy.
    pub budgets: Vec<BudgetUse>,
    /// Proof of the found policy.
    pub proof: Proof,
    /// What refinement by measurement did, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refined: Option<Refined>,
    /// The networks of the comparison: full precision, found, refined (if asked for), best uniform (if one is within
    /// the budgets).
    pub networks: Vec<NetworkResult>,
    /// The found bits.
    pub policy: Policy,
}

/// Builds the summary from the artifacts of the stages.
pub(in crate::run) fn report(run: &Run) -> Result<Summary, RunError> {
    let config = run.config;
    let (found, _) = search::found(run)?;
    let refined = if refine::is_asked_for(config) { Some(refine::refined(run)?.refined) } else { None };
    let score = |name: &str| -> Result<Score, RunError> { Ok(parsed(name, Some(&run.read(name)?))?) };
    let networks = run.searching(|search, instance| {
        let mut networks = vec![NetworkResult {
            name: "full precision".into(),
            score: score(evaluate::NAME)?,
            used: found.budgets.iter().map(|budget| budget.at_32_bits).collect(),
            objective: None,
        }];
        networks.push(NetworkResult {
            name: config.sensitivity.name.clone(),
            score: score(&finetune::FOUND.result())?,
            used: found.budgets.iter().map(|budget| Some(budget.used)).collect(),
            objective: Some(found.objective),
        });
        if let Some(refined) = &refined {
            let used = search.uses(instance, &refined.picks);
            networks.push(NetworkResult {
                name: format!("{}, refined", config.sensitivity.name),
                score: score(&finetune::REFINED.result())?,
                used: used.iter().map(|budget| Some(budget.used)).collect(),
                objective: Some(instance.problem.objective(&refined.picks)),
            });
        }
        if let Some(uniform) = search.best_uniform()? {
            networks.push(NetworkResult {
                name: format!("uniform {}", uniform.bits),
                score: score(&finetune::UNIFORM.result())?,
                used: uniform.used,
                objective: Some(uniform.objective),
            });
        }
        Ok(networks)
    })?;
    Ok(Summary {
        name: config.name.clone(),
        model: run.setup.graph.model.clone(),
        seed: config.seed,
        accounting: found.accounting,
        alpha: found.alpha,
        rising_indicators: found.rising_indicators,
        warnings: found.warnings,
        sensitivity: config.sensitivity.name.clone(),
        budgets: found.budgets,
        proof: found.proof,
        refined,
        networks,
        policy: found.policy,
    })
}

//! The search of a run. Its policy is kept before anything is made with it: a solver that a limit stops may answer otherwise
//! the next time, and a run that was killed must go on with the policy that it was fine-tuning.

use super::{
    artifacts::Files,
    error::RunError,
    folder::Folder,
    record::{inputs, json, of_problem},
    stages::{Stages, damaged, first},
};
use crate::{
    artifact::Damaged,
    graph::Graph,
    search::{Found, Instance, LayerBits, Named, Policy, Proof, Search, Solved},
};
use serde::Deserialize;

/// The policy with its proof, and the same as LIMPQ's lists.
const NAMES: [&str; 2] = ["policy.json", "policy.yaml"];

/// What is read back of a policy; the rest follows from it and the search.
#[derive(Deserialize)]
struct Kept {
    schema: u32,
    policy: Vec<LayerBits>,
    proof: Proof,
}

impl Stages<'_> {
    /// The found policy, and its options in the instance.
    pub fn policy(
        &self,
        folder: &Folder,
        search: &Search,
        instance: &Instance,
        solver: Named,
    ) -> Result<(Found, Vec<usize>), RunError> {
        let config = self.config;
        let key = inputs(&[&self.basis, &config.bits, &config.search, &config.solver, &of_problem(&instance.problem)]);
        let kept = folder.stage(&NAMES, &key, |files| self.kept_policy(files, instance))?;
        let found = |solved: &Solved| search.found(instance, solved, solver.name);
        if let Some(solved) = kept {
            return Ok((found(&solved), solved.picks));
        }
        let mut solved = search.solve(instance, solver, None)?;
        // All else is the same when a run is done again.
        solved.proof.seconds = 0.0;
        let found = found(&solved);
        folder.keep(NAMES[1], &key, found.policy.to_limpq_yaml().as_bytes())?;
        folder.keep(NAMES[0], &key, &json(&found))?;
        Ok((found, solved.picks))
    }

    fn kept_policy(&self, files: &Files, instance: &Instance) -> Result<Solved, Damaged> {
        let wrong = |why: String| damaged(NAMES[0], why);
        let Kept { schema, policy, proof } = first(NAMES[0], files)?;
        let policy = Policy { schema, model: None, network: None, policy };
        let picks = policy_picks(&policy, &self.graph, instance).map_err(wrong)?;
        let objective = instance.problem.objective(&picks);
        match proof.bound.is_finite() && proof.gap.is_finite() && proof.bound <= objective {
            true => Ok(Solved { picks, objective, proof }),
            false => Err(wrong(format!("its proof is none: a bound of {} for {objective}", proof.bound))),
        }
    }
}

/// The options that a policy which was kept stands for, if an instance has them and it keeps every budget.
pub(super) fn policy_picks(policy: &Policy, graph: &Graph, instance: &Instance) -> Result<Vec<usize>, String> {
    let bits = policy.precisions(graph).map_err(|error| error.to_string())?;
    let picks = instance.picks(&bits).ok_or("it has bits that a layer may not have in this search")?;
    match instance.problem.feasible(&picks) {
        true => Ok(picks),
        false => Err("its policy does not keep the budgets".to_owned()),
    }
}

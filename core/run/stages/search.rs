//! The search of a run. Its policy is kept before anything else is made with it: a solver that is stopped by a limit
//! may find another policy next time, and a resumed run must continue with the policy that it was fine-tuning.

use super::{
    super::{
        RunError,
        pipeline::Run,
        record::{inputs, json, of_problem},
    },
    Stage, damaged, names, parsed,
};
use crate::{
    graph::Graph,
    search::{Found, Instance, LayerBits, Named, Policy, Proof, Solved},
    store::{Files, Leaves, artifact::Damaged},
};
use serde::Deserialize;

/// The stage.
pub(super) struct SearchPolicy;

/// The policy with its proof.
pub(super) const NAME: &str = "policy.json";
/// The same in the format of LIMPQ's lists.
const LISTS: &str = "policy.yaml";

/// The parts of a kept policy that are read back; the rest follows from them and the search.
#[derive(Deserialize)]
struct Kept {
    schema: u32,
    policy: Vec<LayerBits>,
    proof: Proof,
}

impl Stage for SearchPolicy {
    fn name(&self) -> &'static str {
        "search"
    }

    fn does(&self) -> &'static str {
        "finds the bits of least loss within the budgets"
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            always: names([NAME]),
            sometimes: names([LISTS]),
            reads: names(["indicators.json"]),
            settings: vec!["search", "solver", "cost"],
        }
    }

    fn key(&self, run: &Run) -> Result<Option<String>, RunError> {
        let (config, basis) = (run.config, &run.setup.basis);
        // The integer program contains the indicators and the costs, which may come from files.
        let problem = run.searching(|_, instance| Ok(of_problem(&instance.problem)))?;
        Ok(Some(inputs(&[basis, &config.bits, &config.search, &config.solver, &problem])))
    }

    fn check(&self, run: &Run, files: &Files) -> Result<(), Damaged> {
        let file = files[0].as_deref();
        let checked = run.searching(|_, instance| Ok(kept(run, file, instance).map(drop)));
        checked.unwrap_or_else(|error| Err(damaged(NAME, error)))
    }

    fn run(&self, run: &Run, key: &str) -> Result<(), RunError> {
        run.train.stop_if_asked("searching")?;
        run.searching(|search, instance| {
            let solver = Named::new(&run.config.solver.name, run.setup.solver.as_ref());
            let mut solved = search.solve(instance, solver, None)?;
            // All other fields are the same when a run is repeated.
            solved.proof.seconds = 0.0;
            let found = search.found(instance, &solved, solver.name);
            run.folder.keep(LISTS, key, found.policy.to_limpq_yaml().as_bytes())?;
            Ok(run.folder.keep(NAME, key, &json(&found))?)
        })
    }
}

/// The found policy, and its choices in the integer program.
pub(super) fn found(run: &Run) -> Result<(Found, Vec<usize>), RunError> {
    let file = run.read(NAME)?;
    run.searching(|search, instance| {
        let solved = kept(run, Some(&file), instance)?;
        Ok((search.found(instance, &solved, &run.config.solver.name), solved.picks))
    })
}

fn kept(run: &Run, file: Option<&[u8]>, instance: &Instance) -> Result<Solved, Damaged> {
    let wrong = |why: String| damaged(NAME, why);
    let Kept { schema, policy, proof } = parsed(NAME, file)?;
    let policy = Policy { schema, model: None, network: None, policy };
    let picks = policy_picks(&policy, &run.setup.graph, instance).map_err(wrong)?;
    let objective = instance.problem.objective(&picks);
    match proof.bound.is_finite() && proof.gap.is_finite() && proof.bound <= objective {
        true => Ok(Solved { picks, objective, proof }),
        false => Err(wrong(format!("its proof is not valid: a bound of {} for {objective}", proof.bound))),
    }
}

/// The choices of a kept policy, if the integer program has them and the policy is within every budget.
pub(super) fn policy_picks(policy: &Policy, graph: &Graph, instance: &Instance) -> Result<Vec<usize>, String> {
    let bits = policy.precisions(graph).map_err(|error| error.to_string())?;
    let picks = instance.picks(&bits).ok_or("it has bits that a layer may not have in this search")?;
    match instance.problem.feasible(&picks) {
        true => Ok(picks),
        false => Err("its policy does not keep the budgets".to_owned()),
    }
}

//! Refinement by measurement: indicators predict the harm of a policy, a measured loss is the harm. Greedy swaps around the
//! found policy, the ones of least predicted harm first, as many as a budget of evaluations allows.

use crate::search::{Instance, Precision, Problem, Room};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What refinement did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refined {
    /// Index of the chosen option of each group of the instance.
    #[serde(skip)]
    pub picks: Vec<usize>,
    /// How often the loss was measured.
    pub evaluations: usize,
    /// Measured loss of the found policy.
    pub loss_before: f64,
    /// Measured loss of the refined policy; never above the other.
    pub loss_after: f64,
    /// The swaps that were kept, in words.
    pub swaps: Vec<String>,
}

/// One or two groups and the options they would change to.
type Swap = Vec<(usize, usize)>;

/// Swaps options while the measured loss falls and evaluations are left. Every policy on the way keeps every constraint.
///
/// A swap changes one group, or two groups of which one loses more and the other less. The next swap tried is the one whose
/// predicted objective is the least among those not tried yet; one that lowers the measured loss is kept and the search goes
/// on from there. Deterministic if `measure` is.
///
/// # Errors
/// Those of `measure`, which gives the loss of bits in graph order.
pub fn refine<E>(
    instance: &Instance,
    start: &[usize],
    evaluations: usize,
    mut measure: impl FnMut(&[Precision]) -> Result<f64, E>,
) -> Result<Refined, E> {
    let loss_before = measure(&instance.bits(start))?;
    let mut refined =
        Refined { picks: start.to_vec(), evaluations: 1, loss_before, loss_after: loss_before, swaps: vec![] };
    let mut tried = BTreeSet::from([start.to_vec()]);
    'from_here: loop {
        for swap in swaps(&instance.problem, &refined.picks, evaluations.saturating_sub(refined.evaluations)) {
            if refined.evaluations >= evaluations {
                return Ok(refined);
            }
            let picks = with(&refined.picks, &swap);
            if !tried.insert(picks.clone()) {
                continue;
            }
            let loss = measure(&instance.bits(&picks))?;
            refined.evaluations += 1;
            if loss < refined.loss_after {
                refined.swaps.push(words(&instance.problem, &refined.picks, &swap));
                (refined.picks, refined.loss_after) = (picks, loss);
                continue 'from_here;
            }
        }
        return Ok(refined);
    }
}

fn with(picks: &[usize], swap: &Swap) -> Vec<usize> {
    let mut picks = picks.to_vec();
    swap.iter().for_each(|&(group, choice)| picks[group] = choice);
    picks
}

/// `layer1.0.conv1 w3a4 -> w4a4, layer2.0.conv1 w4a4 -> w3a4`
fn words(problem: &Problem, picks: &[usize], swap: &Swap) -> String {
    let of = |&(group, choice): &(usize, usize)| {
        let choices = &problem.groups[group].choices;
        let layers =
            problem.groups[group].layers.iter().zip(choices[picks[group]].bits.iter().zip(&choices[choice].bits));
        let changed = layers.filter(|(_, (old, new))| old != new);
        changed.map(|(layer, (old, new))| format!("{layer} {old} -> {new}")).collect::<Vec<_>>()
    };
    swap.iter().flat_map(of).collect::<Vec<_>>().join(", ")
}

/// Changes of single groups beyond this many are left to their nearest ones, so that pairs stay few enough to list.
const MOST_CHANGES: usize = 2000;

/// The feasible swaps of least predicted objective, the least first. Twice as many as asked for, since some may have been
/// tried before.
fn swaps(problem: &Problem, picks: &[usize], count: usize) -> Vec<Swap> {
    let delta = |&(group, choice): &(usize, usize)| {
        let choices = &problem.groups[group].choices;
        choices[choice].loss - choices[picks[group]].loss
    };
    let mut changes: Vec<(usize, usize)> = problem
        .groups
        .iter()
        .enumerate()
        .flat_map(|(group, of)| (0..of.choices.len()).map(move |choice| (group, choice)))
        .filter(|&(group, choice)| choice != picks[group])
        .collect();
    changes.sort_by(|a, b| delta(a).abs().total_cmp(&delta(b).abs()).then(a.cmp(b)));
    changes.truncate(MOST_CHANGES);
    let room = Room::new(problem, picks);
    let fits = |swap: &[(usize, usize)]| {
        let changes: Vec<_> = swap.iter().map(|&(group, choice)| (group, picks[group], choice)).collect();
        room.overrun(&changes).is_empty()
    };
    let mut swaps: Vec<(f64, Swap)> = vec![];
    for (index, change) in changes.iter().enumerate() {
        if fits(&[*change]) {
            swaps.push((delta(change), vec![*change]));
        }
        for other in &changes[index + 1..] {
            let opposite = (delta(change) < 0.0) != (delta(other) < 0.0);
            if opposite && change.0 != other.0 && fits(&[*change, *other]) {
                let mut pair = vec![*change, *other];
                pair.sort_unstable();
                swaps.push((delta(change) + delta(other), pair));
            }
        }
    }
    let order = |a: &(f64, Swap), b: &(f64, Swap)| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1));
    let wanted = 2 * count;
    if swaps.len() > wanted && wanted > 0 {
        swaps.select_nth_unstable_by(wanted - 1, order);
        swaps.truncate(wanted);
    }
    swaps.sort_by(order);
    swaps.into_iter().map(|(_, swap)| swap).collect()
}

//! The K best distinct policies, by Lawler's partition (Management Science 1972; Murty, Operations Research 1968): once
//! the best policy of a set is known, the others are divided into one part per group, in which the groups before it
//! keep their bits and this one must change. The best policy of all remaining parts is the next.

use crate::search::{
    Group, Instance, LayerBits, NamedSolver, Policy, Precision, Problem, Search, SearchError, Solved, SolverError,
    Status, solve,
};
use serde::Serialize;
use std::{cmp::Ordering, collections::BinaryHeap};

/// One of the best policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The solution of its part; its proof refers to that part of the policies.
    pub solved: Solved,
    /// Whether it is proven that every better or equally good policy is before it.
    pub proven: bool,
}

/// The best policies, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// As many as were asked for, if there are so many and time for them.
    pub ranked: Vec<Ranked>,
    /// If they are fewer: whether it is proven that there are no others.
    pub complete: bool,
}

/// A layer whose bits differ between two policies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// State-dict name.
    pub layer: String,
    /// Its bits in the first policy.
    pub from: Precision,
    /// Its bits in the second policy.
    pub to: Precision,
}

/// The layers whose bits differ between two policies for the same layers.
pub fn changed(one: &Policy, other: &Policy) -> Vec<Changed> {
    let bits = |bits: &LayerBits| Precision { weight: bits.weight_bits, act: bits.act_bits };
    let pairs = one.policy.iter().zip(&other.policy).filter(|(one, other)| one != other);
    pairs.map(|(a, b)| Changed { layer: a.layer.clone(), from: bits(a), to: bits(b) }).collect()
}

/// The policies that keep the first picks of `solved` and have none of the forbidden ones at the next group, with the
/// best of them.
struct Part {
    solved: Solved,
    fixed: usize,
    forbidden: Vec<usize>,
}

impl Search<'_> {
    /// The best policies; fewer if there are no more, or if a limit ends the search for them. `best` is the answer to the
    /// instance itself.
    ///
    /// They are distinct in the instance's options. Layers that share bits and have a thousand joint options or more
    /// are listed without dominated options.
    ///
    /// # Errors
    /// A solver that fails.
    pub fn top(
        &self,
        instance: &Instance,
        best: Solved,
        solver: NamedSolver,
        count: usize,
    ) -> Result<Top, SearchError> {
        let problem = &instance.problem;
        let mut sure = best.proof.status == Status::Optimal;
        let mut open = BinaryHeap::from([Part { solved: best, fixed: 0, forbidden: vec![] }]);
        let mut ranked = vec![];
        // What a limit hides may be another policy, whatever is known of the order of those that are found.
        let mut complete = true;
        while let Some(part) = open.pop() {
            ranked.push(Ranked { solved: part.solved.clone(), proven: sure });
            if ranked.len() >= count {
                break;
            }
            for group in part.fixed..problem.groups.len() {
                if solver.deadline.passed() {
                    (sure, complete) = (false, false);
                    break;
                }
                let mut forbidden = if group == part.fixed { part.forbidden.clone() } else { vec![] };
                forbidden.push(part.solved.picks[group]);
                match best_of(problem, &part.solved.picks[..group], &forbidden, &part.solved.picks, solver) {
                    Ok(Some(solved)) => {
                        sure &= solved.proof.status == Status::Optimal;
                        open.push(Part { solved, fixed: group, forbidden });
                    }
                    Ok(None) => {}
                    Err(SolverError::NothingFound { .. }) => (sure, complete) = (false, false),
                    Err(error) => return Err(SearchError::Solver(error)),
                }
            }
        }
        Ok(Top { ranked, complete })
    }
}

/// The best policy that keeps these picks at the first groups and has none of the forbidden ones at the next; `None` if
/// there is none.
fn best_of(
    problem: &Problem,
    kept: &[usize],
    forbidden: &[usize],
    near: &[usize],
    solver: NamedSolver,
) -> Result<Option<Solved>, SolverError> {
    let open = |(place, group): (usize, &Group)| -> Vec<usize> {
        match place.cmp(&kept.len()) {
            Ordering::Less => vec![kept[place]],
            Ordering::Equal => (0..group.choices.len()).filter(|pick| !forbidden.contains(pick)).collect(),
            Ordering::Greater => (0..group.choices.len()).collect(),
        }
    };
    let open: Vec<Vec<usize>> = problem.groups.iter().enumerate().map(open).collect();
    if open.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let groups = problem.groups.iter().zip(&open).map(|(group, open)| Group {
        layers: group.layers.clone(),
        choices: open.iter().map(|&pick| group.choices[pick].clone()).collect(),
    });
    let part = Problem { groups: groups.collect(), rows: problem.rows.clone() };
    if !part.each_row_fits() {
        return Ok(None);
    }
    let place = |(open, pick): (&Vec<usize>, &usize)| open.iter().position(|other| other == pick).unwrap_or(0);
    let near: Vec<usize> = open.iter().zip(near).map(place).collect();
    match solve(solver, &part, Some(&near)) {
        Ok(solved) => {
            let picks = open.iter().zip(&solved.picks).map(|(open, &pick)| open[pick]).collect();
            Ok(Some(Solved { picks, ..solved }))
        }
        Err(SolverError::Infeasible) => Ok(None),
        Err(error) => Err(error),
    }
}

// A binary heap returns its largest element first: the part with the smallest objective, then with the first picks.
impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        let objective = self.solved.objective.total_cmp(&other.solved.objective);
        objective.then_with(|| self.solved.picks.cmp(&other.solved.picks)).reverse()
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Part {}

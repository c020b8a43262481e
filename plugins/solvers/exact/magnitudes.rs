//! Losses of very different magnitudes. Fixed point holds 126 bits at once and rounds the rest: a loss of 1e-40
//! vanishes next to one of 1. If the objective found is small compared to that rounding, options that lose more than
//! the objective cannot be part of a better solution; without them the rest is solved again, in smaller quanta. What
//! cannot be resolved even then is never called proven.

use crate::{Error, Group, Problem, Status, fixed_point::fixed_point, solution::Found};

/// Objectives are sums of floats: relative differences below this vanish.
const UNSEEN: f64 = f64::EPSILON / 4.0;

/// Solves a problem with a solver that rounds losses, which is told how many nodes have been looked at before.
///
/// # Errors
/// Those of the solver.
pub(crate) fn solve(problem: &Problem, run: impl Fn(&Problem, u64) -> Result<Found, Error>) -> Result<Found, Error> {
    let mut found = run(problem, 0)?;
    let mut rounding = fixed_point(problem).rounding;
    let mut options_left = options(problem);
    while found.status == Status::Optimal && rounding > 0.0 {
        let chosen = || problem.groups.iter().zip(&found.picks).map(|(group, &pick)| group.choices[pick].loss);
        let size: f64 = chosen().map(f64::abs).sum();
        let rounded = rounding * problem.groups.len() as f64;
        if rounded <= UNSEEN * size {
            break;
        }
        let floor = |group: &Group| group.choices.iter().map(|choice| choice.loss).fold(f64::INFINITY, f64::min);
        let floors: Vec<f64> = problem.groups.iter().map(floor).collect();
        let spare: f64 = chosen().zip(&floors).map(|(loss, floor)| loss - floor).sum();
        // Differences and their sum are rounded by far less than this.
        let spare = spare * (1.0 + 1e-9);
        let (narrower, open) = within(problem, &floors, spare);
        let unproven = |found: Found| {
            let bound = Some(problem.objective(&found.picks) - rounded);
            Found { status: Status::Stopped, bound, ..found }
        };
        if options(&narrower) == options_left {
            return Ok(unproven(found));
        }
        // If the finer solve runs out of time, the earlier solution stands.
        let Ok(again) = run(&narrower, found.nodes) else { return Ok(unproven(found)) };
        rounding = fixed_point(&narrower).rounding;
        let nodes = again.nodes + found.nodes;
        let mut picks: Vec<usize> = open.iter().zip(&again.picks).map(|(open, &pick)| open[pick]).collect();
        if again.status != Status::Optimal && problem.objective(&picks) > problem.objective(&found.picks) {
            picks = found.picks;
        }
        found = Found { picks, nodes, ..again };
        options_left = options(&narrower);
    }
    Ok(found)
}

fn options(problem: &Problem) -> usize {
    problem.groups.iter().map(|group| group.choices.len()).sum()
}

/// The problem without options that lose more than this above their group's least, and which are left.
fn within<'a>(problem: &Problem<'a>, floors: &[f64], spare: f64) -> (Problem<'a>, Vec<Vec<usize>>) {
    let mut narrower = problem.clone();
    let mut open = vec![];
    for (group, floor) in narrower.groups.iter_mut().zip(floors) {
        let kept = (0..group.choices.len()).filter(|&choice| group.choices[choice].loss - floor <= spare);
        let kept: Vec<usize> = kept.collect();
        group.choices = kept.iter().map(|&choice| group.choices[choice].clone()).collect();
        open.push(kept);
    }
    (narrower, open)
}

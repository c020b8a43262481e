//! Losses of very different sizes. Fixed point holds 126 bits at once and rounds what is beyond: a loss of 1e-40 beside one of
//! 1 is nothing to it. Where the policy found is small beside that rounding, options that lose more than it altogether are
//! no part of a better one; without them the rest is solved again, in smaller quanta. What cannot be told apart even so is
//! never called proven.

use super::reduce::fixed_point;
use limpq_core::search::{Answer, Problem, SolverError, Status};

/// Objectives are sums of floats: what is this small beside them does not show.
const UNSEEN: f64 = f64::EPSILON / 4.0;

/// Solves a problem with a solver that rounds losses, which is told how many nodes have been looked at before.
///
/// # Errors
/// Those of the solver.
pub(super) fn solve(
    problem: &Problem,
    run: impl Fn(&Problem, u64) -> Result<Answer, SolverError>,
) -> Result<Answer, SolverError> {
    let mut answer = run(problem, 0)?;
    let mut rounding = fixed_point(problem).rounding;
    let mut left: Option<(Problem, Vec<Vec<usize>>)> = None;
    while answer.status == Status::Optimal && rounding > 0.0 {
        let chosen = || problem.groups.iter().zip(&answer.picks).map(|(group, &pick)| group.choices[pick].loss);
        let size: f64 = chosen().map(f64::abs).sum();
        let doubt = rounding * problem.groups.len() as f64;
        if doubt <= UNSEEN * size {
            break;
        }
        let floor = |group: &limpq_core::search::Group| {
            group.choices.iter().map(|choice| choice.loss).fold(f64::INFINITY, f64::min)
        };
        let floors: Vec<f64> = problem.groups.iter().map(floor).collect();
        let spare: f64 = chosen().zip(&floors).map(|(loss, floor)| loss - floor).sum();
        // Differences and their sum are rounded by far less than this.
        let spare = spare * (1.0 + 1e-9);
        let (narrower, open) = within(problem, &floors, spare);
        let options = |problem: &Problem| problem.groups.iter().map(|group| group.choices.len()).sum::<usize>();
        if options(&narrower) == left.as_ref().map_or_else(|| options(problem), |(left, _)| options(left)) {
            let bound = Some(problem.objective(&answer.picks) - doubt);
            return Ok(Answer { status: Status::Stopped, bound, ..answer });
        }
        let nodes = answer.nodes.unwrap_or_default();
        let again = match run(&narrower, nodes) {
            Ok(again) => again,
            // A finer look that finds nothing in time takes nothing away from the policy that is there.
            Err(_) => {
                let bound = Some(problem.objective(&answer.picks) - doubt);
                return Ok(Answer { status: Status::Stopped, bound, ..answer });
            }
        };
        rounding = fixed_point(&narrower).rounding;
        let mut picks: Vec<usize> = open.iter().zip(&again.picks).map(|(open, &pick)| open[pick]).collect();
        if again.status != Status::Optimal && problem.objective(&picks) > problem.objective(&answer.picks) {
            picks = answer.picks;
        }
        answer = Answer { picks, nodes: again.nodes.map(|more| more + nodes), ..again };
        left = Some((narrower, open));
    }
    Ok(answer)
}

/// The problem without options that lose more than this above their group's least, and which are left.
fn within(problem: &Problem, floors: &[f64], spare: f64) -> (Problem, Vec<Vec<usize>>) {
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

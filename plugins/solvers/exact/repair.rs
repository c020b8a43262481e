//! Repairs a solution on all rows of a large problem, and improves it until no single change helps.

use crate::{Limits, Problem, slack::Slack};

/// Passes over the groups in which better options are looked for.
const PASSES: usize = 20;

/// The solution made to keep every row by changes that cost no more in any row, those first that lose least for the
/// excess that they take away; then improved, as long as there is time. `None` when such changes are not enough.
pub(crate) fn repaired(problem: &Problem, mut picks: Vec<usize>, limits: &Limits) -> Option<Vec<usize>> {
    let mut slack = Slack::new(problem, &picks);
    let mut members = vec![vec![]; problem.rows.len()];
    for (place, group) in problem.groups.iter().enumerate() {
        group.rows().into_iter().for_each(|row| members[row].push(place));
    }
    for row in 0..problem.rows.len() {
        while slack.left(row) < 0 {
            let excess = -slack.left(row);
            let mut best: Option<(f64, usize, usize)> = None;
            let base = problem.rows[row].base.map_or(&[][..], |base| &members[base]);
            for &place in members[row].iter().chain(base) {
                let choices = &problem.groups[place].choices;
                let now = &choices[picks[place]];
                for (to, choice) in choices.iter().enumerate() {
                    let relief = (problem.cost(now, row) - problem.cost(choice, row)).min(excess);
                    if relief > 0 && choice.costs.within(&now.costs) {
                        let harm = (choice.loss - now.loss).max(0.0) / relief as f64;
                        if best.is_none_or(|best| harm < best.0) {
                            best = Some((harm, place, to));
                        }
                    }
                }
            }
            let (_, place, to) = best?;
            slack.apply((place, picks[place], to));
            picks[place] = to;
        }
    }
    for _ in 0..PASSES {
        let mut changed = false;
        for (place, group) in problem.groups.iter().enumerate() {
            if limits.expired() {
                return Some(picks);
            }
            let now = picks[place];
            let loss = |choice: &usize| group.choices[*choice].loss;
            let better = (0..group.choices.len()).filter(|choice| loss(choice) < loss(&now));
            let fits = better.filter(|&choice| slack.overrun(&[(place, now, choice)]).is_empty());
            if let Some(best) = fits.min_by(|a, b| loss(a).total_cmp(&loss(b))) {
                slack.apply((place, now, best));
                picks[place] = best;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Some(picks)
}

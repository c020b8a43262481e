//! Every choice of options, one after another: the oracle.

use crate::Problem;

/// The picks of the least objective, then of the smallest sum of tiebreaks, then the first; `None` when nothing keeps
/// the budgets.
pub(crate) fn oracle(problem: &Problem) -> Option<Vec<usize>> {
    let groups = problem.groups();
    if groups.iter().any(|group| group.choices.is_empty()) {
        return None;
    }
    let mut picks = vec![0; groups.len()];
    let mut best: Option<(f64, u64, Vec<usize>)> = None;
    loop {
        if problem.feasible(&picks) {
            let tiebreak = groups.iter().zip(&picks).map(|(group, &pick)| group.choices[pick].tiebreak).sum();
            let objective = problem.objective(&picks);
            // The order of visit settles what these leave open.
            if best.as_ref().is_none_or(|best| (objective, tiebreak) < (best.0, best.1)) {
                best = Some((objective, tiebreak, picks.clone()));
            }
        }
        let Some(turned) = (0..groups.len()).rfind(|&group| picks[group] + 1 < groups[group].choices.len()) else {
            return best.map(|(.., picks)| picks);
        };
        picks[turned] += 1;
        picks[turned + 1..].fill(0);
    }
}

//! A pass of the search: dynamic programming from level to level with a beam.

use super::{
    path::{Path, undominated},
    relaxation::{KEPT, Multipliers, Relaxation},
};
use crate::{
    Limits,
    layered::graph::{WIDE, sum},
};

/// Fewer paths than this keep the multipliers they have.
const ADAPT: usize = 32;

/// The result of a pass.
pub(crate) struct Pass {
    /// Least bound of the paths that did not fit into the beam.
    pub cut: f64,
    /// Allowance for rounding in bounds.
    pub float_error: f64,
    /// Number of paths examined.
    pub nodes: u64,
    /// Whether a limit stopped it.
    pub expired: bool,
    /// The best path that it met.
    pub best: Option<Vec<usize>>,
}

/// One pass of a given width for paths with at most the target loss.
pub(crate) fn pass(
    relaxation: &Relaxation,
    multipliers: &mut Vec<Multipliers>,
    sought: f64,
    width: usize,
    limits: &Limits,
) -> Pass {
    let graph = relaxation.graph;
    let mut chosen: Vec<usize> = (0..multipliers.len().min(KEPT)).collect();
    let mut result = Pass { cut: f64::INFINITY, float_error: 0.0, nodes: 0, expired: false, best: None };
    let first = Path { used: [0; WIDE], worth: (0, 0), loss: 0.0, bound: 0.0, state: 0, parent: 0, item: 0, rank: 0 };
    let mut paths = vec![first];
    let mut history: Vec<Vec<(u32, u32)>> = vec![];
    for (place, level) in graph.levels.iter().enumerate() {
        if paths.len() >= ADAPT {
            chosen = relaxation.chosen(multipliers, place, &paths);
        }
        let chosen: Vec<&Multipliers> = chosen.iter().map(|&index| &multipliers[index]).collect();
        let float_error = chosen.iter().map(|multipliers| multipliers.float_error).fold(0.0, f64::max);
        result.float_error = result.float_error.max(float_error);
        let most = sought + float_error;
        let mut next: Vec<Path> = vec![];
        for (parent, path) in paths.iter().enumerate() {
            if parent % 256 == 0 && limits.reached(result.nodes + next.len() as u64) {
                result.expired = true;
                return result;
            }
            for &(index, state) in &relaxation.steps[place][path.state as usize] {
                let item = &level.items[index];
                if (0..graph.wide).any(|row| path.used[row] > graph.slack[row] - item.wide[row]) {
                    continue;
                }
                let used: [i64; WIDE] = std::array::from_fn(|row| path.used[row] + item.wide[row]);
                let loss = path.loss + item.loss;
                let shares = relaxation.shares(&used);
                let with = |multipliers: &&Multipliers| {
                    let total: f64 = multipliers.lambda.iter().sum();
                    let behind = multipliers.rest[place + 1].get(state).copied().unwrap_or(-total);
                    loss + shares
                        .iter()
                        .zip(&multipliers.lambda)
                        .map(|(share, multiplier)| share * multiplier)
                        .sum::<f64>()
                        + behind
                };
                let bound = chosen.iter().map(with).fold(f64::NEG_INFINITY, f64::max);
                if bound > most {
                    continue;
                }
                next.push(Path {
                    used,
                    worth: sum(path.worth, item.worth),
                    loss,
                    bound,
                    state: state as u32,
                    parent: parent as u32,
                    item: index as u32,
                    rank: 0,
                });
            }
        }
        result.nodes += next.len() as u64;
        // In the order of their options, of which the first decides.
        next.sort_unstable_by_key(|path| (paths[path.parent as usize].rank, level.items[path.item as usize].choice));
        next.iter_mut().enumerate().for_each(|(rank, path)| path.rank = rank as u32);
        undominated(&mut next);
        if next.len() > width {
            next.select_nth_unstable_by(width, |a, b| a.bound.total_cmp(&b.bound).then(a.rank.cmp(&b.rank)));
            result.cut = next[width..].iter().map(|path| path.bound).fold(result.cut, f64::min);
            next.truncate(width);
        }
        history.push(next.iter().map(|path| (path.parent, path.item)).collect());
        paths = next;
    }
    if let Some((end, _)) = paths.iter().enumerate().min_by_key(|(_, path)| (path.worth, path.rank)) {
        let mut picks = vec![0; history.len()];
        let mut at = end;
        for (place, level) in history.iter().enumerate().rev() {
            let (parent, item) = level[at];
            picks[place] = graph.levels[place].items[item as usize].choice;
            at = parent as usize;
        }
        result.best = Some(picks);
    }
    result
}

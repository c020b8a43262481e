//! Shortest paths through a [`LayeredGraph`], ties included: one backward sweep for the least remaining loss, one
//! forward sweep for the first options that reach it.

use super::graph::{LayeredGraph, Worth, sum};
use crate::{Error, Status, solution::Found};

/// The best path through a graph without wide rows: least loss, then least tiebreak, then the first options.
///
/// # Errors
/// [`Error::Infeasible`] when no path reaches the end.
pub(crate) fn solve(graph: &LayeredGraph) -> Result<Found, Error> {
    // The least remaining loss, backward from the last level; then, forward, the first options that reach it.
    let mut rest: Vec<Vec<Option<Worth>>> = vec![vec![]; graph.levels.len() + 1];
    for (place, level) in graph.levels.iter().enumerate().rev() {
        let behind = |next: usize| rest[place + 1].get(next).copied().unwrap_or(Some((0, 0)));
        let best = |steps: &Vec<(usize, usize)>| {
            steps.iter().filter_map(|&(item, next)| Some(sum(level.items[item].worth, behind(next)?))).min()
        };
        let here = level.steps.iter().map(best).collect();
        rest[place] = here;
    }
    let mut state = 0;
    let mut picks = vec![];
    for (place, level) in graph.levels.iter().enumerate() {
        let behind = |next: usize| rest[place + 1].get(next).copied().unwrap_or(Some((0, 0)));
        let best = rest[place][state].ok_or(Error::Infeasible)?;
        let reaches = |&&(item, next): &&(usize, usize)| {
            behind(next).is_some_and(|behind| sum(level.items[item].worth, behind) == best)
        };
        let first = level.steps[state].iter().filter(reaches).min_by_key(|&&(item, _)| level.items[item].choice);
        let &(item, next) = first.expect("the least is reached");
        picks.push(level.items[item].choice);
        state = next;
    }
    Ok(Found { picks, status: Status::Optimal, bound: None, nodes: graph.count as u64 })
}

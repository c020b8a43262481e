//! Parts whose rows know few groups each, as the moments of a peak in memory know the tensors that are alive then:
//! dynamic programming over the groups in their order, whose states are what is used of the rows that are open, which
//! have a group before and one behind (nonserial dynamic programming; Bertele & Brioschi, 1972). It is exact, ties
//! included. Rows that know many groups are left to [`constrained`], which looks for paths through the same states.

mod constrained;
mod graph;
mod shortest;

use crate::{Error, Limits, Problem, solution::Found};
use graph::LayeredGraph;

pub(crate) use graph::{FEW, MOST_MEMBERS};

/// Solves a component; `None` if this method does not apply to it.
pub(crate) fn solve(part: &Problem, limits: &Limits) -> Option<Result<Found, Error>> {
    let graph = match LayeredGraph::new(part, limits)? {
        Ok(graph) => graph,
        Err(error) => return Some(Err(error)),
    };
    Some(match graph.wide {
        0 => shortest::solve(&graph),
        _ => constrained::solve(part, &graph, limits),
    })
}

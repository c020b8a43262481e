//! Paths through the states of a [`LayeredGraph`] that keep a few wide rows as well, such as a budget on bit operations
//! beside one on a peak (the shortest path with resources; Handler & Zang, Networks 10, 1980).
//!
//! As in [`few_rows`](crate::few_rows) multipliers of the wide rows bound every path, by cutting planes
//! ([`relaxation`]); the narrow rows are kept exactly in these bounds. Steps that no path as good as the incumbent can
//! take go. What is left is searched by dynamic programming from level to level ([`pass`]): a path goes when another
//! one to the same state is no worse, or when its bound is above the target, at first an eighth of the gap above the
//! bound. Too many are cut to a beam, which widens; a pass that cut nothing of use is the proof.

mod pass;
mod path;
mod relaxation;

use super::graph::{LayeredGraph, WIDE, Worth, sum};
use crate::{Error, Limits, Problem, Status, fixed_point::scaled, repair::repaired, solution::Found};
use pass::pass;
use relaxation::{KEPT, MOST_MULTIPLIERS, Relaxation, Start};

/// Evaluations of the bound.
const EVALUATIONS: usize = 60;
/// Paths that are repaired.
const REPAIRED: usize = 4;
/// Width of the first pass.
const FIRST_WIDTH: usize = 64;
/// How much wider each next one is.
const WIDER: usize = 4;
/// The widest.
const WIDEST: usize = 1 << 17;
/// The share of the gap that the first passes search, from the bound up.
const FIRST_GAP_SHARE: f64 = 0.125;
/// The share grows by this when it holds no solution.
const GAP_SHARE_GROWTH: f64 = 2.5;

/// A solution with its loss and tiebreak.
#[derive(Clone)]
struct Best {
    worth: Worth,
    picks: Vec<usize>,
}

/// Solves a part whose narrow rows are those of the graph.
pub(crate) fn solve(part: &Problem, graph: &LayeredGraph, limits: &Limits) -> Result<Found, Error> {
    Search { part, relaxation: Relaxation::new(graph, limits) }.run()
}

struct Search<'a> {
    part: &'a Problem<'a>,
    relaxation: Relaxation<'a>,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Found, Error> {
        let mut nodes = self.relaxation.graph.count as u64;
        let start = Start { place: 0, state: 0, used: [0; WIDE] };
        let (mut multipliers, paths) = self.relaxation.dual(&start, &[], EVALUATIONS);
        if multipliers.first().is_some_and(|multipliers| multipliers.bound == f64::INFINITY) {
            // No path keeps the narrow rows.
            return Err(Error::Infeasible);
        }
        nodes += multipliers.len() as u64;
        multipliers.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        multipliers.truncate(MOST_MULTIPLIERS / 5);
        let mut best: Option<Best> = None;
        for picks in paths.into_iter().rev().take(REPAIRED) {
            if let Some(picks) = repaired(self.part, picks, self.relaxation.limits) {
                self.offer(&mut best, picks);
            }
        }
        let Some(first) = multipliers.first() else { return Err(self.relaxation.limits.nothing_found()) };
        let mut bound = first.bound - first.float_error;
        let (mut width, mut gap_share) = (FIRST_WIDTH, FIRST_GAP_SHARE);
        let mut fixed = f64::INFINITY;
        loop {
            let known = best.as_ref().map_or(f64::INFINITY, |best| self.loss(best.worth.0));
            if known < fixed {
                self.relaxation.fix(&multipliers[..multipliers.len().min(KEPT)], known);
                fixed = known;
            }
            let sought = if known.is_finite() { bound + gap_share * (known - bound).max(0.0) } else { f64::INFINITY };
            let sought = if gap_share >= 1.0 { known } else { sought };
            let pass = pass(&self.relaxation, &mut multipliers, sought, width, &self.relaxation.limits.after(nodes));
            nodes += pass.nodes;
            if pass.expired {
                break;
            }
            if let Some(picks) = pass.best {
                self.offer(&mut best, picks);
            }
            let float_error = pass.float_error;
            let now = best.as_ref().map_or(f64::INFINITY, |best| self.loss(best.worth.0));
            let target = sought.min(now);
            let complete = pass.cut == f64::INFINITY || pass.cut > target + float_error;
            if complete && (now <= sought || !now.is_finite()) {
                let found = |best: Best| Found { picks: best.picks, status: Status::Optimal, bound: None, nodes };
                return best.map(found).ok_or(Error::Infeasible);
            }
            bound = f64::max(bound, pass.cut.min(target) - float_error);
            if complete {
                gap_share = f64::min(1.0, GAP_SHARE_GROWTH * gap_share);
            } else if width < WIDEST {
                width *= WIDER;
            } else {
                break;
            }
        }
        let bound = Some(scaled(bound, self.relaxation.graph.scale));
        let found = |best: Best| Found { picks: best.picks, status: Status::Stopped, bound, nodes };
        best.map(found).ok_or_else(|| self.relaxation.limits.nothing_found())
    }

    /// Exact losses as floats.
    fn loss(&self, exact: i128) -> f64 {
        exact as f64 * self.relaxation.graph.quantum
    }

    fn offer(&self, best: &mut Option<Best>, picks: Vec<usize>) {
        let mut worth = (0, 0);
        for (level, pick) in self.relaxation.graph.levels.iter().zip(&picks) {
            // A dominated option is in none of the items; the solution with the one that replaces it is met some other
            // time.
            let Some(item) = level.items.iter().find(|item| item.choice == *pick) else { return };
            worth = sum(worth, item.worth);
        }
        if best.as_ref().is_none_or(|best| (worth, &picks) < (best.worth, &best.picks)) {
            *best = Some(Best { worth, picks });
        }
    }
}

//! The Lagrangian relaxation of the wide rows over the steps of the graph that are left; the narrow rows are kept
//! exactly.

use super::path::Path;
use crate::{
    Limits,
    fixed_point::float_error,
    layered::graph::{LayeredGraph, Level, WIDE},
    master::Master,
};

/// Levels at which new multipliers are looked for.
const LEVELS: usize = 4;
/// Paths that they are looked for.
const SAMPLED: usize = 5;
/// Evaluations for each of them.
const MORE_EVALUATIONS: usize = 8;
/// Multipliers that steps are dropped by and, before there are others, paths are bounded by.
pub(crate) const KEPT: usize = 6;
/// Maximum number of multipliers kept.
pub(crate) const MOST_MULTIPLIERS: usize = 150;

/// Multipliers of the wide rows' slack, and the least Lagrangian loss from each state to the end, less the multipliers.
pub(crate) struct Multipliers {
    pub lambda: [f64; WIDE],
    /// Lower bound on the loss of every path.
    pub bound: f64,
    /// Allowance for rounding in bounds.
    pub float_error: f64,
    /// For each level and state.
    pub rest: Vec<Vec<f64>>,
}

/// Where a remainder begins.
pub(crate) struct Start {
    pub place: usize,
    pub state: usize,
    pub used: [i64; WIDE],
}

/// The steps that are left of a graph.
pub(crate) struct Relaxation<'a> {
    pub graph: &'a LayeredGraph,
    pub limits: &'a Limits,
    /// For each level and state: item and state behind it.
    pub steps: Vec<Vec<Vec<(usize, usize)>>>,
}

impl<'a> Relaxation<'a> {
    /// All steps of a graph.
    pub fn new(graph: &'a LayeredGraph, limits: &'a Limits) -> Self {
        Self { graph, limits, steps: graph.levels.iter().map(|level| level.steps.clone()).collect() }
    }

    /// Shares of the wide rows' slack.
    pub fn shares(&self, used: &[i64; WIDE]) -> [f64; WIDE] {
        std::array::from_fn(|row| match row < self.graph.wide {
            true => used[row] as f64 / self.graph.slack[row].max(1) as f64,
            false => 0.0,
        })
    }

    fn lagrangian(&self, used: &[i64; WIDE], lambda: &[f64; WIDE]) -> f64 {
        self.shares(used).iter().zip(lambda).map(|(share, multiplier)| share * multiplier).sum()
    }

    /// The least Lagrangian loss from each state to the end.
    fn multipliers(&self, lambda: [f64; WIDE]) -> Multipliers {
        let total: f64 = lambda.iter().sum();
        let mut rest: Vec<Vec<f64>> = vec![vec![]; self.graph.levels.len() + 1];
        let mut size = total;
        for (place, level) in self.graph.levels.iter().enumerate().rev() {
            let of_items: Vec<f64> =
                level.items.iter().map(|item| item.loss + self.lagrangian(&item.wide, &lambda)).collect();
            size += of_items.iter().copied().map(f64::abs).fold(0.0, f64::max);
            let behind = |next: usize| rest[place + 1].get(next).copied().unwrap_or(-total);
            let least = |steps: &Vec<(usize, usize)>| {
                steps.iter().map(|&(item, next)| of_items[item] + behind(next)).fold(f64::INFINITY, f64::min)
            };
            let here = self.steps[place].iter().map(least).collect();
            rest[place] = here;
        }
        let bound = rest[0].first().copied().unwrap_or(-total);
        Multipliers { lambda, bound, float_error: float_error(self.graph.levels.len(), size), rest }
    }

    /// Items of the path from a state on that the multipliers bound by.
    fn cheapest(&self, multipliers: &Multipliers, start: &Start) -> Vec<usize> {
        let total: f64 = multipliers.lambda.iter().sum();
        let mut state = start.state;
        let mut items = vec![];
        for (place, level) in self.graph.levels.iter().enumerate().skip(start.place) {
            let behind = |next: usize| multipliers.rest[place + 1].get(next).copied().unwrap_or(-total);
            let worth = |&&(item, next): &&(usize, usize)| {
                let of = &level.items[item];
                of.loss + self.lagrangian(&of.wide, &multipliers.lambda) + behind(next)
            };
            let best = self.steps[place][state].iter().min_by(|a, b| worth(a).total_cmp(&worth(b)));
            let &(item, next) = best.expect("the bound is finite");
            items.push(item);
            state = next;
        }
        items
    }

    /// Multipliers that bound the rest of a path well, and the ends of paths that they lead to. The first ones are
    /// given.
    pub fn dual(
        &self,
        start: &Start,
        given: &[[f64; WIDE]],
        evaluations: usize,
    ) -> (Vec<Multipliers>, Vec<Vec<usize>>) {
        let levels = &self.graph.levels[start.place..];
        let worst = |level: &Level| level.items.iter().map(|item| item.loss.abs()).fold(0.0, f64::max);
        let free = self.shares(&start.used).map(|share| 1.0 - share);
        let mut master = Master::new(&free[..self.graph.wide], levels.iter().map(worst).sum());
        let mut given = given.iter();
        let (mut all, mut paths) = (vec![], vec![]);
        while all.len() < evaluations && (all.is_empty() || !self.limits.expired()) {
            let Some(level) = master.level() else { break };
            let multipliers = self.multipliers(given.next().copied().unwrap_or_else(|| master.lambda()));
            let bound = multipliers.rest[start.place].get(start.state).copied().unwrap_or(multipliers.bound);
            let bound = bound + self.lagrangian(&start.used, &multipliers.lambda);
            if bound == f64::INFINITY {
                all.push(multipliers);
                break;
            }
            let items = self.cheapest(&multipliers, start);
            let chosen = || levels.iter().zip(&items).map(|(level, &item)| &level.items[item]);
            let mut shares = free.map(|free| -free);
            for item in chosen() {
                shares.iter_mut().zip(self.shares(&item.wide)).for_each(|(sum, share)| *sum += share);
            }
            master.add(chosen().map(|item| item.loss).sum(), shares[..self.graph.wide].iter().copied());
            paths.push(chosen().map(|item| item.choice).collect());
            let closed = bound >= level - 1e-9 * level.abs() - multipliers.float_error;
            all.push(multipliers);
            if closed && given.as_slice().is_empty() {
                break;
            }
            master.improve();
        }
        (all, paths)
    }

    /// Lower bound on the loss of a path by some multipliers.
    pub fn least(&self, multipliers: &Multipliers, place: usize, path: &Path) -> f64 {
        let total: f64 = multipliers.lambda.iter().sum();
        let behind = multipliers.rest[place].get(path.state as usize).copied().unwrap_or(-total);
        path.loss + self.lagrangian(&path.used, &multipliers.lambda) + behind
    }

    /// The multipliers of the best bounds for a path.
    fn nearest(&self, multipliers: &[Multipliers], place: usize, path: &Path, count: usize) -> Vec<usize> {
        let mut order: Vec<(f64, usize)> = multipliers
            .iter()
            .enumerate()
            .map(|(index, multipliers)| (self.least(multipliers, place, path), index))
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().take(count).map(|(_, index)| index).collect()
    }

    /// The multipliers that bound the paths to a level well; at some levels new ones are looked for.
    pub fn chosen(&self, multipliers: &mut Vec<Multipliers>, place: usize, paths: &[Path]) -> Vec<usize> {
        let lowest = paths.iter().min_by(|a, b| a.bound.total_cmp(&b.bound));
        let sampled = || lowest.into_iter().chain(paths.iter().step_by((paths.len() / (SAMPLED - 1)).max(1)));
        let every = (self.graph.levels.len() / LEVELS).max(1);
        if place.is_multiple_of(every) && place + 2 < self.graph.levels.len() {
            for path in sampled() {
                if multipliers.len() >= MOST_MULTIPLIERS {
                    break;
                }
                let near = self.nearest(multipliers, place, path, self.graph.wide + 1);
                let near: Vec<[f64; WIDE]> = near.into_iter().map(|index| multipliers[index].lambda).collect();
                let start = Start { place, state: path.state as usize, used: path.used };
                let (mut more, _) = self.dual(&start, &near, near.len() + MORE_EVALUATIONS);
                more.retain(|more| !near.contains(&more.lambda));
                more.sort_by(|a, b| self.least(b, place, path).total_cmp(&self.least(a, place, path)));
                multipliers.extend(more.into_iter().take(2));
            }
        }
        let mut chosen: Vec<usize> = sampled().flat_map(|path| self.nearest(multipliers, place, path, 2)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Drops the steps that only paths above this loss take.
    pub fn fix(&mut self, multipliers: &[Multipliers], most: f64) {
        for multipliers in multipliers {
            let total: f64 = multipliers.lambda.iter().sum();
            let mut before = vec![0.0];
            for (place, level) in self.graph.levels.iter().enumerate() {
                let behind = |next: usize| multipliers.rest[place + 1].get(next).copied().unwrap_or(-total);
                let states = self.steps[place].iter().flatten().map(|&(_, next)| next + 1).max().unwrap_or(0);
                let mut after = vec![f64::INFINITY; states];
                for (steps, &before) in self.steps[place].iter_mut().zip(&before) {
                    steps.retain(|&(item, next)| {
                        let of = &level.items[item];
                        let shares: f64 = (0..self.graph.wide)
                            .map(|row| {
                                of.wide[row] as f64 / self.graph.slack[row].max(1) as f64 * multipliers.lambda[row]
                            })
                            .sum();
                        let here = before + of.loss + shares;
                        after[next] = after[next].min(here);
                        here + behind(next) <= most + 2.0 * multipliers.float_error
                    });
                }
                before = after;
            }
        }
    }
}

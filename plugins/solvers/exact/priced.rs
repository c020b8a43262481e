//! Paths through the states of a [`Chain`] that keep a few wide rows as well, such as a budget on bit operations beside one on
//! a peak (the shortest path with resources; Handler & Zang, Networks 10, 1980).
//!
//! As in the rest of this solver prices of the wide rows bound every path, by cutting planes; the narrow rows are kept
//! exactly in these bounds. Steps that no path as good as the best one known can take go. What is left is searched by
//! dynamic programming from level to level: a path goes when another one to the same state is no worse, or when its bound is
//! above what is looked for, at first an eighth of the way from the bound to the best policy. Too many are cut to a beam, which
//! widens; a pass that cut nothing of use is the proof.

use super::{
    Limits,
    chain::{Chain, Level, WIDE, Worth, sum},
    dual::{Master, doubt},
    reduce::scaled,
    repair::repaired,
};
use limpq_core::search::{Answer, Problem, SolverError, Status};

/// Evaluations of the bound.
const EVALUATIONS: usize = 60;
/// Prices that steps are dropped by and, before there are others, paths are bounded by.
const KEPT: usize = 6;
/// Fewer paths than this keep the prices they have.
const ADAPT: usize = 32;
/// Paths that are asked for the best prices of what remains, and levels at which they are.
const ASKED: (usize, usize) = (5, 4);
/// Evaluations for each of them, and prices that are remembered in all.
const MORE: (usize, usize) = (8, 150);
/// Paths that are repaired.
const REPAIRED: usize = 4;
/// Width of the first pass, how much wider each next one is, and the widest.
const WIDTH: (usize, usize, usize) = (64, 4, 1 << 17);
/// The share of the way from the bound to the best policy that is looked at first, and how it grows.
const HOPE: (f64, f64) = (0.125, 2.5);
/// A path is compared with so many others to its state.
const COMPARED: usize = 64;

/// Prices of the wide rows' slack, and the least priced loss from each state to the end, less the prices.
struct Prices {
    lambda: [f64; WIDE],
    bound: f64,
    doubt: f64,
    rest: Vec<Vec<f64>>,
}

/// Where a remainder begins.
struct Start {
    place: usize,
    state: usize,
    used: [i64; WIDE],
}

/// A policy with its loss and bits.
#[derive(Clone)]
struct Best {
    worth: Worth,
    picks: Vec<usize>,
}

/// A path from the first level to a state.
#[derive(Clone, Copy)]
struct Path {
    used: [i64; WIDE],
    worth: Worth,
    loss: f64,
    bound: f64,
    state: u32,
    parent: u32,
    item: u32,
    /// Place among the paths of the level, in the order of their options.
    rank: u32,
}

/// Solves a part whose narrow rows are those of the chain.
pub(super) fn solve(part: &Problem, chain: &Chain, limits: &Limits) -> Result<Answer, SolverError> {
    let mut search =
        Search { part, chain, limits, alive: chain.levels.iter().map(|level| level.steps.clone()).collect() };
    search.run()
}

struct Search<'a> {
    part: &'a Problem,
    chain: &'a Chain,
    limits: &'a Limits,
    /// The steps that are left.
    alive: Vec<Vec<Vec<(usize, usize)>>>,
}

/// What came of a pass.
struct Pass {
    /// Least bound of the paths that were left out for want of room.
    cut: f64,
    /// By how much rounding may have moved bounds.
    doubt: f64,
    nodes: u64,
    expired: bool,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Answer, SolverError> {
        let mut nodes = self.chain.count as u64;
        let start = Start { place: 0, state: 0, used: [0; WIDE] };
        let (mut prices, paths) = self.dual(&start, &[], EVALUATIONS);
        if prices.first().is_some_and(|prices| prices.bound == f64::INFINITY) {
            // No path keeps the narrow rows.
            return Err(SolverError::Infeasible);
        }
        nodes += prices.len() as u64;
        prices.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        prices.truncate(MORE.1 / 5);
        let mut best: Option<Best> = None;
        for picks in paths.into_iter().rev().take(REPAIRED) {
            if let Some(picks) = repaired(self.part, picks, &self.limits.deadline) {
                self.offer(&mut best, picks);
            }
        }
        let Some(first) = prices.first() else { return Err(self.limits.nothing_found()) };
        let mut bound = first.bound - first.doubt;
        let (mut width, mut hope) = (WIDTH.0, HOPE.0);
        let mut fixed = f64::INFINITY;
        loop {
            let known = best.as_ref().map_or(f64::INFINITY, |best| self.loss(best.worth.0));
            if known < fixed {
                self.fix(&prices[..prices.len().min(KEPT)], known);
                fixed = known;
            }
            let sought = if known.is_finite() { bound + hope * (known - bound).max(0.0) } else { f64::INFINITY };
            let sought = if hope >= 1.0 { known } else { sought };
            let pass = self.pass(&mut prices, sought, width, &mut best, &self.limits.after(nodes));
            nodes += pass.nodes;
            if pass.expired {
                break;
            }
            let doubt = pass.doubt;
            let now = best.as_ref().map_or(f64::INFINITY, |best| self.loss(best.worth.0));
            let target = sought.min(now);
            let complete = pass.cut == f64::INFINITY || pass.cut > target + doubt;
            if complete && (now <= sought || !now.is_finite()) {
                let answer =
                    |best: Best| Answer { picks: best.picks, status: Status::Optimal, bound: None, nodes: Some(nodes) };
                return best.map(answer).ok_or(SolverError::Infeasible);
            }
            bound = f64::max(bound, pass.cut.min(target) - doubt);
            match complete {
                true => hope = f64::min(1.0, HOPE.1 * hope),
                false if width < WIDTH.2 => width *= WIDTH.1,
                false => break,
            }
        }
        let bound = Some(scaled(bound, self.chain.scale));
        let answer = |best: Best| Answer { picks: best.picks, status: Status::Stopped, bound, nodes: Some(nodes) };
        best.map(answer).ok_or_else(|| self.limits.nothing_found())
    }

    /// Exact losses as floats.
    fn loss(&self, exact: i128) -> f64 {
        exact as f64 * self.chain.quantum
    }

    fn offer(&self, best: &mut Option<Best>, picks: Vec<usize>) {
        let mut worth = (0, 0);
        for (level, pick) in self.chain.levels.iter().zip(&picks) {
            // A dominated option is in none of the items; the policy with the one that replaces it is met some other time.
            let Some(item) = level.items.iter().find(|item| item.choice == *pick) else { return };
            worth = sum(worth, item.worth);
        }
        if best.as_ref().is_none_or(|best| (worth, &picks) < (best.worth, &best.picks)) {
            *best = Some(Best { worth, picks });
        }
    }

    /// Shares of the wide rows' slack.
    fn shares(&self, used: &[i64; WIDE]) -> [f64; WIDE] {
        std::array::from_fn(|row| match row < self.chain.wide {
            true => used[row] as f64 / self.chain.slack[row].max(1) as f64,
            false => 0.0,
        })
    }

    fn priced(&self, used: &[i64; WIDE], lambda: &[f64; WIDE]) -> f64 {
        self.shares(used).iter().zip(lambda).map(|(share, price)| share * price).sum()
    }

    /// The least priced loss from each state to the end.
    fn prices(&self, lambda: [f64; WIDE]) -> Prices {
        let total: f64 = lambda.iter().sum();
        let mut rest: Vec<Vec<f64>> = vec![vec![]; self.chain.levels.len() + 1];
        let mut size = total;
        for (place, level) in self.chain.levels.iter().enumerate().rev() {
            let of_items: Vec<f64> =
                level.items.iter().map(|item| item.loss + self.priced(&item.wide, &lambda)).collect();
            size += of_items.iter().copied().map(f64::abs).fold(0.0, f64::max);
            let behind = |next: usize| rest[place + 1].get(next).copied().unwrap_or(-total);
            let least = |steps: &Vec<(usize, usize)>| {
                steps.iter().map(|&(item, next)| of_items[item] + behind(next)).fold(f64::INFINITY, f64::min)
            };
            let here = self.alive[place].iter().map(least).collect();
            rest[place] = here;
        }
        let bound = rest[0].first().copied().unwrap_or(-total);
        Prices { lambda, bound, doubt: doubt(self.chain.levels.len(), size), rest }
    }

    /// Items of the path from a state on that the prices bound by.
    fn cheapest(&self, prices: &Prices, start: &Start) -> Vec<usize> {
        let total: f64 = prices.lambda.iter().sum();
        let mut state = start.state;
        let mut items = vec![];
        for (place, level) in self.chain.levels.iter().enumerate().skip(start.place) {
            let behind = |next: usize| prices.rest[place + 1].get(next).copied().unwrap_or(-total);
            let worth = |&&(item, next): &&(usize, usize)| {
                let of = &level.items[item];
                of.loss + self.priced(&of.wide, &prices.lambda) + behind(next)
            };
            let best = self.alive[place][state].iter().min_by(|a, b| worth(a).total_cmp(&worth(b)));
            let &(item, next) = best.expect("the bound is finite");
            items.push(item);
            state = next;
        }
        items
    }

    /// Prices that bound the rest of a path well, and the ends of paths that they lead to. The first ones are given.
    fn dual(&self, start: &Start, given: &[[f64; WIDE]], evaluations: usize) -> (Vec<Prices>, Vec<Vec<usize>>) {
        let levels = &self.chain.levels[start.place..];
        let worst = |level: &Level| level.items.iter().map(|item| item.loss.abs()).fold(0.0, f64::max);
        let free = self.shares(&start.used).map(|share| 1.0 - share);
        let mut master = Master::new(&free[..self.chain.wide], levels.iter().map(worst).sum());
        let mut given = given.iter();
        let (mut all, mut paths) = (vec![], vec![]);
        while all.len() < evaluations && (all.is_empty() || !self.limits.deadline.passed()) {
            let Some(level) = master.level() else { break };
            let prices = self.prices(given.next().copied().unwrap_or_else(|| master.lambda()));
            let bound = prices.rest[start.place].get(start.state).copied().unwrap_or(prices.bound);
            let bound = bound + self.priced(&start.used, &prices.lambda);
            if bound == f64::INFINITY {
                all.push(prices);
                break;
            }
            let items = self.cheapest(&prices, start);
            let chosen = || levels.iter().zip(&items).map(|(level, &item)| &level.items[item]);
            let mut shares = free.map(|free| -free);
            for item in chosen() {
                shares.iter_mut().zip(self.shares(&item.wide)).for_each(|(sum, share)| *sum += share);
            }
            master.add(chosen().map(|item| item.loss).sum(), shares[..self.chain.wide].iter().copied());
            paths.push(chosen().map(|item| item.choice).collect());
            let closed = bound >= level - 1e-9 * level.abs() - prices.doubt;
            all.push(prices);
            if closed && given.as_slice().is_empty() {
                break;
            }
            master.improve();
        }
        (all, paths)
    }

    /// What a path loses at least, as some prices say.
    fn least(&self, prices: &Prices, place: usize, path: &Path) -> f64 {
        let total: f64 = prices.lambda.iter().sum();
        let behind = prices.rest[place].get(path.state as usize).copied().unwrap_or(-total);
        path.loss + self.priced(&path.used, &prices.lambda) + behind
    }

    /// The prices of the best bounds for a path.
    fn nearest(&self, prices: &[Prices], place: usize, path: &Path, count: usize) -> Vec<usize> {
        let mut order: Vec<(f64, usize)> =
            prices.iter().enumerate().map(|(index, prices)| (self.least(prices, place, path), index)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().take(count).map(|(_, index)| index).collect()
    }

    /// The prices that bound the paths to a level well; at some levels new ones are looked for.
    fn chosen(&self, prices: &mut Vec<Prices>, place: usize, paths: &[Path]) -> Vec<usize> {
        let lowest = paths.iter().min_by(|a, b| a.bound.total_cmp(&b.bound));
        let asked = || lowest.into_iter().chain(paths.iter().step_by((paths.len() / (ASKED.0 - 1)).max(1)));
        let every = (self.chain.levels.len() / ASKED.1).max(1);
        if place.is_multiple_of(every) && place + 2 < self.chain.levels.len() {
            for path in asked() {
                if prices.len() >= MORE.1 {
                    break;
                }
                let near = self.nearest(prices, place, path, self.chain.wide + 1);
                let near: Vec<[f64; WIDE]> = near.into_iter().map(|index| prices[index].lambda).collect();
                let start = Start { place, state: path.state as usize, used: path.used };
                let (mut more, _) = self.dual(&start, &near, near.len() + MORE.0);
                more.retain(|more| !near.contains(&more.lambda));
                more.sort_by(|a, b| self.least(b, place, path).total_cmp(&self.least(a, place, path)));
                prices.extend(more.into_iter().take(2));
            }
        }
        let mut chosen: Vec<usize> = asked().flat_map(|path| self.nearest(prices, place, path, 2)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Drops the steps that only paths above this loss take.
    fn fix(&mut self, prices: &[Prices], most: f64) {
        for prices in prices {
            let total: f64 = prices.lambda.iter().sum();
            let mut before = vec![0.0];
            for (place, level) in self.chain.levels.iter().enumerate() {
                let behind = |next: usize| prices.rest[place + 1].get(next).copied().unwrap_or(-total);
                let states = self.alive[place].iter().flatten().map(|&(_, next)| next + 1).max().unwrap_or(0);
                let mut after = vec![f64::INFINITY; states];
                for (steps, &before) in self.alive[place].iter_mut().zip(&before) {
                    steps.retain(|&(item, next)| {
                        let of = &level.items[item];
                        let shares: f64 = (0..self.chain.wide)
                            .map(|row| of.wide[row] as f64 / self.chain.slack[row].max(1) as f64 * prices.lambda[row])
                            .sum();
                        let here = before + of.loss + shares;
                        after[next] = after[next].min(here);
                        here + behind(next) <= most + 2.0 * prices.doubt
                    });
                }
                before = after;
            }
        }
    }

    /// One pass of a width for paths that lose so much at most; `best` is replaced by every better one it meets.
    fn pass(
        &self,
        prices: &mut Vec<Prices>,
        sought: f64,
        width: usize,
        best: &mut Option<Best>,
        limits: &Limits,
    ) -> Pass {
        let mut chosen: Vec<usize> = (0..prices.len().min(KEPT)).collect();
        let mut result = Pass { cut: f64::INFINITY, doubt: 0.0, nodes: 0, expired: false };
        let first =
            Path { used: [0; WIDE], worth: (0, 0), loss: 0.0, bound: 0.0, state: 0, parent: 0, item: 0, rank: 0 };
        let mut paths = vec![first];
        let mut history: Vec<Vec<(u32, u32)>> = vec![];
        for (place, level) in self.chain.levels.iter().enumerate() {
            if paths.len() >= ADAPT {
                chosen = self.chosen(prices, place, &paths);
            }
            let chosen: Vec<&Prices> = chosen.iter().map(|&index| &prices[index]).collect();
            let doubt = chosen.iter().map(|prices| prices.doubt).fold(0.0, f64::max);
            result.doubt = result.doubt.max(doubt);
            let most = sought + doubt;
            let mut next: Vec<Path> = vec![];
            for (parent, path) in paths.iter().enumerate() {
                if parent % 256 == 0 && limits.over(result.nodes + next.len() as u64) {
                    result.expired = true;
                    return result;
                }
                for &(index, state) in &self.alive[place][path.state as usize] {
                    let item = &level.items[index];
                    if (0..self.chain.wide).any(|row| path.used[row] > self.chain.slack[row] - item.wide[row]) {
                        continue;
                    }
                    let used: [i64; WIDE] = std::array::from_fn(|row| path.used[row] + item.wide[row]);
                    let loss = path.loss + item.loss;
                    let shares = self.shares(&used);
                    let with = |prices: &&Prices| {
                        let total: f64 = prices.lambda.iter().sum();
                        let behind = prices.rest[place + 1].get(state).copied().unwrap_or(-total);
                        loss + shares.iter().zip(&prices.lambda).map(|(share, price)| share * price).sum::<f64>()
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
            next.sort_unstable_by_key(|path| {
                (paths[path.parent as usize].rank, level.items[path.item as usize].choice)
            });
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
                picks[place] = self.chain.levels[place].items[item as usize].choice;
                at = parent as usize;
            }
            self.offer(best, picks);
        }
        result
    }
}

/// Drops paths to a state that another one to it replaces: it uses no more, and is better or comes first.
fn undominated(paths: &mut Vec<Path>) {
    paths.sort_unstable_by_key(|path| (path.state, path.worth, path.rank));
    let mut kept: Vec<Path> = Vec::with_capacity(paths.len());
    let mut first = 0;
    for path in paths.drain(..) {
        if kept.get(first).is_some_and(|other: &Path| other.state != path.state) {
            first = kept.len();
        }
        let replaces = |other: &Path| other.used.iter().zip(&path.used).all(|(other, used)| other <= used);
        let latest = kept[first..].iter().rev().take(COMPARED);
        if !latest.clone().any(replaces) && !kept[first..].iter().take(COMPARED).any(replaces) {
            kept.push(path);
        }
    }
    *paths = kept;
}

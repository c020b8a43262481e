//! Dynamic programming over the groups, with a beam: partial solutions are extended group by group; one is dropped if
//! another with no higher cost is no worse, or if a bound shows that it cannot beat the incumbent. If too many are
//! left, those of the lowest bounds stay. A pass that dropped nothing useful is exhaustive.
//!
//! A partial solution is bounded by the best of several multipliers, since those that fit the whole problem do not fit
//! every remainder, and by tables that keep a row exactly, if there are any. Wide passes compute better multipliers of
//! the remainder at several of their states, group after group.

use super::{
    dominance::{narrow, undominated},
    dual::{cheapest, lagrangian, maximise},
    incumbent::{Incumbent, offer, repaired},
    pool::Pool,
    reduce::{Item, Reduced},
    state::State,
    tables::{FewSums, Table},
};
use crate::{Limits, fixed_point::float_error};
use std::cmp::Ordering;

/// The result of a pass.
pub(crate) struct Pass {
    /// Least bound of the partial solutions that did not fit into the beam; infinite if there were none.
    pub cut: f64,
    /// Allowance for rounding in bounds.
    pub float_error: f64,
    /// Whether a limit stopped it.
    pub expired: bool,
    /// Number of partial solutions examined.
    pub nodes: u64,
}

/// Multipliers, with the least loss of the groups after each position.
struct SuffixBound<const R: usize> {
    /// Multipliers of shares of the slack.
    lambda: [f64; R],
    /// The same for single units.
    units: [f64; R],
    /// Allowance for rounding in its bounds.
    float_error: f64,
    /// For each place in the order: sum over the groups from there on of the least Lagrangian loss, less the
    /// multipliers.
    rest: Vec<f64>,
}

/// Parent and item of each state after each group.
type History = Vec<Vec<(u32, u32)>>;

/// The order in which groups are decided: those that multipliers move most first. Groups of a single item cost and lose
/// nothing above the least, so there is nothing to decide.
fn order<const R: usize>(reduced: &Reduced<R>, lambda: &[f64; R]) -> Vec<usize> {
    let range = |g: usize| {
        let cost =
            |item: &Item<R>| item.shares.iter().zip(lambda).map(|(share, multiplier)| share * multiplier).sum::<f64>();
        let costs = reduced.groups[g].iter().map(cost);
        let (low, high) = costs.fold((f64::INFINITY, 0.0f64), |(low, high), cost| (low.min(cost), high.max(cost)));
        high - low
    };
    let mut order: Vec<(f64, usize)> =
        (0..reduced.groups.len()).filter(|&g| reduced.groups[g].len() > 1).map(|g| (range(g), g)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, g)| g).collect()
}

/// Runs one pass of a given width for solutions with a loss of at most the target; replaces `best` by every better one
/// it meets.
pub(crate) fn pass<const R: usize>(
    reduced: &Reduced<R>,
    pool: &mut Pool,
    width: usize,
    best: &mut Option<Incumbent>,
    target: Option<i128>,
    limits: &Limits,
) -> Pass {
    let shares: Vec<[f64; R]> = pool.shares(reduced).collect();
    let order = order(reduced, &shares[0]);
    let groups: Vec<&[Item<R>]> = order.iter().map(|&g| reduced.groups[g].as_slice()).collect();
    let mut known: Vec<SuffixBound<R>> = shares.iter().map(|lambda| suffix_bound(reduced, &groups, lambda)).collect();
    let mut chosen: Vec<usize> = (0..known.len().min(SAMPLED)).collect();
    let every = (order.len() / PLACES).max(1);
    // Without a target: a bound above what any solution loses says that nothing fits.
    let sought = target.map_or_else(|| reduced.most_loss(), |target| reduced.above_least(target));
    let narrow = narrow(reduced);
    let tables = pool.tables(reduced, &groups);
    let mut result = Pass { cut: f64::INFINITY, float_error: 0.0, expired: false, nodes: 0 };
    let none = State { used: [0; R], exact: 0, loss: 0.0, tiebreak: 0, bound: 0.0, parent: 0, item: 0 };
    let mut states = vec![none];
    let mut history: History = vec![];
    let mut next: Vec<State<R>> = vec![];
    for (place, &items) in groups.iter().enumerate() {
        if states.len() >= ADAPT && place + 2 < order.len() {
            if place % every == 0 {
                for lambda in new_multipliers(reduced, &groups, place, &states, &known, limits) {
                    pool.add(reduced, &lambda);
                    known.push(suffix_bound(reduced, &groups, &lambda));
                }
            }
            chosen = choose(place, &states, &known);
        }
        let float_errors =
            known.iter().map(|multiplier| multiplier.float_error).chain(tables.iter().map(|table| table.float_error));
        // What is compared may be larger than what the multipliers bound.
        result.float_error = float_errors.fold(float_error(order.len(), sought), f64::max);
        let multipliers: Vec<&SuffixBound<R>> = chosen.iter().map(|&index| &known[index]).collect();
        // A bound is a part of the state and a part of the item, for each multiplier.
        let of_items: Vec<f64> = items
            .iter()
            .flat_map(|item| {
                multipliers.iter().map(|m| item.loss + charge(&m.units, &floats(&item.costs)) + m.rest[place + 1])
            })
            .collect();
        let mut of_state = vec![0.0; multipliers.len()];
        let mut table_bounds: Vec<TableBound> =
            tables.iter().map(|table| TableBound::new(table, place + 1, items)).collect();
        let most = sought + result.float_error;
        next.clear();
        for (parent, state) in states.iter().enumerate() {
            if parent % 256 == 0 && limits.reached(result.nodes + next.len() as u64) {
                result.expired = true;
                return result;
            }
            let used = floats(&state.used);
            for (part, multiplier) in of_state.iter_mut().zip(&multipliers) {
                *part = state.loss + charge(&multiplier.units, &used);
            }
            for (table_bound, table) in table_bounds.iter_mut().zip(&tables) {
                table_bound.start(table, state);
            }
            if next.len() > ROOM * width {
                result.nodes += (next.len() - width) as u64;
                let cut = narrowed(&mut next, width, narrow.as_ref(), |a, b| {
                    first(reduced, &order[..=place], &history, a, b)
                });
                result.cut = result.cut.min(cut);
            }
            for (index, item) in items.iter().enumerate() {
                let of_item = &of_items[index * multipliers.len()..][..multipliers.len()];
                let bounds = of_state.iter().zip(of_item).map(|(state, item)| state + item);
                let bound = bounds.fold(state.loss + item.loss, f64::max);
                if bound > most {
                    continue;
                }
                if (0..R).any(|row| state.used[row] > reduced.slack[row] - item.costs[row]) {
                    continue;
                }
                let bound = table_bounds.iter().map(|table_bound| table_bound.bound(index)).fold(bound, f64::max);
                if bound > most {
                    continue;
                }
                next.push(State {
                    used: std::array::from_fn(|row| state.used[row] + item.costs[row]),
                    exact: state.exact + item.exact,
                    loss: state.loss + item.loss,
                    tiebreak: state.tiebreak + item.tiebreak,
                    bound,
                    parent: parent as u32,
                    item: index as u32,
                });
            }
        }
        result.nodes += next.len() as u64;
        result.cut = result
            .cut
            .min(narrowed(&mut next, width, narrow.as_ref(), |a, b| first(reduced, &order[..=place], &history, a, b)));
        if next.is_empty() {
            // No state is within the target: the last ones, completed greedily, are often good solutions.
            states.sort_unstable_by(|a, b| a.bound.total_cmp(&b.bound));
            for state in states.iter().take(FINISHED) {
                let lambda = &known[nearest(place, state, &known, 1)[0]].lambda;
                let mut items: Vec<u32> = reduced.groups.iter().map(|items| cheapest(items, lambda)).collect();
                trace_back(&order, &history, state, &mut items);
                if let Some(items) = repaired(reduced, items, lambda) {
                    offer(best, Incumbent::of(reduced, &items));
                }
            }
            return result;
        }
        history.push(next.iter().map(|state| (state.parent, state.item)).collect());
        std::mem::swap(&mut states, &mut next);
    }
    for state in &states {
        let mut items = vec![0; reduced.groups.len()];
        trace_back(&order, &history, state, &mut items);
        offer(best, Incumbent::of(reduced, &items));
    }
    result
}

fn floats<const R: usize>(costs: &[i64; R]) -> [f64; R] {
    costs.map(|cost| cost as f64)
}

fn suffix_bound<const R: usize>(reduced: &Reduced<R>, groups: &[&[Item<R>]], lambda: &[f64; R]) -> SuffixBound<R> {
    let mut rest = vec![0.0; groups.len() + 1];
    rest[groups.len()] = -lambda.iter().sum::<f64>();
    for (place, items) in groups.iter().enumerate().rev() {
        let least = items.iter().map(|item| lagrangian(item, lambda)).fold(f64::INFINITY, f64::min);
        rest[place] = rest[place + 1] + least;
    }
    let float_error = float_error(groups.len(), rest[0] + 2.0 * lambda.iter().sum::<f64>());
    SuffixBound { lambda: *lambda, units: reduced.single(lambda), float_error, rest }
}

/// Costs times multipliers.
fn charge<const R: usize>(units: &[f64; R], costs: &[f64; R]) -> f64 {
    (0..R).map(|row| units[row] * costs[row]).sum()
}

/// A bound that keeps one row exactly, for the items of one group: a part of the state, a part of the item, and what
/// the groups behind lose by the units that are left.
struct TableBound<'a> {
    after: &'a [f64],
    items: Vec<(f64, usize)>,
    state: f64,
    left: usize,
}

impl<'a> TableBound<'a> {
    fn new<const R: usize>(table: &'a Table<R>, place: usize, items: &[Item<R>]) -> Self {
        let part = |item: &Item<R>| (item.loss + charge(&table.units, &floats(&item.costs)), table.sums.steps(item));
        Self { after: table.rest(place), items: items.iter().map(part).collect(), state: 0.0, left: 0 }
    }

    fn start<const R: usize>(&mut self, table: &Table<R>, state: &State<R>) {
        self.state = state.loss + charge(&table.units, &floats(&state.used));
        self.left = table.sums.count - 1 - (state.used[table.sums.row] / table.sums.unit) as usize;
    }

    /// That of an item which fits.
    fn bound(&self, item: usize) -> f64 {
        let (part, steps) = self.items[item];
        self.state + part + self.after[self.left - steps]
    }
}

/// The least that the groups from a place on lose when so much is used already, as one multiplier says.
fn rest<const R: usize>(multiplier: &SuffixBound<R>, place: usize, used: &[f64; R]) -> f64 {
    charge(&multiplier.units, used) + multiplier.rest[place]
}

/// Fewer states than this keep the multipliers they have.
const ADAPT: usize = 32;
/// Number of states that are sampled for the best multipliers of what remains.
const SAMPLED: usize = 5;
/// Evaluations of the dual for each of them, beyond those of multipliers that are known.
const MORE_EVALUATIONS: usize = 8;
/// Number of places in the order at which new multipliers are looked for.
const PLACES: usize = 4;

/// States are reduced to the beam's width when they exceed it by this factor.
const ROOM: usize = 16;

/// Keeps at most `width` undominated states, those of the lowest bounds; returns the least bound of those dropped.
fn narrowed<const R: usize>(
    states: &mut Vec<State<R>>,
    width: usize,
    narrow: Option<&FewSums>,
    first: impl Fn(&State<R>, &State<R>) -> Ordering,
) -> f64 {
    undominated(states, narrow, first);
    if states.len() <= width {
        return f64::INFINITY;
    }
    states.select_nth_unstable_by(width, |a, b| a.bound.total_cmp(&b.bound));
    let cut = states[width..].iter().map(|state| state.bound).fold(f64::INFINITY, f64::min);
    states.truncate(width);
    cut
}

/// States all over the range: the one of the lowest bound, and others by their use of the first row.
fn sampled<const R: usize>(states: &[State<R>]) -> impl Iterator<Item = &State<R>> {
    let lowest = states.iter().min_by(|a, b| a.bound.total_cmp(&b.bound));
    lowest.into_iter().chain(states.iter().step_by((states.len() / (SAMPLED - 1)).max(1)))
}

/// Number of states that are completed greedily if none is left.
const FINISHED: usize = 1;

/// New multipliers that bound the groups from a place on well for the states there are.
fn new_multipliers<const R: usize>(
    reduced: &Reduced<R>,
    groups: &[&[Item<R>]],
    place: usize,
    states: &[State<R>],
    known: &[SuffixBound<R>],
    limits: &Limits,
) -> Vec<[f64; R]> {
    let rows = reduced.rows();
    let whole = reduced.whole();
    let mut found: Vec<[f64; R]> = vec![];
    for state in sampled(states) {
        let near = nearest(place, state, known, rows + 1);
        let starts: Vec<[f64; R]> = near.iter().map(|&index| known[index].lambda).collect();
        let left = |row: usize| (reduced.slack[row] - state.used[row]) as f64 / reduced.slack[row] as f64;
        let free = std::array::from_fn(|row| whole[row] * left(row));
        let dual = maximise(&groups[place..], rows, &free, &starts, starts.len() + MORE_EVALUATIONS, limits);
        for multipliers in dual.multipliers.into_iter().take(2) {
            if !found.contains(&multipliers.lambda) && !starts.contains(&multipliers.lambda) {
                found.push(multipliers.lambda);
            }
        }
    }
    found
}

/// The multipliers of the best bounds for the states there are.
fn choose<const R: usize>(place: usize, states: &[State<R>], known: &[SuffixBound<R>]) -> Vec<usize> {
    let mut chosen: Vec<usize> = sampled(states).flat_map(|state| nearest(place, state, known, 2)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// The multipliers of the best bounds for one state.
fn nearest<const R: usize>(place: usize, state: &State<R>, known: &[SuffixBound<R>], count: usize) -> Vec<usize> {
    let used = floats(&state.used);
    let mut best: Vec<(f64, usize)> = Vec::with_capacity(count + 1);
    for (index, multiplier) in known.iter().enumerate() {
        let value = rest(multiplier, place, &used);
        let at = best.partition_point(|other| other.0 >= value);
        if at < count {
            best.insert(at, (value, index));
            best.truncate(count);
        }
    }
    best.into_iter().map(|(_, index)| index).collect()
}

/// Sets the items of a state, by following its parents.
fn trace_back<const R: usize>(order: &[usize], history: &History, state: &State<R>, items: &mut [u32]) {
    let mut step = (state.parent, state.item);
    for place in (0..history.len()).rev() {
        items[order[place]] = step.1;
        if place > 0 {
            step = history[place - 1][step.0 as usize];
        }
    }
}

/// Which of two new states of equal loss and tiebreak has the first solution.
fn first<const R: usize>(
    reduced: &Reduced<R>,
    decided: &[usize],
    history: &History,
    a: &State<R>,
    b: &State<R>,
) -> Ordering {
    let (&last, earlier) = decided.split_last().expect("a group was just decided");
    let picks = |state: &State<R>| {
        let mut picks: Vec<(usize, usize)> = vec![(last, reduced.groups[last][state.item as usize].choice)];
        let mut index = state.parent as usize;
        for (level, &g) in history.iter().zip(earlier).rev() {
            let (parent, item) = level[index];
            picks.push((g, reduced.groups[g][item as usize].choice));
            index = parent as usize;
        }
        picks.sort_unstable();
        picks
    };
    picks(a).cmp(&picks(b))
}

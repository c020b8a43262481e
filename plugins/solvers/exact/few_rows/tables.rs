//! Rows with few possible sums, and bounds that keep such a row exactly.
//!
//! Costs are often multiples of some number, such as the smallest layer's weights. A budget then has few possible sums,
//! and multipliers alone, which allow fractional solutions, bound badly. For such a row, dynamic programming over its
//! sums, with multipliers for the other rows, bounds by solutions that keep this row exactly (Lagrangian relaxation of
//! the other rows only).

use super::{
    dual::lagrangian,
    reduce::{Item, Reduced},
};
use crate::fixed_point::float_error;

/// Largest number of sums that counts as few.
const MOST: usize = 1024;
/// Largest size of a table.
const MOST_NUMBERS: usize = 1 << 18;
/// Number of rows that are kept exactly, each in a table of its own.
const ROWS: usize = 3;

/// A row with few possible sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FewSums {
    pub row: usize,
    /// Every sum is a multiple of this.
    pub unit: i64,
    /// Number of multiples within the limit, including zero.
    pub count: usize,
}

impl FewSums {
    /// The rows with at most this many sums, the one with the fewest first.
    pub fn up_to<const R: usize>(most: usize, reduced: &Reduced<R>) -> Vec<Self> {
        let few = |row: usize| {
            let unit = reduced.unit(row);
            let count = usize::try_from(reduced.slack[row] / unit).ok()?.checked_add(1)?;
            (count <= most).then_some(Self { row, unit, count })
        };
        let mut rows: Vec<Self> = (0..reduced.rows()).filter_map(few).collect();
        rows.sort_by_key(|sums| sums.count);
        rows
    }

    /// Those that tables are made of.
    pub fn all<const R: usize>(reduced: &Reduced<R>) -> Vec<Self> {
        let mut rows = Self::up_to(MOST.min(MOST_NUMBERS / reduced.groups.len().max(1)), reduced);
        rows.truncate(ROWS);
        rows
    }

    /// What an item adds, in units.
    pub fn steps<const R: usize>(&self, item: &Item<R>) -> usize {
        (item.costs[self.row] / self.unit) as usize
    }

    /// Multipliers without the one of this row, which is kept.
    pub fn others<const R: usize>(&self, lambda: &[f64; R]) -> [f64; R] {
        let mut lambda = *lambda;
        lambda[self.row] = 0.0;
        lambda
    }
}

/// Lowers each sum to the other one with something added, where that is less.
fn lower(sums: &mut [f64], others: &[f64], more: f64) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum = lesser(*sum, other + more);
    }
}

/// The least sum of two numbers at the same place, of the places that both have.
fn least_sum(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut least = [f64::INFINITY; LANES];
    let (a, b) = (&a[..a.len().min(b.len())], &b[..a.len().min(b.len())]);
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a + b).fold(f64::INFINITY, lesser);
    for (a, b) in a.zip(b) {
        (0..LANES).for_each(|lane| least[lane] = lesser(least[lane], a[lane] + b[lane]));
    }
    least.into_iter().fold(rest, lesser)
}

/// The lesser of two numbers, in one instruction: `f64::min` minds what is not a number.
fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// What groups lose at least, at multipliers of the other rows, by what they may use of this row.
pub(crate) struct Table<const R: usize> {
    pub sums: FewSums,
    /// Multipliers of single units; none for this row.
    pub units: [f64; R],
    /// Multipliers of shares of the slack.
    pub lambda: [f64; R],
    /// By how much rounding may move its bounds.
    pub float_error: f64,
    /// For each place in the order and each number of units that is left: least Lagrangian loss from there on, less the
    /// multipliers.
    rest: Vec<f64>,
}

impl<const R: usize> Table<R> {
    pub fn new(sums: FewSums, reduced: &Reduced<R>, groups: &[&[Item<R>]], lambda: &[f64; R]) -> Self {
        let count = sums.count;
        let total: f64 = lambda.iter().sum();
        let mut rest = vec![f64::INFINITY; (groups.len() + 1) * count];
        rest[groups.len() * count..].fill(-total);
        for (place, items) in groups.iter().enumerate().rev() {
            let (here, after) = rest[place * count..].split_at_mut(count);
            for item in *items {
                lower(&mut here[sums.steps(item)..], &after[..count], lagrangian(item, lambda));
            }
        }
        let float_error = float_error(groups.len(), rest[count - 1] + 2.0 * total);
        Self { sums, units: reduced.single(lambda), lambda: *lambda, float_error, rest }
    }

    /// Those from a place on.
    pub fn rest(&self, place: usize) -> &[f64] {
        &self.rest[place * self.sums.count..][..self.sums.count]
    }

    /// That on all solutions.
    pub fn bound(&self) -> f64 {
        self.rest[self.sums.count - 1]
    }

    /// For each item, what every solution with it loses at least, to be compared with `most` or less. The table is one
    /// of all groups in their order.
    pub fn item_bounds(&self, reduced: &Reduced<R>, most: f64) -> Vec<f64> {
        let Self { sums, lambda, .. } = self;
        let float_error =
            self.float_error.max(float_error(reduced.groups.len(), most + 2.0 * lambda.iter().sum::<f64>()));
        let mut least = Vec::with_capacity(reduced.items());
        // The least Lagrangian loss of the groups before this one, by the units that they leave.
        let mut before = vec![0.0; sums.count];
        let mut next = vec![0.0; sums.count];
        for (place, items) in reduced.groups.iter().enumerate() {
            let after = self.rest(place + 1);
            next.fill(f64::INFINITY);
            for item in items {
                let (lagrangian, steps) = (lagrangian(item, lambda), sums.steps(item));
                least.push(least_sum(&before[steps..], after) + lagrangian - 2.0 * float_error);
                lower(&mut next, &before[steps..], lagrangian);
            }
            std::mem::swap(&mut before, &mut next);
        }
        least
    }

    /// The solution that loses least.
    pub fn solution(&self, groups: &[&[Item<R>]]) -> Vec<u32> {
        let mut left = self.sums.count - 1;
        let mut solution = Vec::with_capacity(groups.len());
        for (place, items) in groups.iter().enumerate() {
            let after = self.rest(place + 1);
            let with = |item: &Item<R>| {
                let steps = self.sums.steps(item);
                if steps > left { f64::INFINITY } else { after[left - steps] + lagrangian(item, &self.lambda) }
            };
            let best = (0..items.len()).min_by(|&a, &b| with(&items[a]).total_cmp(&with(&items[b])));
            let best = best.expect("no group is empty");
            left -= self.sums.steps(&items[best]);
            solution.push(best as u32);
        }
        solution
    }
}

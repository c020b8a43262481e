//! The problem without what cannot matter: losses as exact integers, costs above each group's least, rows that can bind,
//! and options that fit and are not dominated (Sinha & Zoltners, Operations Research 27, 1979).

use super::dual::doubt;
use limpq_core::search::{Problem, SolverError};

/// One way to choose in a group. Arrays have a place for each row that is left, and zeros behind those.
#[derive(Clone, Debug)]
pub(super) struct Item<const R: usize> {
    /// Index of the option in the problem's group.
    pub choice: usize,
    /// Loss above the group's least, exactly, in quanta.
    pub exact: i128,
    /// The same as a float, in the unit of the problem's largest loss.
    pub loss: f64,
    /// Weight and activation bits.
    pub bits: u64,
    /// Cost above the group's least in each row.
    pub costs: [i64; R],
    /// The same as shares of the row's slack: all in 0..=1.
    pub shares: [f64; R],
}

/// What is left of a problem.
#[derive(Clone, Debug)]
pub(super) struct Reduced<const R: usize> {
    /// Items of each group of the problem, in its order; at least one in each, those that lose least first.
    pub groups: Vec<Vec<Item<R>>>,
    /// Which rows of the problem are left.
    rows: Vec<usize>,
    /// Number of rows of the problem.
    all_rows: usize,
    /// What each row allows above the least of all groups; positive. Places behind the rows allow anything.
    pub slack: [i64; R],
    /// Sum of the least losses of all groups, in quanta: what items' losses count from.
    pub offset: i128,
    /// Value of one quantum of loss, in the unit that floats count in.
    quantum: f64,
    /// Binary exponent of that unit.
    scale: i32,
}

/// A row that can bind: its place in the problem, and what it allows above the least of all groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    row: usize,
    slack: i64,
}

/// The rows of a problem that can bind.
///
/// # Errors
/// [`SolverError::Infeasible`] when one allows less than the least, and a row whose numbers do not fit into 63 bits.
pub(super) fn bounds(problem: &Problem) -> Result<Vec<Bound>, SolverError> {
    let mut bounds = vec![];
    for (row, limit) in problem.rows.iter().enumerate() {
        let (mut least, mut most) = (0, 0);
        for group in &problem.groups {
            let costs = || group.choices.iter().map(|choice| problem.cost(choice, row));
            least += costs().min().ok_or(SolverError::Infeasible)?;
            most += costs().max().unwrap_or(0);
        }
        if limit.limit < least {
            return Err(SolverError::Infeasible);
        }
        if limit.limit < most {
            let slack = i64::try_from(limit.limit - least).map_err(|_| SolverError::Library {
                solver: "exact",
                message: format!("{} spans more than 2^63 units between its ends; use a coarser unit", limit.name),
            })?;
            bounds.push(Bound { row, slack });
        }
    }
    Ok(bounds)
}

impl<const R: usize> Reduced<R> {
    /// Reduces a problem with these [`bounds`], at most R of them.
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] when exact arithmetic shows it.
    pub fn new(problem: &Problem, bounds: &[Bound]) -> Result<Self, SolverError> {
        let Fixed { losses, quantum, scale, .. } = fixed_point(problem);
        let mut losses = losses.into_iter();
        let mut groups = Vec::with_capacity(problem.groups.len());
        for group in &problem.groups {
            let mut least = [0; R];
            for (least, bound) in least.iter_mut().zip(bounds) {
                *least = group.choices.iter().map(|choice| problem.cost(choice, bound.row)).min().unwrap_or(0);
            }
            let mut items = Vec::with_capacity(group.choices.len());
            for (choice, option) in group.choices.iter().enumerate() {
                let exact = losses.next().expect("one loss for each option");
                let mut costs = [0; R];
                let fits = bounds.iter().zip(&least).zip(&mut costs).all(|((bound, least), cost)| {
                    let above = i64::try_from(problem.cost(option, bound.row) - least);
                    above.is_ok_and(|above| {
                        *cost = above;
                        above <= bound.slack
                    })
                });
                if fits {
                    let bits = option.total_bits();
                    items.push(Item { choice, exact, loss: 0.0, bits, costs, shares: [0.0; R] });
                }
            }
            groups.push(items);
        }
        let mut slack = [i64::MAX; R];
        slack.iter_mut().zip(bounds).for_each(|(slack, bound)| *slack = bound.slack);
        let rows = bounds.iter().map(|bound| bound.row).collect();
        Self { groups, rows, all_rows: problem.rows.len(), slack, offset: 0, quantum, scale }.reduced(true)
    }

    /// Without the items that `keep` drops, by their place among all items.
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] when nothing is left.
    pub fn retain(&self, keep: impl Fn(usize) -> bool) -> Result<Self, SolverError> {
        let mut first = 0;
        let groups = self.groups.iter().map(|items| {
            let kept = items.iter().enumerate().filter(|&(place, _)| keep(first + place)).map(|(_, item)| item.clone());
            let kept = kept.collect();
            first += items.len();
            kept
        });
        Self { groups: groups.collect(), rows: self.rows.clone(), ..*self }.reduced(false)
    }

    /// Number of rows that are left.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// An exact total as a float above the sum of the least losses, as bounds count.
    pub fn above_least(&self, total: i128) -> f64 {
        (total - self.offset) as f64 * self.quantum
    }

    /// A total that is less by some loss.
    pub fn below(&self, total: i128, loss: f64) -> i128 {
        total - (loss / self.quantum) as i128
    }

    /// A bound that counts from the sum of the least losses, counted from zero.
    pub fn absolute(&self, bound: f64) -> f64 {
        self.offset as f64 * self.quantum + bound
    }

    /// A bound in the problem's own unit.
    pub fn in_problem(&self, bound: f64) -> f64 {
        scaled(bound, self.scale)
    }

    /// The problem's row of one that is left.
    pub fn row(&self, row: usize) -> usize {
        self.rows[row]
    }

    /// Prices of single units, from prices of shares.
    pub fn single(&self, lambda: &[f64; R]) -> [f64; R] {
        std::array::from_fn(|row| lambda[row] / self.slack[row] as f64)
    }

    /// Prices of single units of the problem's rows, from prices of shares.
    pub fn units(&self, lambda: &[f64; R]) -> Vec<f64> {
        let mut units = vec![0.0; self.all_rows];
        for ((&row, price), &slack) in self.rows.iter().zip(lambda).zip(&self.slack) {
            units[row] = price / slack as f64;
        }
        units
    }

    /// Prices of shares, from those of single units.
    pub fn prices(&self, units: &[f64]) -> [f64; R] {
        let mut prices = [0.0; R];
        for ((price, &row), &slack) in prices.iter_mut().zip(&self.rows).zip(&self.slack) {
            *price = units[row] * slack as f64;
        }
        prices
    }

    /// One for each row that is left.
    pub fn whole(&self) -> [f64; R] {
        std::array::from_fn(|row| if row < self.rows() { 1.0 } else { 0.0 })
    }

    /// The items of every group.
    pub fn all(&self) -> Vec<&[Item<R>]> {
        self.groups.iter().map(Vec::as_slice).collect()
    }

    /// The most that any policy loses, as bounds count, with an allowance for the rounding of such sums.
    pub fn most_loss(&self) -> f64 {
        let worst = |items: &Vec<Item<R>>| items.iter().map(|item| item.loss).fold(0.0, f64::max);
        let sum: f64 = self.groups.iter().map(worst).sum();
        sum + doubt(self.groups.len(), sum)
    }

    /// The greatest number that all costs in a row are multiples of; zero when all are zero.
    pub fn unit(&self, row: usize) -> i64 {
        let mut unit = 0;
        for item in self.groups.iter().flatten() {
            unit = greatest_divisor(unit, item.costs[row]);
            if unit == 1 {
                break;
            }
        }
        unit
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Counts costs from the least of each group, drops rows that cannot bind and items that do not fit or are dominated,
    /// until nothing changes. Fewer items dominate no more; fewer rows do.
    fn reduced(mut self, mut compare: bool) -> Result<Self, SolverError> {
        loop {
            if self.groups.iter().any(Vec::is_empty) {
                return Err(SolverError::Infeasible);
            }
            for row in 0..self.rows() {
                for items in &mut self.groups {
                    let least = items.iter().map(|item| item.costs[row]).min().expect("no group is empty");
                    if least > 0 {
                        items.iter_mut().for_each(|item| item.costs[row] -= least);
                        self.slack[row] -= least;
                    }
                }
                if self.slack[row] < 0 {
                    return Err(SolverError::Infeasible);
                }
            }
            let (items, rows) = (self.items(), self.rows());
            for items in &mut self.groups {
                items.retain(|item| item.costs.iter().zip(&self.slack).all(|(cost, slack)| cost <= slack));
            }
            self.drop_idle_rows();
            if compare || self.rows() < rows {
                self.groups.iter_mut().for_each(drop_dominated);
                compare = false;
            }
            if (self.items(), self.rows()) == (items, rows) {
                break;
            }
        }
        // Nobody can use the rest behind the last multiple. Some option that fits is a multiple above zero, so slack stays positive.
        for row in 0..self.rows() {
            self.slack[row] -= self.slack[row] % self.unit(row);
        }
        let slack = self.slack.map(|slack| slack as f64);
        for items in &mut self.groups {
            let least = items[0].exact;
            self.offset += least;
            for item in items {
                item.exact -= least;
                item.loss = float(item.exact) * self.quantum;
                item.shares = std::array::from_fn(|row| item.costs[row] as f64 / slack[row]);
            }
        }
        Ok(self)
    }

    fn drop_idle_rows(&mut self) {
        for row in (0..self.rows()).rev() {
            let most = |items: &Vec<Item<R>>| items.iter().map(|item| i128::from(item.costs[row])).max();
            let most: i128 = self.groups.iter().filter_map(most).sum();
            if most <= i128::from(self.slack[row]) {
                self.rows.remove(row);
                close(&mut self.slack, row, i64::MAX);
                self.groups.iter_mut().flatten().for_each(|item| close(&mut item.costs, row, 0));
            }
        }
    }
}

/// The greatest number that divides both.
fn greatest_divisor(a: i64, b: i64) -> i64 {
    if a == 0 { b } else { greatest_divisor(b % a, a) }
}

/// Takes a place out of an array; those behind it move up.
fn close<const R: usize>(values: &mut [i64; R], place: usize, last: i64) {
    values[place..].rotate_left(1);
    values[R - 1] = last;
}

/// As a float; most numbers fit into 64 bits, which is much quicker.
fn float(number: i128) -> f64 {
    i64::try_from(number).map_or(number as f64, |number| number as f64)
}

/// Drops every item that another one replaces: no cost higher, and better or equal in loss, bits and order.
fn drop_dominated<const R: usize>(items: &mut Vec<Item<R>>) {
    items.sort_unstable_by_key(|item| (item.exact, item.bits, item.choice));
    let mut kept = 0;
    for next in 0..items.len() {
        let replaced = |other: &Item<R>| other.costs.iter().zip(&items[next].costs).all(|(a, b)| a <= b);
        if !items[..kept].iter().any(replaced) {
            items.swap(kept, next);
            kept += 1;
        }
    }
    items.truncate(kept);
}

/// Losses as whole numbers of quanta.
pub(super) struct Fixed {
    /// One for each option of each group.
    pub losses: Vec<i128>,
    /// Value of one quantum, in the unit of [`Self::scale`].
    pub quantum: f64,
    /// Binary exponent of the largest loss. Floats count in this unit, so that the largest is about one.
    pub scale: i32,
    /// By how much rounding to quanta may have moved a loss, in the problem's unit; zero when all are exact.
    pub rounding: f64,
}

/// Every loss as a whole number of quanta. Exact while all losses fit into 126 bits, which 1e-9 and 1e9 together do; beyond
/// that losses are rounded to 2^-100 of the largest.
pub(super) fn fixed_point(problem: &Problem) -> Fixed {
    let losses = || problem.groups.iter().flat_map(|group| &group.choices).map(|choice| choice.loss);
    let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
    for loss in losses().filter(|&loss| loss != 0.0) {
        let (mantissa, exponent) = parts(loss);
        lowest = lowest.min(exponent + mantissa.trailing_zeros() as i32);
        highest = highest.max(exponent + 128 - mantissa.leading_zeros() as i32);
    }
    if lowest > highest {
        return Fixed { losses: losses().map(|_| 0).collect(), quantum: 1.0, scale: 0, rounding: 0.0 };
    }
    let room = 126 - (problem.groups.len() as f64).log2().ceil() as i32;
    let exact = highest - lowest <= room;
    let quantum = if exact { lowest } else { highest - room.min(100) };
    let fixed = |loss: f64| {
        if loss == 0.0 {
            return 0;
        }
        let (mantissa, exponent) = parts(loss);
        let shift = exponent - quantum;
        let size = match shift {
            0.. => mantissa << shift,
            -126..0 => (mantissa + (1 << (-shift - 1))) >> -shift,
            _ => 0,
        };
        if loss < 0.0 { -size } else { size }
    };
    Fixed {
        losses: losses().map(fixed).collect(),
        quantum: 2f64.powi(quantum - highest),
        scale: highest,
        rounding: if exact { 0.0 } else { scaled(1.0, quantum) },
    }
}

/// A number times a power of two, of which both factors and the product are floats though the power alone may be none.
pub(super) fn scaled(number: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    number * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// |loss| = mantissa * 2^exponent.
fn parts(loss: f64) -> (i128, i32) {
    let bits = loss.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let mantissa = i128::from(bits & ((1 << 52) - 1));
    if exponent == 0 { (mantissa, -1074) } else { (mantissa | 1 << 52, exponent - 1075) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::contract::problem;

    fn reduced<const R: usize>(problem: &Problem) -> Reduced<R> {
        Reduced::new(problem, &bounds(problem).unwrap()).unwrap()
    }

    #[test]
    fn losses_are_exact_over_a_huge_range() {
        let problem = problem(&[&[(2, 1e9, &[1]), (3, 1e-9, &[2])], &[(2, 0.1, &[1]), (3, -0.0, &[2])]], &[3]);
        let Fixed { losses, quantum, scale, rounding } = fixed_point(&problem);
        let back: Vec<f64> = losses.iter().map(|&loss| scaled(loss as f64 * quantum, scale)).collect();
        assert_eq!((back, rounding), (vec![1e9, 1e-9, 0.1, 0.0], 0.0));
    }

    #[test]
    fn losses_near_the_ends_of_floats_are_exact() {
        for size in [5e-324, 3e-310, 1e-300, 1e300] {
            let problem = problem(&[&[(2, size, &[1]), (3, 3.0 * size, &[2])]], &[3]);
            let Fixed { losses, quantum, scale, rounding } = fixed_point(&problem);
            let back: Vec<f64> = losses.iter().map(|&loss| scaled(loss as f64 * quantum, scale)).collect();
            assert_eq!((back, rounding), (vec![size, 3.0 * size], 0.0));
        }
        let Fixed { losses, rounding, .. } = fixed_point(&problem(&[&[(2, 1.0, &[1]), (3, 1e-288, &[2])]], &[3]));
        assert!(losses[0] == 1 << 99 && losses[1] == 0 && (1e-31..1e-29).contains(&rounding), "{rounding}");
    }

    #[test]
    fn dominated_items_go_and_costs_count_from_the_least() {
        let group: &[(u64, f64, &[u64])] = &[(2, 5.0, &[10]), (3, 5.0, &[10]), (4, 6.0, &[12]), (5, 1.0, &[30])];
        let reduced = reduced::<1>(&problem(&[group, group], &[49]));
        let loss = |item: &Item<1>| reduced.in_problem(item.loss);
        let kept: Vec<_> = reduced.groups[0].iter().map(|item| (item.choice, loss(item), item.costs[0])).collect();
        assert_eq!(kept, [(3, 0.0, 20), (0, 4.0, 0)]);
        // 29 of the limit are left, of which whole steps of 20 can be used.
        assert_eq!(reduced.slack, [20]);
    }

    #[test]
    fn rows_that_cannot_bind_go() {
        let group: &[(u64, f64, &[u64])] = &[(2, 5.0, &[1, 1]), (3, 1.0, &[3, 9])];
        let reduced = reduced::<2>(&problem(&[group, group], &[6, 10]));
        assert_eq!((reduced.rows(), reduced.slack), (1, [8, i64::MAX]));
    }
}

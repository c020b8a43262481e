//! The problem without what cannot matter: losses as exact integers, costs above each group's least, rows that can
//! bind, and options that fit and are not dominated (Sinha & Zoltners, Operations Research 27, 1979).

use crate::{
    Error, Problem,
    fixed_point::{Fixed, fixed_point, float_error, scaled},
};

/// A remaining option. Arrays have an element per remaining row, then zeros.
#[derive(Clone, Debug)]
pub(crate) struct Item<const R: usize> {
    /// Index of the option in the problem's group.
    pub choice: usize,
    /// Loss above the group's least, exactly, in quanta.
    pub exact: i128,
    /// The same as a float, in the unit of the problem's largest loss.
    pub loss: f64,
    /// The option's tiebreak.
    pub tiebreak: u64,
    /// Cost above the group's least in each row.
    pub costs: [i64; R],
    /// The same as shares of the row's slack: all in 0..=1.
    pub shares: [f64; R],
}

/// A reduced problem.
#[derive(Clone, Debug)]
pub(crate) struct Reduced<const R: usize> {
    /// Items of each group of the problem, in its order; at least one in each, those that lose least first.
    pub groups: Vec<Vec<Item<R>>>,
    /// Indices of the remaining rows of the problem.
    rows: Vec<usize>,
    /// Number of rows of the problem.
    all_rows: usize,
    /// The slack of each row above the minimum of all groups; positive. Unused elements allow anything.
    pub slack: [i64; R],
    /// Sum of the least losses of all groups, in quanta; items' losses are relative to it.
    pub offset: i128,
    /// Value of one quantum of loss, in the unit that floats count in.
    quantum: f64,
    /// Binary exponent of that unit.
    scale: i32,
}

/// A row that can bind: its index in the problem, and its slack above the minimum of all groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    row: usize,
    slack: i64,
}

/// The rows of a problem that can bind.
///
/// # Errors
/// [`Error::Infeasible`] if a row allows less than the minimum; a row whose range exceeds 63 bits.
pub(crate) fn binding(problem: &Problem) -> Result<Vec<Bound>, Error> {
    let mut bounds = vec![];
    for (row, limit) in problem.rows.iter().enumerate() {
        let (mut least, mut most) = (0, 0);
        for group in &problem.groups {
            let costs = || group.choices.iter().map(|choice| problem.cost(choice, row));
            least += costs().min().ok_or(Error::Infeasible)?;
            most += costs().max().unwrap_or(0);
        }
        if limit.limit < least {
            return Err(Error::Infeasible);
        }
        if limit.limit < most {
            let slack = i64::try_from(limit.limit - least).map_err(|_| Error::TooWide { row })?;
            bounds.push(Bound { row, slack });
        }
    }
    Ok(bounds)
}

impl<const R: usize> Reduced<R> {
    /// Reduces a problem with these [`binding`] rows, at most R of them.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when exact arithmetic shows it.
    pub fn new(problem: &Problem, bounds: &[Bound]) -> Result<Self, Error> {
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
                    let tiebreak = option.tiebreak;
                    items.push(Item { choice, exact, loss: 0.0, tiebreak, costs, shares: [0.0; R] });
                }
            }
            groups.push(items);
        }
        let mut slack = [i64::MAX; R];
        slack.iter_mut().zip(bounds).for_each(|(slack, bound)| *slack = bound.slack);
        let rows = bounds.iter().map(|bound| bound.row).collect();
        Self { groups, rows, all_rows: problem.rows.len(), slack, offset: 0, quantum, scale }.reduced(true)
    }

    /// Removes the items for which `keep` is false, by index among all items.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when nothing is left.
    pub fn retain(&self, keep: impl Fn(usize) -> bool) -> Result<Self, Error> {
        let mut first = 0;
        let groups = self.groups.iter().map(|items| {
            let kept = items.iter().enumerate().filter(|&(place, _)| keep(first + place)).map(|(_, item)| item.clone());
            let kept = kept.collect();
            first += items.len();
            kept
        });
        Self { groups: groups.collect(), rows: self.rows.clone(), ..*self }.reduced(false)
    }

    /// Number of remaining rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// An exact total as a float above the sum of the least losses, as bounds count.
    pub fn above_least(&self, total: i128) -> f64 {
        (total - self.offset) as f64 * self.quantum
    }

    /// A total reduced by some loss.
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

    /// The problem's index of a remaining row.
    pub fn row(&self, row: usize) -> usize {
        self.rows[row]
    }

    /// Multipliers of single units, from multipliers of shares.
    pub fn single(&self, lambda: &[f64; R]) -> [f64; R] {
        std::array::from_fn(|row| lambda[row] / self.slack[row] as f64)
    }

    /// Multipliers of single units of the problem's rows, from multipliers of shares.
    pub fn units(&self, lambda: &[f64; R]) -> Vec<f64> {
        let mut units = vec![0.0; self.all_rows];
        for ((&row, multiplier), &slack) in self.rows.iter().zip(lambda).zip(&self.slack) {
            units[row] = multiplier / slack as f64;
        }
        units
    }

    /// Multipliers of shares, from those of single units.
    pub fn multipliers(&self, units: &[f64]) -> [f64; R] {
        let mut multipliers = [0.0; R];
        for ((multiplier, &row), &slack) in multipliers.iter_mut().zip(&self.rows).zip(&self.slack) {
            *multiplier = units[row] * slack as f64;
        }
        multipliers
    }

    /// One element per remaining row.
    pub fn whole(&self) -> [f64; R] {
        std::array::from_fn(|row| if row < self.rows() { 1.0 } else { 0.0 })
    }

    /// The items of every group.
    pub fn all(&self) -> Vec<&[Item<R>]> {
        self.groups.iter().map(Vec::as_slice).collect()
    }

    /// The most that any solution loses, as bounds count, with an allowance for the rounding of such sums.
    pub fn most_loss(&self) -> f64 {
        let worst = |items: &Vec<Item<R>>| items.iter().map(|item| item.loss).fold(0.0, f64::max);
        let sum: f64 = self.groups.iter().map(worst).sum();
        sum + float_error(self.groups.len(), sum)
    }

    /// The greatest common divisor of all costs in a row; zero if all are zero.
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

    /// Counts costs from the least of each group, drops rows that cannot bind and items that do not fit or are
    /// dominated, until nothing changes. Fewer items dominate no more; fewer rows do.
    fn reduced(mut self, mut compare: bool) -> Result<Self, Error> {
        loop {
            if self.groups.iter().any(Vec::is_empty) {
                return Err(Error::Infeasible);
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
                    return Err(Error::Infeasible);
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
        // Nobody can use the rest behind the last multiple. Some option that fits is a multiple above zero, so slack
        // stays positive.
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

/// The greatest common divisor.
fn greatest_divisor(a: i64, b: i64) -> i64 {
    if a == 0 { b } else { greatest_divisor(b % a, a) }
}

/// Removes an element of an array; later ones move up.
fn close<const R: usize>(values: &mut [i64; R], place: usize, last: i64) {
    values[place..].rotate_left(1);
    values[R - 1] = last;
}

/// As a float; most numbers fit into 64 bits, which is much quicker.
fn float(number: i128) -> f64 {
    i64::try_from(number).map_or(number as f64, |number| number as f64)
}

/// Removes dominated items: another one costs no more in any row, and is better or equal in loss, tiebreak and order.
fn drop_dominated<const R: usize>(items: &mut Vec<Item<R>>) {
    items.sort_unstable_by_key(|item| (item.exact, item.tiebreak, item.choice));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::problem;

    fn reduced<const R: usize>(problem: &Problem) -> Reduced<R> {
        Reduced::new(problem, &binding(problem).unwrap()).unwrap()
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

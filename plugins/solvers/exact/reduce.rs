//! The problem without what cannot matter: losses as exact integers, costs above each group's least, rows that can bind,
//! and options that fit and are not dominated (Sinha & Zoltners, Operations Research 27, 1979).

use limpq_core::search::{Problem, SolverError};
use smallvec::SmallVec;

/// A number for each row: seldom more than three, and there are many items.
pub(super) type PerRow<T> = SmallVec<[T; 3]>;

/// One way to choose in a group.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Index of the option in the problem's group.
    pub choice: usize,
    /// Loss above the group's least, exactly, in quanta.
    pub exact: i128,
    /// The same as a float, in the problem's unit.
    pub loss: f64,
    /// Weight and activation bits.
    pub bits: u64,
    /// Cost above the group's least in each row.
    pub costs: PerRow<i128>,
    /// The same as shares of the row's slack: all in 0..=1.
    pub shares: PerRow<f64>,
}

/// What is left of a problem.
#[derive(Clone, Debug)]
pub(super) struct Reduced {
    /// Items of each group of the problem, in its order; at least one in each.
    pub groups: Vec<Vec<Item>>,
    /// Which rows of the problem are left.
    rows: Vec<usize>,
    /// Number of rows of the problem.
    all_rows: usize,
    /// What each row allows above the least of all groups; positive.
    pub slack: Vec<i128>,
    /// Sum of the least losses of all groups, in quanta: what items' losses count from.
    pub offset: i128,
    /// Value of one quantum of loss.
    quantum: f64,
}

impl Reduced {
    /// Reduces a problem.
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] when exact arithmetic shows it.
    pub fn new(problem: &Problem) -> Result<Self, SolverError> {
        let (losses, quantum) = fixed_point(problem);
        let mut losses = losses.into_iter();
        let mut groups = Vec::with_capacity(problem.groups.len());
        for group in &problem.groups {
            let items = group.choices.iter().enumerate().map(|(choice, option)| Item {
                choice,
                exact: losses.next().expect("one loss for each option"),
                loss: 0.0,
                bits: option.total_bits(),
                costs: option.costs.iter().map(|&cost| i128::from(cost)).collect(),
                shares: PerRow::new(),
            });
            groups.push(items.collect());
        }
        let slack = problem.rows.iter().map(|row| row.limit).collect();
        let all_rows = problem.rows.len();
        Self { groups, rows: (0..all_rows).collect(), all_rows, slack, offset: 0, quantum }.reduced()
    }

    /// Without the items that `keep` drops (group, item).
    ///
    /// # Errors
    /// [`SolverError::Infeasible`] when nothing is left.
    pub fn retain(&self, keep: impl Fn(usize, usize) -> bool) -> Result<Self, SolverError> {
        let kept = |(g, items): (usize, &Vec<Item>)| {
            items.iter().enumerate().filter(|&(i, _)| keep(g, i)).map(|(_, item)| item.clone()).collect()
        };
        let groups = self.groups.iter().enumerate().map(kept).collect();
        Self { groups, rows: self.rows.clone(), slack: self.slack.clone(), ..*self }.reduced()
    }

    /// An exact total as a float above the sum of the least losses, as bounds count.
    pub fn above_least(&self, total: i128) -> f64 {
        (total - self.offset) as f64 * self.quantum
    }

    /// A total that is less by some loss.
    pub fn below(&self, total: i128, loss: f64) -> i128 {
        total - (loss / self.quantum) as i128
    }

    /// A bound that counts from the sum of the least losses, in the problem's own count.
    pub fn absolute(&self, bound: f64) -> f64 {
        self.offset as f64 * self.quantum + bound
    }

    /// Prices of single units of the problem's rows, from prices of shares.
    pub fn units(&self, lambda: &[f64]) -> Vec<f64> {
        let mut units = vec![0.0; self.all_rows];
        for ((&row, price), &slack) in self.rows.iter().zip(lambda).zip(&self.slack) {
            units[row] = price / slack as f64;
        }
        units
    }

    /// Prices of shares, from those of single units.
    pub fn prices(&self, units: &[f64]) -> Vec<f64> {
        self.rows.iter().zip(&self.slack).map(|(&row, &slack)| units[row] * slack as f64).collect()
    }

    /// The items of every group.
    pub fn all(&self) -> Vec<&[Item]> {
        self.groups.iter().map(Vec::as_slice).collect()
    }

    /// The most that any policy loses, as bounds count.
    pub fn most_loss(&self) -> f64 {
        self.groups.iter().map(|items| items.iter().map(|item| item.loss).fold(0.0, f64::max)).sum()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Counts costs from the least of each group, drops rows that cannot bind and items that do not fit or are dominated,
    /// until nothing changes.
    fn reduced(mut self) -> Result<Self, SolverError> {
        loop {
            if self.groups.iter().any(Vec::is_empty) {
                return Err(SolverError::Infeasible);
            }
            for row in 0..self.slack.len() {
                for items in &mut self.groups {
                    let least = items.iter().map(|item| item.costs[row]).min().expect("no group is empty");
                    items.iter_mut().for_each(|item| item.costs[row] -= least);
                    // A limit of i128::MAX stays far above everything.
                    self.slack[row] = self.slack[row].saturating_sub(least);
                }
                if self.slack[row] < 0 {
                    return Err(SolverError::Infeasible);
                }
            }
            let before = self.items();
            for items in &mut self.groups {
                items.retain(|item| item.costs.iter().zip(&self.slack).all(|(cost, slack)| cost <= slack));
            }
            self.drop_idle_rows();
            self.groups.iter_mut().for_each(drop_dominated);
            if self.items() == before {
                break;
            }
        }
        let Self { groups, slack, offset, quantum, .. } = &mut self;
        let slack: Vec<f64> = slack.iter().map(|&slack| slack as f64).collect();
        for items in groups {
            let least = items.iter().map(|item| item.exact).min().expect("no group is empty");
            *offset += least;
            for item in items {
                item.exact -= least;
                item.loss = float(item.exact) * *quantum;
                item.shares = item.costs.iter().zip(&slack).map(|(&cost, slack)| float(cost) / slack).collect();
            }
        }
        Ok(self)
    }

    fn drop_idle_rows(&mut self) {
        let most = |row: usize| -> i128 {
            self.groups.iter().filter_map(|items| items.iter().map(|item| item.costs[row]).max()).sum()
        };
        let binds: Vec<bool> = (0..self.slack.len()).map(|row| most(row) > self.slack[row]).collect();
        if binds.iter().all(|&binds| binds) {
            return;
        }
        let mut of_row = binds.iter();
        self.slack.retain(|_| *of_row.next().expect("one for each row"));
        let mut of_row = binds.iter();
        self.rows.retain(|_| *of_row.next().expect("one for each row"));
        for item in self.groups.iter_mut().flatten() {
            let mut of_row = binds.iter();
            item.costs.retain(|_| *of_row.next().expect("one for each row"));
        }
    }
}

/// As a float; most numbers fit into 64 bits, which is much quicker.
pub(super) fn float(number: i128) -> f64 {
    u64::try_from(number).map_or(number as f64, |number| number as f64)
}

/// Drops every item that another one replaces: no cost higher, and better or equal in loss, bits and order.
fn drop_dominated(items: &mut Vec<Item>) {
    items.sort_by_key(|item| (item.exact, item.bits, item.choice));
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let replaced = |other: &Item| other.costs.iter().zip(&item.costs).all(|(a, b)| a <= b);
        if !kept.iter().any(replaced) {
            kept.push(item);
        }
    }
    *items = kept;
}

/// Every loss as a whole number of quanta, and the quantum. Exact while all losses fit into 126 bits, which 1e-9 and 1e9
/// together do; beyond that losses are rounded to 2^-100 of the largest.
fn fixed_point(problem: &Problem) -> (Vec<i128>, f64) {
    let losses = || problem.groups.iter().flat_map(|group| &group.choices).map(|choice| choice.loss);
    let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
    for loss in losses().filter(|&loss| loss != 0.0) {
        let (mantissa, exponent) = parts(loss);
        lowest = lowest.min(exponent + mantissa.trailing_zeros() as i32);
        highest = highest.max(exponent + 128 - mantissa.leading_zeros() as i32);
    }
    if lowest > highest {
        return (losses().map(|_| 0).collect(), 1.0);
    }
    let room = 126 - (problem.groups.len() as f64).log2().ceil() as i32;
    let quantum = if highest - lowest <= room { lowest } else { highest - room.min(100) };
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
    (losses().map(fixed).collect(), 2f64.powi(quantum))
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

    #[test]
    fn losses_are_exact_over_a_huge_range() {
        let problem = problem(&[&[(2, 1e9, &[1]), (3, 1e-9, &[2])], &[(2, 0.1, &[1]), (3, -0.0, &[2])]], &[3]);
        let (losses, quantum) = fixed_point(&problem);
        let back: Vec<f64> = losses.iter().map(|&loss| loss as f64 * quantum).collect();
        assert_eq!(back, [1e9, 1e-9, 0.1, 0.0]);
    }

    #[test]
    fn dominated_items_go_and_costs_count_from_the_least() {
        let group: &[(u64, f64, &[u64])] = &[(2, 5.0, &[10]), (3, 5.0, &[10]), (4, 6.0, &[12]), (5, 1.0, &[30])];
        let reduced = Reduced::new(&problem(&[group, group], &[49])).unwrap();
        let kept: Vec<_> = reduced.groups[0].iter().map(|item| (item.choice, item.loss, item.costs[0])).collect();
        assert_eq!(kept, [(3, 0.0, 20), (0, 4.0, 0)]);
        assert_eq!(reduced.slack, [29]);
    }

    #[test]
    fn rows_that_cannot_bind_go() {
        let group: &[(u64, f64, &[u64])] = &[(2, 5.0, &[1, 1]), (3, 1.0, &[3, 9])];
        let reduced = Reduced::new(&problem(&[group, group], &[6, 10])).unwrap();
        assert_eq!(reduced.slack, [8]);
    }
}

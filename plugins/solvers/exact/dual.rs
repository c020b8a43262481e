//! Prices of the budgets: the Lagrangian dual, maximised by cutting planes (Kelley, J. SIAM 8, 1960).
//!
//! With prices λ >= 0 on shares of the slack, every policy within the budgets loses at least
//!
//! ```text
//! L(λ) = sum over groups of min over items of (loss + λ·shares) - sum of λ
//! ```
//!
//! whatever λ is. The best λ is that of the master program over the policies seen so far, a linear program of one row
//! for each budget and one for convexity, solved by a revised simplex of that size. Each evaluation of L gives a policy
//! to add. All prices that were tried are kept: each bounds different parts of the search.

use super::reduce::Item;
use limpq_core::search::Deadline;

/// Prices, and the bound that they give on all policies.
#[derive(Clone, Debug)]
pub(super) struct Prices<const R: usize> {
    /// Price of the whole slack of each row.
    pub lambda: [f64; R],
    /// L(λ).
    pub bound: f64,
    /// By how much rounding may have moved the bound.
    pub doubt: f64,
}

/// What the dual found.
pub(super) struct Dual<const R: usize> {
    /// Prices in order of their bound, the best first.
    pub prices: Vec<Prices<R>>,
    /// Policies seen (an item for each group); the ones that the best prices lie between come last.
    pub policies: Vec<Vec<u32>>,
}

impl<const R: usize> Prices<R> {
    /// Loss of an item at these prices.
    pub fn priced(&self, item: &Item<R>) -> f64 {
        priced(item, &self.lambda)
    }
}

/// Loss of an item at these prices.
pub(super) fn priced<const R: usize>(item: &Item<R>, lambda: &[f64; R]) -> f64 {
    item.loss + item.shares.iter().zip(lambda).map(|(share, price)| share * price).sum::<f64>()
}

/// The first item of the least priced loss.
pub(super) fn cheapest<const R: usize>(items: &[Item<R>], lambda: &[f64; R]) -> u32 {
    let mut best = (f64::INFINITY, 0);
    for (index, item) in items.iter().enumerate() {
        let priced = priced(item, lambda);
        if priced < best.0 {
            best = (priced, index as u32);
        }
    }
    best.1
}

/// Evaluates L at some prices: the bound and the policy that attains it.
fn evaluate<const R: usize>(groups: &[&[Item<R>]], free: &[f64; R], lambda: [f64; R]) -> (Prices<R>, Vec<u32>) {
    let mut prices = Prices { lambda, bound: 0.0, doubt: 0.0 };
    let mut total = 0.0;
    let mut policy = Vec::with_capacity(groups.len());
    for items in groups {
        let best = cheapest(items, &prices.lambda);
        total += prices.priced(&items[best as usize]);
        policy.push(best);
    }
    let sum: f64 = prices.lambda.iter().zip(free).map(|(price, free)| price * free).sum();
    prices.bound = total - sum;
    prices.doubt = doubt(groups.len(), total + sum);
    (prices, policy)
}

/// How far a sum over so many groups, of this size, may be off by rounding.
pub(super) fn doubt(groups: usize, size: f64) -> f64 {
    4.0 * f64::EPSILON * (groups + 8) as f64 * size
}

/// Evaluations that are worth their time when everything depends on the bound.
pub(super) const MOST_EVALUATIONS: usize = 60;

/// Maximises L over some groups when shares of the slack of the first `rows` rows are free. `start` holds prices to try first.
pub(super) fn maximise<const R: usize>(
    groups: &[&[Item<R>]],
    rows: usize,
    free: &[f64; R],
    start: &[[f64; R]],
    evaluations: usize,
    deadline: Deadline,
) -> Dual<R> {
    let mut prices = vec![];
    let mut policies: Vec<Vec<u32>> = vec![];
    let worst: f64 = groups.iter().map(|items| items.iter().map(|item| item.loss).fold(0.0, f64::max)).sum();
    let mut master = Master::new(&free[..rows], worst);
    let mut starts = start.iter();
    while prices.len() < evaluations && (prices.is_empty() || !deadline.passed()) {
        let Some(level) = master.level() else { break };
        let lambda = starts.next().copied().unwrap_or_else(|| master.lambda());
        let (found, policy) = evaluate(groups, free, lambda);
        let chosen = || groups.iter().zip(&policy).map(|(items, &item)| &items[item as usize]);
        let entries = (0..rows).map(|row| chosen().map(|item| item.shares[row]).sum::<f64>() - free[row]);
        master.add(chosen().map(|item| item.loss).sum(), entries);
        let closed = found.bound >= level - 1e-9 * level.abs() - found.doubt;
        prices.push(found);
        policies.push(policy);
        if closed && starts.as_slice().is_empty() {
            break;
        }
        master.improve();
    }
    prices.sort_by(|a: &Prices<R>, b| b.bound.total_cmp(&a.bound));
    // The policies that the best prices lie between come last.
    let mut order: Vec<usize> = (0..policies.len()).collect();
    order.sort_by_key(|&index| (master.basis.contains(&(index + rows + 1)), index));
    Dual { prices, policies: order.into_iter().map(|index| std::mem::take(&mut policies[index])).collect() }
}

/// The linear program over the policies seen: least loss of a mixture that keeps the budgets on average.
pub(super) struct Master {
    /// Number of rows, that of convexity included.
    size: usize,
    /// Losses of the columns: slack variables of the rows, a policy that is worse than all, then the policies.
    losses: Vec<f64>,
    /// Entries of the columns, one column after another: shares used above what is free, then 1 for convexity.
    entries: Vec<f64>,
    /// Columns in the basis.
    basis: Vec<usize>,
    /// Dual values of the basis; the last is the program's optimum over the columns when nothing improves it.
    duals: Vec<f64>,
    work: Vec<f64>,
}

impl Master {
    pub fn new(free: &[f64], worst: f64) -> Self {
        let rows = free.len();
        let size = rows + 1;
        let mut entries = vec![0.0; rows * size];
        (0..rows).for_each(|row| entries[row * size + row] = 1.0);
        entries.extend(free.iter().map(|free| -free));
        entries.push(1.0);
        let mut losses = vec![0.0; rows];
        losses.push(10.0 * worst + 1.0);
        let mut master = Self { size, losses, entries, basis: (0..size).collect(), duals: vec![], work: vec![] };
        master.price();
        master
    }

    pub fn add(&mut self, loss: f64, entries: impl Iterator<Item = f64>) {
        self.losses.push(loss);
        self.entries.extend(entries);
        self.entries.push(1.0);
    }

    /// Objective of the basis, if it is one.
    pub fn level(&self) -> Option<f64> {
        self.duals.last().copied()
    }

    /// Prices of the rows.
    pub fn lambda<const R: usize>(&self) -> [f64; R] {
        std::array::from_fn(|row| if row + 1 < self.size { (-self.duals[row]).max(0.0) } else { 0.0 })
    }

    fn column(&self, index: usize) -> &[f64] {
        &self.entries[index * self.size..(index + 1) * self.size]
    }

    /// Simplex steps until no known column improves the program.
    pub fn improve(&mut self) {
        for _ in 0..4 * self.size {
            let reduced_cost = |index: usize| {
                let priced: f64 = self.column(index).iter().zip(&self.duals).map(|(entry, dual)| entry * dual).sum();
                self.losses[index] - priced
            };
            let outside = (0..self.losses.len()).filter(|index| !self.basis.contains(index));
            let entering = outside.map(|index| (reduced_cost(index), index)).min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((cost, entering)) = entering else { return };
            if self.duals.is_empty() || cost >= -1e-12 * self.duals[self.size - 1].abs() {
                return;
            }
            let mut unit = vec![0.0; self.size];
            unit[self.size - 1] = 1.0;
            let direction = self.column(entering).to_vec();
            let (Some(level), Some(direction)) = (self.solve(&unit, false), self.solve(&direction, false)) else {
                return;
            };
            let leaving = (0..self.size)
                .filter(|&place| direction[place] > 1e-12)
                .min_by(|&a, &b| (level[a] / direction[a]).total_cmp(&(level[b] / direction[b])));
            let Some(leaving) = leaving else { return };
            self.basis[leaving] = entering;
            self.price();
        }
    }

    /// Dual values of the basis.
    fn price(&mut self) {
        let losses: Vec<f64> = self.basis.iter().map(|&index| self.losses[index]).collect();
        self.duals = self.solve(&losses, true).unwrap_or_default();
    }

    /// Solves with the basis as columns, or as rows when `transposed`, by elimination; `None` when it is singular.
    fn solve(&mut self, right: &[f64], transposed: bool) -> Option<Vec<f64>> {
        let (size, wide) = (self.size, self.size + 1);
        let mut work = std::mem::take(&mut self.work);
        work.clear();
        for (row, &right) in right.iter().enumerate() {
            for column in 0..size {
                let (column, row) = if transposed { (row, column) } else { (column, row) };
                work.push(self.column(self.basis[column])[row]);
            }
            work.push(right);
        }
        let mut singular = false;
        for pivot in 0..size {
            let at = |row: usize| row * wide + pivot;
            let largest = (pivot..size).max_by(|&a, &b| work[at(a)].abs().total_cmp(&work[at(b)].abs()));
            let largest = largest.unwrap_or(pivot);
            (0..wide).for_each(|column| work.swap(pivot * wide + column, largest * wide + column));
            singular |= work[at(pivot)].abs() < 1e-14;
            for row in (0..size).filter(|&row| row != pivot) {
                let factor = work[at(row)] / work[at(pivot)];
                (pivot..wide).for_each(|column| work[row * wide + column] -= factor * work[pivot * wide + column]);
            }
        }
        let solution = (0..size).map(|row| work[row * wide + size] / work[row * wide + row]).collect();
        self.work = work;
        (!singular).then_some(solution)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reduce::{Reduced, bounds};
    use super::*;
    use crate::solvers::contract::problem;

    /// Two layers, costs 0 or 2 and losses 4 or 0 each, slack 2: half of each is the LP's optimum, loss 4.
    #[test]
    fn bound_of_a_small_problem() {
        let group: &[(u64, f64, &[u64])] = &[(2, 4.0, &[0]), (3, 0.0, &[2])];
        let problem = problem(&[group, group], &[2]);
        let reduced = Reduced::<1>::new(&problem, &bounds(&problem).unwrap()).unwrap();
        let dual = maximise(&reduced.all(), 1, &[1.0], &[], MOST_EVALUATIONS, Deadline::NEVER);
        let [bound, price] = [dual.prices[0].bound, dual.prices[0].lambda[0]].map(|loss| reduced.in_problem(loss));
        assert!((bound - 4.0).abs() < 1e-9 && (price - 4.0).abs() < 1e-9, "{bound} {price}");
    }
}

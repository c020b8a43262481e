//! Multipliers of the budgets: the Lagrangian dual, maximised by cutting planes (Kelley, J. SIAM 8, 1960).
//!
//! With multipliers λ >= 0 on shares of the slack, every solution within the budgets loses at least
//!
//! ```text
//! L(λ) = sum over groups of min over items of (loss + λ·shares) - sum of λ
//! ```
//!
//! for every λ. The best λ is that of the [`Master`] program over the solutions seen so far. Each evaluation of L
//! gives a solution to add. All multipliers that were tried are kept: each bounds different parts of the search.

use super::reduce::Item;
use crate::{Limits, fixed_point::float_error, master::Master};

/// Multipliers, and the bound that they give on all solutions.
#[derive(Clone, Debug)]
pub(crate) struct Multipliers<const R: usize> {
    /// Multiplier of the whole slack of each row.
    pub lambda: [f64; R],
    /// L(λ).
    pub bound: f64,
    /// Allowance for rounding in the bound.
    pub float_error: f64,
}

/// The result of the maximisation.
pub(crate) struct Dual<const R: usize> {
    /// Multipliers in order of their bound, the best first.
    pub multipliers: Vec<Multipliers<R>>,
    /// Solutions seen (an item per group); the basis of the best multipliers comes last.
    pub solutions: Vec<Vec<u32>>,
}

impl<const R: usize> Multipliers<R> {
    /// Lagrangian loss of an item: its loss, and its shares times the multipliers.
    pub fn lagrangian(&self, item: &Item<R>) -> f64 {
        lagrangian(item, &self.lambda)
    }
}

/// Lagrangian loss of an item: its loss, and its shares times the multipliers.
pub(crate) fn lagrangian<const R: usize>(item: &Item<R>, lambda: &[f64; R]) -> f64 {
    item.loss + item.shares.iter().zip(lambda).map(|(share, multiplier)| share * multiplier).sum::<f64>()
}

/// The first item of the least Lagrangian loss.
pub(crate) fn cheapest<const R: usize>(items: &[Item<R>], lambda: &[f64; R]) -> u32 {
    let mut best = (f64::INFINITY, 0);
    for (index, item) in items.iter().enumerate() {
        let lagrangian = lagrangian(item, lambda);
        if lagrangian < best.0 {
            best = (lagrangian, index as u32);
        }
    }
    best.1
}

/// Evaluates L at some multipliers: the bound and the solution that attains it.
fn evaluate<const R: usize>(groups: &[&[Item<R>]], free: &[f64; R], lambda: [f64; R]) -> (Multipliers<R>, Vec<u32>) {
    let mut multipliers = Multipliers { lambda, bound: 0.0, float_error: 0.0 };
    let mut total = 0.0;
    let mut solution = Vec::with_capacity(groups.len());
    for items in groups {
        let best = cheapest(items, &multipliers.lambda);
        total += multipliers.lagrangian(&items[best as usize]);
        solution.push(best);
    }
    let sum: f64 = multipliers.lambda.iter().zip(free).map(|(multiplier, free)| multiplier * free).sum();
    multipliers.bound = total - sum;
    multipliers.float_error = float_error(groups.len(), total + sum);
    (multipliers, solution)
}

/// Maximum number of evaluations.
pub(crate) const MOST_EVALUATIONS: usize = 60;

/// Maximises L over some groups when shares of the slack of the first `rows` rows are free. `start` holds multipliers
/// to try first.
pub(crate) fn maximise<const R: usize>(
    groups: &[&[Item<R>]],
    rows: usize,
    free: &[f64; R],
    start: &[[f64; R]],
    evaluations: usize,
    limits: &Limits,
) -> Dual<R> {
    let mut multipliers = vec![];
    let mut solutions: Vec<Vec<u32>> = vec![];
    let worst: f64 = groups.iter().map(|items| items.iter().map(|item| item.loss).fold(0.0, f64::max)).sum();
    let mut master = Master::new(&free[..rows], worst);
    let mut starts = start.iter();
    while multipliers.len() < evaluations && (multipliers.is_empty() || !limits.expired()) {
        let Some(level) = master.level() else { break };
        let lambda = starts.next().copied().unwrap_or_else(|| master.lambda());
        let (found, solution) = evaluate(groups, free, lambda);
        let chosen = || groups.iter().zip(&solution).map(|(items, &item)| &items[item as usize]);
        let entries = (0..rows).map(|row| chosen().map(|item| item.shares[row]).sum::<f64>() - free[row]);
        master.add(chosen().map(|item| item.loss).sum(), entries);
        let closed = found.bound >= level - 1e-9 * level.abs() - found.float_error;
        multipliers.push(found);
        solutions.push(solution);
        if closed && starts.as_slice().is_empty() {
            break;
        }
        master.improve();
    }
    multipliers.sort_by(|a: &Multipliers<R>, b| b.bound.total_cmp(&a.bound));
    // The basis of the best multipliers comes last.
    let mut order: Vec<usize> = (0..solutions.len()).collect();
    order.sort_by_key(|&index| (master.in_basis(index), index));
    Dual { multipliers, solutions: order.into_iter().map(|index| std::mem::take(&mut solutions[index])).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::reduce::{Reduced, binding};
    use super::*;
    use crate::tests::problem;

    /// Two layers, costs 0 or 2 and losses 4 or 0 each, slack 2: half of each is the LP's optimum, loss 4.
    #[test]
    fn bound_of_a_small_problem() {
        let group: &[(u64, f64, &[u64])] = &[(2, 4.0, &[0]), (3, 0.0, &[2])];
        let problem = problem(&[group, group], &[2]);
        let reduced = Reduced::<1>::new(&problem, &binding(&problem).unwrap()).unwrap();
        let dual = maximise(&reduced.all(), 1, &[1.0], &[], MOST_EVALUATIONS, &Limits::default());
        let [bound, multiplier] =
            [dual.multipliers[0].bound, dual.multipliers[0].lambda[0]].map(|loss| reduced.in_problem(loss));
        assert!((bound - 4.0).abs() < 1e-9 && (multiplier - 4.0).abs() < 1e-9, "{bound} {multiplier}");
    }
}

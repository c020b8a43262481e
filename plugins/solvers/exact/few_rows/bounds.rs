//! Reduced-cost fixing: a lower bound per item on all solutions with it. Items whose bound is above the incumbent are
//! removed.

use super::{
    dual::Dual,
    incumbent::{Incumbent, offer, repaired},
    pool::Pool,
    reduce::Reduced,
    tables::FewSums,
};
use crate::{Error, Limits, fixed_point::float_error};

/// Number of multipliers that bound items.
const FIXED_BY: usize = 16;

/// Losses above this are useless: the incumbent's loss or, without one, that of all the worst items.
pub(crate) fn cutoff<const R: usize>(reduced: &Reduced<R>, best: &Option<Incumbent>) -> f64 {
    best.as_ref().map_or_else(|| reduced.most_loss(), |best| reduced.above_least(best.total))
}

/// For each item a lower bound on all solutions with it, to be compared with `most` or less.
pub(crate) fn item_bounds<const R: usize>(reduced: &Reduced<R>, dual: &Dual<R>, most: f64) -> Vec<f64> {
    let mut bounds = vec![0.0; reduced.items()];
    let mut lagrangian = vec![];
    for multipliers in dual.multipliers.iter().take(FIXED_BY) {
        let mut first = 0;
        let size = most + 2.0 * multipliers.lambda.iter().sum::<f64>();
        let allowance = multipliers.float_error.max(float_error(reduced.groups.len(), size));
        for items in &reduced.groups {
            lagrangian.clear();
            lagrangian.extend(items.iter().map(|item| multipliers.lagrangian(item)));
            let others = multipliers.bound - 2.0 * allowance - lagrangian.iter().copied().fold(f64::INFINITY, f64::min);
            for (bound, lagrangian) in bounds[first..].iter_mut().zip(&lagrangian) {
                *bound = f64::max(*bound, others + lagrangian);
            }
            first += items.len();
        }
    }
    bounds
}

/// Raises the items' bounds by ones that keep a row exactly; gives the best bound on all solutions.
pub(crate) fn tighten<const R: usize>(
    reduced: &Reduced<R>,
    pool: &mut Pool,
    bounds: &mut [f64],
    best: &mut Option<Incumbent>,
    limits: &Limits,
) -> f64 {
    let mut bound = f64::NEG_INFINITY;
    let most = cutoff(reduced, best);
    for sums in FewSums::all(reduced) {
        if limits.expired() {
            break;
        }
        let tables = pool.tables_of(reduced, sums);
        for table in &tables {
            bound = f64::max(bound, reduced.absolute(table.bound() - table.float_error));
            bounds.iter_mut().zip(table.item_bounds(reduced, most)).for_each(|(bound, also)| *bound = bound.max(also));
        }
        let Some(table) = tables.first() else { continue };
        if let Some(items) = repaired(reduced, table.solution(&reduced.all()), &table.lambda) {
            offer(best, Incumbent::of(reduced, &items));
        }
    }
    bound
}

/// The problem without items whose bound is above `most`.
///
/// # Errors
/// [`Error::Infeasible`] when no solution is left.
pub(crate) fn fix<const R: usize>(reduced: &Reduced<R>, bounds: &[f64], most: f64) -> Result<Reduced<R>, Error> {
    reduced.retain(|item| bounds[item] <= most)
}

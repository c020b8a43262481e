//! The incumbent, and how solutions at given multipliers are repaired until they keep the budgets and improved
//! until no single change helps.

use super::reduce::{Item, Reduced};

/// The incumbent: the best solution found so far.
#[derive(Clone, Debug)]
pub(crate) struct Incumbent {
    /// Option of each group of the problem.
    pub picks: Vec<usize>,
    /// Total loss in quanta.
    pub total: i128,
    /// Sum of the tiebreaks.
    pub tiebreak: u64,
}

impl Incumbent {
    /// A solution given as items.
    pub fn of<const R: usize>(reduced: &Reduced<R>, items: &[u32]) -> Self {
        let chosen = || reduced.groups.iter().zip(items).map(|(group, &item)| &group[item as usize]);
        Self {
            picks: chosen().map(|item| item.choice).collect(),
            total: reduced.offset + chosen().map(|item| item.exact).sum::<i128>(),
            tiebreak: chosen().map(|item| item.tiebreak).sum(),
        }
    }

    /// Whether this one is better: less loss, then a smaller tiebreak, then the first solution.
    pub fn beats(&self, other: &Self) -> bool {
        (self.total, self.tiebreak, &self.picks) < (other.total, other.tiebreak, &other.picks)
    }
}

/// Replaces the incumbent if the solution is better.
pub(crate) fn offer(best: &mut Option<Incumbent>, found: Incumbent) {
    if best.as_ref().is_none_or(|best| found.beats(best)) {
        *best = Some(found);
    }
}

/// An incumbent from a solution of a similar problem.
pub(crate) fn started<const R: usize>(reduced: &Reduced<R>, picks: &[usize]) -> Option<Incumbent> {
    let place =
        |(group, pick): (&Vec<Item<R>>, &usize)| group.iter().position(|item| item.choice == *pick).unwrap_or(0) as u32;
    let items: Vec<u32> = reduced.groups.iter().zip(picks).map(place).collect();
    let complete = items.len() == reduced.groups.len();
    let items = complete.then(|| repaired(reduced, items, &[0.0; R])).flatten()?;
    Some(Incumbent::of(reduced, &items))
}

/// Repairs a solution until it is within the budgets, if possible, and improves it. `lambda` are multipliers of shares.
pub(crate) fn repaired<const R: usize>(
    reduced: &Reduced<R>,
    mut items: Vec<u32>,
    lambda: &[f64; R],
) -> Option<Vec<u32>> {
    // Sums of many costs may exceed 64 bits, which the slack does not.
    let mut left = reduced.slack.map(i128::from);
    for (group, &item) in reduced.groups.iter().zip(&items) {
        left.iter_mut().zip(&group[item as usize].costs).for_each(|(left, &cost)| *left -= i128::from(cost));
    }
    // Each step takes the change with the least loss per share of the excess that it removes.
    while left.iter().any(|&left| left < 0) {
        let over: [f64; R] = std::array::from_fn(|row| (-left[row]).max(0) as f64 / reduced.slack[row] as f64);
        let mut best = (f64::INFINITY, 0, 0);
        for (g, (group, &now)) in reduced.groups.iter().zip(&items).enumerate() {
            let now = &group[now as usize];
            for (i, item) in group.iter().enumerate() {
                // Using more of a row with slack is harmless here; of a row without slack it is not.
                let more = |row: usize| item.shares[row] - now.shares[row];
                let relief: f64 = (0..R).map(|row| over[row] - (over[row] + more(row)).max(0.0)).sum();
                if relief > 1e-12 {
                    let lagrangian: f64 = (0..R).map(|row| lambda[row] * more(row)).sum();
                    let harm = (item.loss - now.loss + lagrangian).max(0.0) / relief;
                    if harm < best.0 {
                        best = (harm, g, i);
                    }
                }
            }
        }
        if best.0.is_infinite() {
            return None;
        }
        change(reduced, &mut items, &mut left, best.1, best.2);
    }
    // Passes over the groups, each taking the best item that fits. Items come in this order.
    for _ in 0..20 {
        let mut changed = false;
        for (g, group) in reduced.groups.iter().enumerate() {
            let now = &group[items[g] as usize];
            let fits = |item: &Item<R>| (0..R).all(|row| i128::from(item.costs[row] - now.costs[row]) <= left[row]);
            if let Some(better) = group[..items[g] as usize].iter().position(fits) {
                change(reduced, &mut items, &mut left, g, better);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Some(items)
}

fn change<const R: usize>(reduced: &Reduced<R>, items: &mut [u32], left: &mut [i128; R], g: usize, i: usize) {
    let (old, new) = (&reduced.groups[g][items[g] as usize], &reduced.groups[g][i]);
    for (left, (new, old)) in left.iter_mut().zip(new.costs.iter().zip(&old.costs)) {
        *left -= i128::from(new - old);
    }
    items[g] = i as u32;
}

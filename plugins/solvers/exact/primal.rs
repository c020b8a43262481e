//! Policies: the best one so far, and how policies at given prices are repaired until they keep the budgets and improved
//! until no single change helps.

use super::reduce::Reduced;

/// The best policy found so far.
#[derive(Clone, Debug)]
pub(super) struct Incumbent {
    /// Option of each group of the problem.
    pub picks: Vec<usize>,
    /// Total loss in quanta.
    pub total: i128,
    /// Total bits.
    pub bits: u64,
}

impl Incumbent {
    /// A policy given as items.
    pub fn of(reduced: &Reduced, items: &[u32]) -> Self {
        let chosen = || reduced.groups.iter().zip(items).map(|(group, &item)| &group[item as usize]);
        Self {
            picks: chosen().map(|item| item.choice).collect(),
            total: reduced.offset + chosen().map(|item| item.exact).sum::<i128>(),
            bits: chosen().map(|item| item.bits).sum(),
        }
    }

    /// Whether this one wins: less loss, then fewer bits, then the first policy.
    pub fn beats(&self, other: &Self) -> bool {
        (self.total, self.bits, &self.picks) < (other.total, other.bits, &other.picks)
    }
}

/// Takes a policy over when it is better.
pub(super) fn offer(best: &mut Option<Incumbent>, found: Incumbent) {
    if best.as_ref().is_none_or(|best| found.beats(best)) {
        *best = Some(found);
    }
}

/// Makes a policy keep the budgets, if it can, and improves it. `lambda` are prices of shares.
pub(super) fn repaired(reduced: &Reduced, mut items: Vec<u32>, lambda: &[f64]) -> Option<Vec<u32>> {
    let rows = reduced.slack.len();
    let mut left: Vec<i128> = (0..rows)
        .map(|row| {
            let used = reduced.groups.iter().zip(&items).map(|(group, &i)| group[i as usize].costs[row]);
            reduced.slack[row] - used.sum::<i128>()
        })
        .collect();
    // Each step takes the change that loses least for each share of the excess that it takes away.
    while left.iter().any(|&left| left < 0) {
        let over: Vec<f64> =
            left.iter().zip(&reduced.slack).map(|(&left, &slack)| (-left).max(0) as f64 / slack as f64).collect();
        let mut best = (f64::INFINITY, 0, 0);
        for (g, (group, &now)) in reduced.groups.iter().zip(&items).enumerate() {
            let now = &group[now as usize];
            for (i, item) in group.iter().enumerate() {
                // More of a row that has room is no harm here; more of one that has none is.
                let shares = item.shares.iter().zip(&now.shares);
                let relief: f64 = over.iter().zip(shares).map(|(over, (a, b))| over - (over + a - b).max(0.0)).sum();
                if relief > 1e-12 {
                    let priced: f64 = lambda
                        .iter()
                        .zip(item.shares.iter().zip(&now.shares))
                        .map(|(price, (a, b))| price * (a - b))
                        .sum();
                    let harm = (item.loss - now.loss + priced).max(0.0) / relief;
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
    // Passes over the groups, each taking the best item that fits.
    for _ in 0..20 {
        let mut changed = false;
        for (g, group) in reduced.groups.iter().enumerate() {
            let now = &group[items[g] as usize];
            let fits = |item: &&super::reduce::Item| (0..rows).all(|row| item.costs[row] - now.costs[row] <= left[row]);
            let best = group.iter().filter(fits).min_by_key(|item| (item.exact, item.bits, item.choice));
            let better = best.filter(|item| (item.exact, item.bits, item.choice) < (now.exact, now.bits, now.choice));
            if let Some(better) = better {
                let place = group.iter().position(|item| item.choice == better.choice).expect("it is in the group");
                change(reduced, &mut items, &mut left, g, place);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Some(items)
}

fn change(reduced: &Reduced, items: &mut [u32], left: &mut [i128], g: usize, i: usize) {
    let (old, new) = (&reduced.groups[g][items[g] as usize], &reduced.groups[g][i]);
    for (left, (new, old)) in left.iter_mut().zip(new.costs.iter().zip(&old.costs)) {
        *left -= new - old;
    }
    items[g] = i as u32;
}

//! Exact: a proven optimum of the search problem in pure Rust, in about a millisecond for a network like ResNet-50.
//!
//! The problem is a multiple-choice knapsack with one row for each budget (Sinha & Zoltners, Operations Research 27, 1979;
//! Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004, ch. 11). Its linear relaxation is so close to the optimum that
//! bounds decide almost everything:
//!
//! 1. [`reduce`]: options that do not fit or are dominated go, and rows that cannot bind;
//! 2. [`dual`]: prices of the budgets bound every policy from below (Lagrangian dual by cutting planes);
//! 3. [`primal`]: the policies at those prices are repaired and improved, which gives a policy to beat;
//! 4. options that no policy as good can have go too: with them the bound is above the policy at hand (reduced costs). Once
//!    that turns out to be work, rows of which few sums are possible are kept exactly in these bounds ([`sums`]);
//! 5. [`beam`]: dynamic programming over the layers, with a beam that widens from pass to pass, each partial policy bounded
//!    by the best of many prices, and by rows that are kept exactly. It looks first for policies close to the bound, a target
//!    that leaves few options in each layer: finding one is a good policy at once, and finding none raises the bound. A pass
//!    at the best policy's own loss that leaves out nothing is the proof. A better policy met on the way sends everything back
//!    to step 1.
//!
//! Costs are integers and losses are compared in exact fixed-point arithmetic, so budgets are never overrun by a unit and
//! ties are real ties. Of equally good policies the one with fewest bits wins, then the one whose options come first. Bounds
//! are floats: each carries an allowance for its rounding, and nothing is cut within it. Where more than
//! [`MOST_TIED`] partial policies tie with the optimum, the best found among them is taken.
//!
//! A limit of nodes or of time gives the best policy so far with the gap that the bound certifies. Problems of many rows are
//! solved by ones of few ([`rows`]).

mod beam;
mod chain;
mod dominance;
mod dual;
mod limits;
#[cfg(test)]
mod long;
mod pool;
mod priced;
mod primal;
mod reduce;
mod repair;
mod rows;
mod scales;
mod sums;
#[cfg(test)]
mod tests;

use super::Seconds;
use beam::pass;
use dual::{Dual, MOST_EVALUATIONS, doubt, maximise};
use limits::Limits;
use limpq_core::search::{Answer, Beside, Deadline, Problem, Solver, SolverError, Status};
use pool::Pool;
use primal::{Incumbent, offer, repaired};
use reduce::{Bound, Item, Reduced, bounds};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use sums::Sums;

/// Options of the exact solver.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exact {
    /// Nodes (partial policies) after which the best policy found so far is returned, with its certified gap; the same
    /// answer on every machine. The default is some ten seconds of work.
    pub node_limit: NonZeroU64,
    /// Seconds that a command may take for all that it solves; it ends with what it has, which may be another policy in
    /// every run. None unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<Seconds>,
}

impl Default for Exact {
    fn default() -> Self {
        Self { node_limit: NonZeroU64::new(NODES).expect("it is not zero"), time_limit_s: None }
    }
}

limpq_core::plugin!(
    Solver,
    "exact",
    "our own: bounds by budget prices, then dynamic programming; proven optima in milliseconds",
    Exact
);

/// Nodes of some ten seconds.
const NODES: u64 = 50_000_000;
/// Width of the first pass: enough for a good policy, which is what the next steps need most.
const FIRST_WIDTH: usize = 64;
/// The share of the way from the bound to the best policy that the first passes look at.
const FIRST_HOPE: f64 = 0.125;
/// The share grows by this when there is none.
const HOPE_GROWTH: f64 = 2.5;
/// After a pass that met a good policy by looking at fewer partial policies than this, the next one looks for all of its loss.
const LITTLE: u64 = 20_000;
/// A pass of this width settles ties as far as they are settled.
const MOST_TIED: usize = 1 << 14;
/// Partial policies that are remembered at most, over all groups: 8 bytes each, whatever the budgets are.
const MOST_STATES: usize = 1 << 27;
/// Rows that there is code for.
const MOST_ROWS: usize = 256;
/// Policies of the dual that are repaired.
const REPAIRED: usize = 2;
/// Prices that options are fixed by.
const FIXED_BY: usize = 16;

/// Rows of few sums are kept exactly once so many partial policies have been looked at; what is easier than that is done
/// before their tables are.
const KEEP_AFTER: u64 = 6000;

impl Solver for Exact {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        self.solve_beside(problem, Beside::default())
    }

    fn solve_beside(&self, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
        self.solve_keeping(problem, beside, KEEP_AFTER)
    }

    fn time_limit_s(&self) -> Option<f64> {
        self.time_limit_s.map(Seconds::get)
    }
}

impl Exact {
    fn solve_keeping(&self, problem: &Problem, beside: Beside, keep_after: u64) -> Result<Answer, SolverError> {
        let own = self.time_limit_s().map_or(Deadline::NEVER, Deadline::after);
        let limits = Limits { nodes: self.node_limit.get(), deadline: own.or(beside.deadline) };
        let core = |problem: &Problem, near: Option<&[usize]>, limits: &Limits| {
            Self::solve_few(problem, near, keep_after, limits)
        };
        scales::solve(problem, |problem, nodes| {
            // Options that were left out leave others in their places.
            let near = beside.near.filter(|_| nodes == 0);
            rows::solve(problem, near, &limits.after(nodes), &core)
        })
    }

    /// Solves a problem of which few rows can bind.
    fn solve_few(
        problem: &Problem,
        near: Option<&[usize]>,
        keep_after: u64,
        limits: &Limits,
    ) -> Result<Answer, SolverError> {
        let bounds = bounds(problem)?;
        // Rows are padded with free ones to the next number that there is code for.
        let solve = match bounds.len() {
            0 | 1 => Self::with_rows::<1>,
            2 => Self::with_rows::<2>,
            3 => Self::with_rows::<3>,
            4..=8 => Self::with_rows::<8>,
            9..=32 => Self::with_rows::<32>,
            33..=MOST_ROWS => Self::with_rows::<MOST_ROWS>,
            // With what there is so far, the search ends here.
            _ => return Err(limits.nothing_found()),
        };
        solve(problem, &bounds, near, keep_after, limits)
    }

    fn with_rows<const R: usize>(
        problem: &Problem,
        bounds: &[Bound],
        near: Option<&[usize]>,
        keep_after: u64,
        limits: &Limits,
    ) -> Result<Answer, SolverError> {
        let mut reduced = Reduced::<R>::new(problem, bounds)?;
        let mut best: Option<Incumbent> = near.and_then(|picks| start(&reduced, picks));
        let mut bound = f64::NEG_INFINITY;
        let mut nodes = 0;
        let mut pool = Pool::default();
        let (mut width, mut hope) = (FIRST_WIDTH, FIRST_HOPE);
        let widest = (MOST_STATES / reduced.groups.len().max(1)).max(MOST_TIED);
        // What every policy with an item loses at least, for the items that are left.
        let mut least: Option<Vec<f64>> = None;
        let mut keeps = keep_after == 0;
        loop {
            let known = match least.take() {
                Some(least) => least,
                None => {
                    let starts: Vec<[f64; R]> = pool.shares(&reduced).take(reduced.rows() + 1).collect();
                    let rows = reduced.rows();
                    let dual =
                        maximise(&reduced.all(), rows, &reduced.whole(), &starts, MOST_EVALUATIONS, limits.deadline);
                    nodes += dual.prices.len() as u64;
                    let certain = dual.prices[0].bound - dual.prices[0].doubt;
                    if certain > reduced.most_loss() {
                        // No policy loses that much, so none is left; if there was one before, it is the best.
                        return proven(best, nodes);
                    }
                    bound = f64::max(bound, reduced.absolute(certain));
                    pool.lead(&reduced, &dual.prices);
                    for policy in dual.policies.iter().rev().take(REPAIRED) {
                        if let Some(items) = repaired(&reduced, policy.clone(), &dual.prices[0].lambda) {
                            offer(&mut best, Incumbent::of(&reduced, &items));
                        }
                    }
                    let mut least = with_each(&reduced, &dual, most_of_use(&reduced, &best));
                    if keeps {
                        bound = f64::max(bound, keeping(&reduced, &mut pool, &mut least, &mut best, limits));
                    }
                    least
                }
            };
            let target = best.as_ref().map(|best| {
                let gap = reduced.absolute(reduced.above_least(best.total)) - bound;
                reduced.below(best.total, gap.max(0.0) * (1.0 - hope))
            });
            // Of no use: an option that the best policy does not have, or none at all.
            let most = most_of_use(&reduced, &best);
            let useless = known.iter().filter(|&&least| least > most).count();
            if 10 * useless > reduced.items() {
                match within(&reduced, &known, most) {
                    Ok(smaller) => reduced = smaller,
                    Err(_) => return proven(best, nodes),
                }
                continue;
            }
            let trial = within(&reduced, &known, target.map_or(most, |target| reduced.above_least(target)));
            least = Some(known);
            let Ok(trial) = trial else {
                if best.is_none() || hope == 1.0 {
                    return proven(best, nodes);
                }
                hope = f64::min(1.0, HOPE_GROWTH * hope);
                continue;
            };
            let pass = pass(&trial, &mut pool, width, &mut best, target, &limits.after(nodes));
            nodes += pass.nodes;
            if pass.expired {
                break;
            }
            let reached = best.as_ref().filter(|best| target.is_none_or(|target| best.total <= target));
            let sought = reached.map(|best| best.total).or(target).map(|total| trial.above_least(total));
            let complete = pass.cut > sought.map_or(f64::MAX, |sought| sought + pass.doubt);
            // Close to the bound, and not just the first of all.
            let close = target.is_some() && reached.is_some();
            if let Some(best) = reached {
                let settled = width >= MOST_TIED && pass.cut + pass.doubt >= trial.above_least(best.total);
                if complete || settled {
                    return Ok(answer(best.clone(), Status::Optimal, None, nodes));
                }
            } else if complete && best.is_none() {
                return Err(SolverError::Infeasible);
            }
            if let Some(sought) = sought {
                bound = f64::max(bound, trial.absolute(pass.cut.min(sought) - pass.doubt));
            }
            if !keeps && nodes > keep_after {
                keeps = true;
                let least = least.as_mut().expect("a pass leaves it");
                bound = f64::max(bound, keeping(&reduced, &mut pool, least, &mut best, limits));
            }
            if complete {
                hope = f64::min(1.0, HOPE_GROWTH * hope);
            } else if width < widest {
                width = widest.min(4 * width);
                if close && pass.nodes < LITTLE {
                    // Nearly optimal, and what is left to look through is little.
                    hope = 1.0;
                }
            } else {
                break;
            }
        }
        best.map(|best| answer(best, Status::Stopped, Some(reduced.in_problem(bound)), nodes))
            .ok_or_else(|| limits.nothing_found())
    }
}

/// When every policy has been tried or ruled out.
fn proven(best: Option<Incumbent>, nodes: u64) -> Result<Answer, SolverError> {
    best.map(|best| answer(best, Status::Optimal, None, nodes)).ok_or(SolverError::Infeasible)
}

fn answer(best: Incumbent, status: Status, bound: Option<f64>, nodes: u64) -> Answer {
    Answer { picks: best.picks, status, bound, nodes: Some(nodes) }
}

/// A policy to beat, from one of a similar problem.
fn start<const R: usize>(reduced: &Reduced<R>, picks: &[usize]) -> Option<Incumbent> {
    let place =
        |(group, pick): (&Vec<Item<R>>, &usize)| group.iter().position(|item| item.choice == *pick).unwrap_or(0) as u32;
    let items: Vec<u32> = reduced.groups.iter().zip(picks).map(place).collect();
    let complete = items.len() == reduced.groups.len();
    let items = complete.then(|| repaired(reduced, items, &[0.0; R])).flatten()?;
    Some(Incumbent::of(reduced, &items))
}

/// More than this no policy loses that is worth finding: the best one's loss or, without one, that of all the worst options.
fn most_of_use<const R: usize>(reduced: &Reduced<R>, best: &Option<Incumbent>) -> f64 {
    best.as_ref().map_or_else(|| reduced.most_loss(), |best| reduced.above_least(best.total))
}

/// For each item, what every policy with it loses at least, to be compared with `most` or less.
fn with_each<const R: usize>(reduced: &Reduced<R>, dual: &Dual<R>, most: f64) -> Vec<f64> {
    let mut least = vec![0.0; reduced.items()];
    let mut priced = vec![];
    for prices in dual.prices.iter().take(FIXED_BY) {
        let mut first = 0;
        let size = most + 2.0 * prices.lambda.iter().sum::<f64>();
        let allowance = prices.doubt.max(doubt(reduced.groups.len(), size));
        for items in &reduced.groups {
            priced.clear();
            priced.extend(items.iter().map(|item| prices.priced(item)));
            let others = prices.bound - 2.0 * allowance - priced.iter().copied().fold(f64::INFINITY, f64::min);
            for (least, priced) in least[first..].iter_mut().zip(&priced) {
                *least = f64::max(*least, others + priced);
            }
            first += items.len();
        }
    }
    least
}

/// Raises what every policy with each item loses at least by bounds that keep a row exactly; gives the best bound on all.
fn keeping<const R: usize>(
    reduced: &Reduced<R>,
    pool: &mut Pool,
    least: &mut [f64],
    best: &mut Option<Incumbent>,
    limits: &Limits,
) -> f64 {
    let mut bound = f64::NEG_INFINITY;
    let most = most_of_use(reduced, best);
    for sums in Sums::all(reduced) {
        if limits.deadline.passed() {
            break;
        }
        let tables = sums.tables(reduced, pool);
        for table in &tables {
            bound = f64::max(bound, reduced.absolute(table.bound() - table.doubt));
            least.iter_mut().zip(table.with_each(reduced, most)).for_each(|(least, also)| *least = least.max(also));
        }
        let Some(table) = tables.first() else { continue };
        if let Some(items) = repaired(reduced, table.policy(&reduced.all()), &table.lambda) {
            offer(best, Incumbent::of(reduced, &items));
        }
    }
    bound
}

/// The problem of the policies that lose so much above the least, or less.
fn within<const R: usize>(reduced: &Reduced<R>, least: &[f64], most: f64) -> Result<Reduced<R>, SolverError> {
    reduced.retain(|item| least[item] <= most)
}

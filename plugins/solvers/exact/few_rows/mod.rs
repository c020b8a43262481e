//! Problems of which few rows can bind: branch and bound in the form of dynamic programming over the groups with a
//! beam.
//!
//! The linear relaxation of a multiple-choice knapsack is so close to the optimum that bounds decide almost everything:
//!
//! 1. [`reduce`]: options that do not fit or are dominated go, and rows that cannot bind;
//! 2. [`dual`]: multipliers of the budgets bound every solution from below (Lagrangian dual by cutting planes);
//! 3. [`incumbent`]: the solutions at those multipliers are repaired and improved, which gives the first incumbent;
//! 4. [`bounds`]: reduced-cost fixing. Options whose bound is above the incumbent go too. Once that turns out to be
//!    work, rows of which few sums are possible are kept exactly in these bounds ([`tables`]);
//! 5. [`beam`]: dynamic programming over the groups, with a beam that widens from pass to pass, each partial solution
//!    bounded by the best of many multipliers, and by rows that are kept exactly. It looks first for solutions in the
//!    lowest share of the gap, which leaves few options in each group: finding one is a good solution at once, and
//!    finding none raises the bound. A pass over the whole gap that cuts nothing is the proof. A better incumbent met
//!    on the way sends everything back to step 1.

mod beam;
mod bounds;
mod dominance;
mod dual;
mod incumbent;
mod pool;
mod reduce;
mod state;
mod tables;

use crate::{Error, Limits, Problem, Status, limits::Settings, solution::Found};
use beam::pass;
use bounds::{cutoff, fix, item_bounds, tighten};
use dual::{MOST_EVALUATIONS, maximise};
use incumbent::{Incumbent, offer, repaired, started};
use pool::Pool;
use reduce::{Bound, Reduced, binding};

/// Width of the first pass: enough for a good solution, which is what the next steps need most.
const FIRST_WIDTH: usize = 64;
/// The share of the gap that the first passes search, from the bound up.
const FIRST_GAP_SHARE: f64 = 0.125;
/// The share grows by this when it holds no solution.
const GAP_SHARE_GROWTH: f64 = 2.5;
/// After a pass that met a good solution in fewer nodes than this, the next one searches the whole gap.
const FEW_NODES: u64 = 20_000;
/// A pass of this width settles ties as far as they are settled.
const MOST_TIED: usize = 1 << 14;
/// Partial solutions that are remembered at most, over all groups: 8 bytes each, whatever the budgets are.
const MOST_STATES: usize = 1 << 27;
/// Rows that there is code for.
const MOST_ROWS: usize = 256;
/// Solutions of the dual that are repaired.
const REPAIRED: usize = 2;

/// Solves a problem of which few rows can bind. `start` is an assumed good solution, which may or may not be feasible.
///
/// # Errors
/// Those of a solve.
pub(crate) fn solve(problem: &Problem, start: Option<&[usize]>, settings: &Settings) -> Result<Found, Error> {
    let rows = binding(problem)?;
    // Rows are padded with free ones to the next number that there is code for.
    let solve = match rows.len() {
        0 | 1 => with_rows::<1>,
        2 => with_rows::<2>,
        3 => with_rows::<3>,
        4..=8 => with_rows::<8>,
        9..=32 => with_rows::<32>,
        33..=MOST_ROWS => with_rows::<MOST_ROWS>,
        // With what there is so far, the search ends here.
        _ => return Err(settings.limits.nothing_found()),
    };
    solve(problem, &rows, start, settings.tables_after, &settings.limits)
}

fn with_rows<const R: usize>(
    problem: &Problem,
    rows: &[Bound],
    start: Option<&[usize]>,
    tables_after: u64,
    limits: &Limits,
) -> Result<Found, Error> {
    let mut reduced = Reduced::<R>::new(problem, rows)?;
    let mut best: Option<Incumbent> = start.and_then(|picks| started(&reduced, picks));
    let mut bound = f64::NEG_INFINITY;
    let mut nodes = 0;
    let mut pool = Pool::default();
    let (mut width, mut gap_share) = (FIRST_WIDTH, FIRST_GAP_SHARE);
    let widest = (MOST_STATES / reduced.groups.len().max(1)).max(MOST_TIED);
    // The bound on solutions with each item that is left.
    let mut known_bounds: Option<Vec<f64>> = None;
    let mut with_tables = tables_after == 0;
    loop {
        let bounds = match known_bounds.take() {
            Some(bounds) => bounds,
            None => {
                let starts: Vec<[f64; R]> = pool.shares(&reduced).take(reduced.rows() + 1).collect();
                let rows = reduced.rows();
                let dual = maximise(&reduced.all(), rows, &reduced.whole(), &starts, MOST_EVALUATIONS, limits);
                nodes += dual.multipliers.len() as u64;
                let certain = dual.multipliers[0].bound - dual.multipliers[0].float_error;
                if certain > reduced.most_loss() {
                    // No solution loses that much, so none is left; if there was one before, it is the best.
                    return proven(best, nodes);
                }
                bound = f64::max(bound, reduced.absolute(certain));
                pool.lead(&reduced, &dual.multipliers);
                for solution in dual.solutions.iter().rev().take(REPAIRED) {
                    if let Some(items) = repaired(&reduced, solution.clone(), &dual.multipliers[0].lambda) {
                        offer(&mut best, Incumbent::of(&reduced, &items));
                    }
                }
                let mut bounds = item_bounds(&reduced, &dual, cutoff(&reduced, &best));
                if with_tables {
                    bound = f64::max(bound, tighten(&reduced, &mut pool, &mut bounds, &mut best, limits));
                }
                bounds
            }
        };
        let target = best.as_ref().map(|best| {
            let gap = reduced.absolute(reduced.above_least(best.total)) - bound;
            reduced.below(best.total, gap.max(0.0) * (1.0 - gap_share))
        });
        let most = cutoff(&reduced, &best);
        let fixed = bounds.iter().filter(|&&bound| bound > most).count();
        if 10 * fixed > reduced.items() {
            match fix(&reduced, &bounds, most) {
                Ok(smaller) => reduced = smaller,
                Err(_) => return proven(best, nodes),
            }
            continue;
        }
        let trial = fix(&reduced, &bounds, target.map_or(most, |target| reduced.above_least(target)));
        known_bounds = Some(bounds);
        let Ok(trial) = trial else {
            if best.is_none() || gap_share == 1.0 {
                return proven(best, nodes);
            }
            gap_share = f64::min(1.0, GAP_SHARE_GROWTH * gap_share);
            continue;
        };
        let pass = pass(&trial, &mut pool, width, &mut best, target, &limits.after(nodes));
        nodes += pass.nodes;
        if pass.expired {
            break;
        }
        let reached = best.as_ref().filter(|best| target.is_none_or(|target| best.total <= target));
        let sought = reached.map(|best| best.total).or(target).map(|total| trial.above_least(total));
        let complete = pass.cut > sought.map_or(f64::MAX, |sought| sought + pass.float_error);
        // Close to the bound, and not just the first of all.
        let close = target.is_some() && reached.is_some();
        if let Some(best) = reached {
            let settled = width >= MOST_TIED && pass.cut + pass.float_error >= trial.above_least(best.total);
            if complete || settled {
                return Ok(found(best.clone(), Status::Optimal, None, nodes));
            }
        } else if complete && best.is_none() {
            return Err(Error::Infeasible);
        }
        if let Some(sought) = sought {
            bound = f64::max(bound, trial.absolute(pass.cut.min(sought) - pass.float_error));
        }
        if !with_tables && nodes > tables_after {
            with_tables = true;
            let bounds = known_bounds.as_mut().expect("a pass leaves them");
            bound = f64::max(bound, tighten(&reduced, &mut pool, bounds, &mut best, limits));
        }
        if complete {
            gap_share = f64::min(1.0, GAP_SHARE_GROWTH * gap_share);
        } else if width < widest {
            width = widest.min(4 * width);
            if close && pass.nodes < FEW_NODES {
                // Nearly optimal, and what is left to look through is little.
                gap_share = 1.0;
            }
        } else {
            break;
        }
    }
    best.map(|best| found(best, Status::Stopped, Some(reduced.in_problem(bound)), nodes))
        .ok_or_else(|| limits.nothing_found())
}

/// When every solution has been tried or ruled out.
fn proven(best: Option<Incumbent>, nodes: u64) -> Result<Found, Error> {
    best.map(|best| found(best, Status::Optimal, None, nodes)).ok_or(Error::Infeasible)
}

fn found(best: Incumbent, status: Status, bound: Option<f64>, nodes: u64) -> Found {
    Found { picks: best.picks, status, bound, nodes }
}

//! Problems of many rows: a peak cost of a network with hundreds of layers has one row per step, each of which involves
//! few layers, or all of them almost alike. Few of these rows can bind, and fewer do.
//!
//! 1. Options that do not fit even with the least costs of all other groups are removed, in every row; then rows that
//!    cannot bind. A row of one group is fully handled by this.
//! 2. The problem is solved with those rows only that involve all groups. The solution is checked against every row,
//!    violated rows are added, and the problem is solved again (lazy constraints; Dantzig, Fulkerson & Johnson,
//!    Operations Research 2, 1954). A solution that is optimal for some of the rows and keeps all is optimal for all,
//!    and a bound for some is a bound for all.
//! 3. Groups that no row connects are independent problems ([`components`](crate::components)).
//!
//! An intermediate solution that violates rows is repaired, so that there is one if a limit stops the search.

use crate::{
    Error, Problem, Status, components::Components, few_rows, layered, limits::Settings, repair::repaired,
    solution::Found,
};
use std::collections::{BTreeMap, BTreeSet};

/// Problems with at most this many rows are solved with all of them at once.
const FEW: usize = 32;
/// Rows with the same base are nearly parallel: this many of them are added at a time.
const ALIKE: usize = 4;

/// Solves a problem by problems of few rows.
///
/// # Errors
/// Those of a solve.
pub(crate) fn solve(problem: &Problem, start: Option<&[usize]>, settings: &Settings) -> Result<Found, Error> {
    if problem.rows.len() <= FEW {
        return few_rows::solve(problem, start, settings);
    }
    let (left, open) = narrowed(problem)?;
    let place = |(open, pick): (&Vec<usize>, &usize)| open.iter().position(|other| other == pick).unwrap_or(0);
    let start: Option<Vec<usize>> =
        start.filter(|picks| picks.len() == open.len()).map(|picks| open.iter().zip(picks).map(place).collect());
    let found = Rounds::new(&left).solve(start, settings)?;
    let picks = open.iter().zip(&found.picks).map(|(open, &pick)| open[pick]).collect();
    Ok(Found { picks, ..found })
}

/// The problem without options that do not fit even with the least costs of all others, and the indices of those left.
fn narrowed<'a>(problem: &Problem<'a>) -> Result<(Problem<'a>, Vec<Vec<usize>>), Error> {
    let mut left = problem.clone();
    let mut open: Vec<Vec<usize>> = problem.groups.iter().map(|group| (0..group.choices.len()).collect()).collect();
    loop {
        let spans = left.spans();
        if left.groups.iter().any(|group| group.choices.is_empty())
            || spans.iter().zip(&left.rows).any(|(span, row)| span.least > row.limit)
        {
            return Err(Error::Infeasible);
        }
        let mut fits: Vec<Vec<bool>> = open.iter().map(|open| vec![true; open.len()]).collect();
        for (group, fits) in left.groups.iter().zip(&mut fits) {
            for row in group.rows().into_iter().filter(|&row| spans[row].most > left.rows[row].limit) {
                let costs: Vec<i128> = group.choices.iter().map(|choice| left.cost(choice, row)).collect();
                let least = costs.iter().copied().min().unwrap_or(0);
                let slack = left.rows[row].limit - spans[row].least;
                fits.iter_mut().zip(costs).for_each(|(fits, cost)| *fits &= cost - least <= slack);
            }
        }
        if fits.iter().flatten().all(|fits| *fits) {
            return Ok((left, open));
        }
        for ((group, open), fits) in left.groups.iter_mut().zip(&mut open).zip(fits) {
            retain(&mut group.choices, &fits);
            retain(open, &fits);
        }
    }
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| *keep.next().expect("one for each item"));
}

/// Solves with more and more rows.
struct Rounds<'p> {
    problem: &'p Problem<'p>,
    /// Rows that can bind.
    binding: Vec<usize>,
    /// The groups whose options differ in each row.
    members: Vec<Vec<usize>>,
}

impl<'p> Rounds<'p> {
    fn new(problem: &'p Problem<'p>) -> Self {
        let spans = problem.spans();
        let binds = |&row: &usize| spans[row].most > problem.rows[row].limit;
        let binding: Vec<usize> = (0..problem.rows.len()).filter(binds).collect();
        let mut members = vec![vec![]; problem.rows.len()];
        for (place, group) in problem.groups.iter().enumerate() {
            for row in group.rows() {
                let first = group.choices[0].costs.of(row);
                if group.choices.iter().any(|choice| choice.costs.of(row) != first) {
                    members[row].push(place);
                }
            }
        }
        Self { problem, binding, members }
    }

    /// The groups that a row joins.
    fn joined(&self, row: usize) -> Vec<usize> {
        let base = self.problem.rows[row].base.map_or(&[][..], |base| &self.members[base]);
        let all: BTreeSet<usize> = self.members[row].iter().chain(base).copied().collect();
        all.into_iter().collect()
    }

    /// Whether a row knows many groups: those are few and bind first.
    fn wide(&self, row: usize) -> bool {
        self.members[row].len() > layered::MOST_MEMBERS
    }

    fn solve(&self, mut start: Option<Vec<usize>>, settings: &Settings) -> Result<Found, Error> {
        let mut rows: BTreeSet<usize> = self.binding.iter().copied().filter(|&row| self.wide(row)).collect();
        let mut best: Option<Vec<usize>> = None;
        let (mut bound, mut nodes) = (f64::NEG_INFINITY, 0);
        loop {
            let joined = rows.iter().map(|&row| (row, self.joined(row)));
            let components = Components::new(self.problem, joined);
            let found = match components.solve(start.as_deref(), &settings.after(nodes)) {
                Ok(found) => found,
                Err(error) if error.is_limit() && best.is_some() => break,
                Err(error) => return Err(error),
            };
            nodes += found.nodes;
            bound = f64::max(bound, found.bound.unwrap_or(f64::NEG_INFINITY));
            let uses = self.problem.uses(&found.picks);
            let excess = |&row: &usize| uses[row] - self.problem.rows[row].limit;
            let mut over: Vec<usize> = self.binding.iter().copied().filter(|row| excess(row) > 0).collect();
            if over.is_empty() && found.status == Status::Optimal {
                return Ok(Found { nodes, ..found });
            }
            if let Some(repaired) = repaired(self.problem, found.picks.clone(), &settings.limits) {
                let objective = |picks: &Vec<usize>| self.problem.objective(picks);
                if best.as_ref().is_none_or(|best| objective(&repaired) < objective(best)) {
                    best = Some(repaired);
                }
            }
            if found.status != Status::Optimal || settings.limits.reached(nodes) {
                break;
            }
            start = Some(best.clone().unwrap_or(found.picks));
            over.sort_by_key(|row| std::cmp::Reverse(excess(row)));
            let mut alike: BTreeMap<usize, usize> = BTreeMap::new();
            for row in over {
                let taken = self.problem.rows[row].base.map(|base| alike.entry(base).or_default());
                if taken.as_ref().is_none_or(|taken| **taken < ALIKE) {
                    taken.into_iter().for_each(|taken| *taken += 1);
                    rows.insert(row);
                }
            }
            // Where many narrow rows join in, more will, and the method for them does not mind.
            let narrow = |row: &usize| !self.wide(*row) && self.problem.rows[*row].base.is_none();
            if rows.iter().filter(|row| narrow(row)).count() > layered::FEW {
                rows.extend(self.binding.iter().copied().filter(narrow));
            }
        }
        let bound = bound.is_finite().then_some(bound);
        best.map(|picks| Found { picks, status: Status::Stopped, bound, nodes })
            .ok_or_else(|| settings.limits.nothing_found())
    }
}

//! Problems of many rows: the peaks of a network of hundreds of layers make one for each moment, of which each knows few
//! layers, or all of them nearly alike. Few can bind, and fewer do.
//!
//! 1. An option that does not fit beside the least of all other groups goes, in every row; then rows that cannot bind. A
//!    row of one group is nothing but that.
//! 2. The problem is solved with the rows of all groups only. The answer is checked against every row, rows that it overruns
//!    join in, and it is solved again (lazy constraints; Dantzig, Fulkerson & Johnson, Operations Research 2, 1954). What is
//!    the best with some of the rows and keeps all is the best with all, and a bound with some is one with all.
//! 3. Groups that no row joins are problems of their own ([`Parts`]), and parts whose rows know few groups each are solved
//!    by [`chain`](super::chain).
//!
//! An answer on the way that overruns rows is repaired, so that there is a policy when a limit ends the search.

use super::{Limits, chain, repair::repaired};
use limpq_core::search::{Answer, Choice, Group, Problem, Row, SolverError, Status};
use std::collections::{BTreeMap, BTreeSet};

/// Problems of so many rows are solved with all of them at once.
const FEW: usize = 32;
/// Rows with the same base are nearly parallel: so many of them join in at a time.
const ALIKE: usize = 4;

/// A solver for few rows, in which no row has a base.
type Core<'a> = &'a dyn Fn(&Problem, Option<&[usize]>, &Limits) -> Result<Answer, SolverError>;

/// Solves a problem by problems of few rows, which `core` solves.
///
/// # Errors
/// As a solver.
pub(super) fn solve(
    problem: &Problem,
    near: Option<&[usize]>,
    limits: &Limits,
    core: Core,
) -> Result<Answer, SolverError> {
    if problem.rows.len() <= FEW {
        return core(problem, near, limits);
    }
    let (left, open) = narrowed(problem)?;
    let place = |(open, pick): (&Vec<usize>, &usize)| open.iter().position(|other| other == pick).unwrap_or(0);
    let near: Option<Vec<usize>> =
        near.filter(|picks| picks.len() == open.len()).map(|picks| open.iter().zip(picks).map(place).collect());
    let answer = Rounds::new(&left).solve(near, limits, core)?;
    let picks = open.iter().zip(&answer.picks).map(|(open, &pick)| open[pick]).collect();
    Ok(Answer { picks, ..answer })
}

/// The problem without options that do not fit beside the least of all others, and which options are left.
fn narrowed(problem: &Problem) -> Result<(Problem, Vec<Vec<usize>>), SolverError> {
    let mut left = problem.clone();
    let mut open: Vec<Vec<usize>> = problem.groups.iter().map(|group| (0..group.choices.len()).collect()).collect();
    loop {
        let spans = left.spans();
        if left.groups.iter().any(|group| group.choices.is_empty())
            || spans.iter().zip(&left.rows).any(|(span, row)| span.least > row.limit)
        {
            return Err(SolverError::Infeasible);
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

/// Solving with more and more rows.
struct Rounds<'p> {
    problem: &'p Problem,
    /// Rows that can bind.
    binding: Vec<usize>,
    /// The groups that each row can tell options of apart.
    members: Vec<Vec<usize>>,
}

impl<'p> Rounds<'p> {
    fn new(problem: &'p Problem) -> Self {
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
        self.members[row].len() > chain::MOST_MEMBERS
    }

    fn solve(&self, mut near: Option<Vec<usize>>, limits: &Limits, core: Core) -> Result<Answer, SolverError> {
        let mut rows: BTreeSet<usize> = self.binding.iter().copied().filter(|&row| self.wide(row)).collect();
        let mut best: Option<Vec<usize>> = None;
        let (mut bound, mut nodes) = (f64::NEG_INFINITY, 0);
        loop {
            let parts = Parts::new(self, &rows);
            let answer = match parts.solve(near.as_deref(), &limits.after(nodes), core) {
                Ok(answer) => answer,
                Err(SolverError::NothingFound { .. }) if best.is_some() => break,
                Err(error) => return Err(error),
            };
            nodes += answer.nodes.unwrap_or_default();
            bound = f64::max(bound, answer.bound.unwrap_or(f64::NEG_INFINITY));
            let uses = self.problem.uses(&answer.picks);
            let excess = |&row: &usize| uses[row] - self.problem.rows[row].limit;
            let mut over: Vec<usize> = self.binding.iter().copied().filter(|row| excess(row) > 0).collect();
            if over.is_empty() && answer.status == Status::Optimal {
                return Ok(Answer { nodes: Some(nodes), ..answer });
            }
            if let Some(found) = repaired(self.problem, answer.picks.clone(), &limits.deadline) {
                let worth = |picks: &Vec<usize>| self.problem.objective(picks);
                if best.as_ref().is_none_or(|best| worth(&found) < worth(best)) {
                    best = Some(found);
                }
            }
            if answer.status != Status::Optimal || limits.over(nodes) {
                break;
            }
            near = Some(best.clone().unwrap_or(answer.picks));
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
            if rows.iter().filter(|row| narrow(row)).count() > chain::FEW {
                rows.extend(self.binding.iter().copied().filter(narrow));
            }
        }
        let bound = bound.is_finite().then_some(bound);
        let answer = |picks| Answer { picks, status: Status::Stopped, bound, nodes: Some(nodes) };
        best.map(answer).ok_or_else(|| limits.nothing_found())
    }
}

/// The parts that a problem falls into with some of its rows.
struct Parts<'p> {
    problem: &'p Problem,
    /// Groups and rows of each.
    parts: Vec<(Vec<usize>, Vec<usize>)>,
}

impl<'p> Parts<'p> {
    fn new(rounds: &Rounds<'p>, rows: &BTreeSet<usize>) -> Self {
        let groups = rounds.problem.groups.len();
        let mut part: Vec<usize> = (0..groups).collect();
        fn root(part: &mut [usize], mut place: usize) -> usize {
            while part[place] != place {
                part[place] = part[part[place]];
                place = part[place];
            }
            place
        }
        for &row in rows {
            let joined = rounds.joined(row);
            for pair in joined.windows(2) {
                let (a, b) = (root(&mut part, pair[0]), root(&mut part, pair[1]));
                part[a.max(b)] = a.min(b);
            }
        }
        let mut parts: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for place in 0..groups {
            parts.entry(root(&mut part, place)).or_default().0.push(place);
        }
        for &row in rows {
            if let Some(&first) = rounds.joined(row).first() {
                parts.entry(root(&mut part, first)).or_default().1.push(row);
            }
        }
        Self { problem: rounds.problem, parts: parts.into_values().collect() }
    }

    fn solve(&self, near: Option<&[usize]>, limits: &Limits, core: Core) -> Result<Answer, SolverError> {
        let mut answer =
            Answer { picks: vec![0; self.problem.groups.len()], status: Status::Optimal, bound: None, nodes: None };
        let (mut bound, mut nodes) = (Some(0.0), 0);
        for (groups, rows) in &self.parts {
            let part = part(self.problem, groups, rows);
            let near: Option<Vec<usize>> = near.map(|near| groups.iter().map(|&group| near[group]).collect());
            let found = match rows.is_empty() {
                true => free(&part),
                false => match chain::solve(&part, limits) {
                    Some(found) => found?,
                    None => core(&part, near.as_deref(), &limits.after(nodes))?,
                },
            };
            let least = match found.status {
                Status::Optimal => Some(part.objective(&found.picks)),
                _ => found.bound,
            };
            bound = bound.zip(least).map(|(sum, least)| sum + least);
            nodes += found.nodes.unwrap_or_default();
            if found.status != Status::Optimal {
                answer.status = found.status;
            }
            groups.iter().zip(found.picks).for_each(|(&group, pick)| answer.picks[group] = pick);
        }
        Ok(Answer { bound, nodes: Some(nodes), ..answer })
    }
}

/// Some groups with some rows, which have no base any more.
fn part(problem: &Problem, groups: &[usize], rows: &[usize]) -> Problem {
    let choice = |choice: &Choice| Choice {
        bits: choice.bits.clone(),
        loss: choice.loss,
        costs: rows
            .iter()
            .enumerate()
            .map(|(place, &row)| (place, u64::try_from(problem.cost(choice, row)).unwrap_or(u64::MAX)))
            .collect(),
    };
    let group = |&group: &usize| Group {
        layers: problem.groups[group].layers.clone(),
        choices: problem.groups[group].choices.iter().map(choice).collect(),
    };
    // What the groups of other parts add whatever they choose.
    let inside: BTreeSet<usize> = groups.iter().copied().collect();
    let outside = |row: usize| -> i128 {
        let others = problem.groups.iter().enumerate().filter(|(place, _)| !inside.contains(place));
        others.map(|(_, group)| problem.cost(&group.choices[0], row)).sum()
    };
    let limited = |&row: &usize| Row::new(problem.rows[row].name.clone(), problem.rows[row].limit - outside(row));
    Problem { groups: groups.iter().map(group).collect(), rows: rows.iter().map(limited).collect() }
}

/// The best of a group that no row joins to others: least loss, then fewest bits, then the first.
fn free(part: &Problem) -> Answer {
    let best = |group: &Group| {
        let order = |&a: &usize, &b: &usize| {
            let (a, b) = (&group.choices[a], &group.choices[b]);
            (a.loss + 0.0).total_cmp(&(b.loss + 0.0)).then(a.total_bits().cmp(&b.total_bits()))
        };
        (0..group.choices.len()).min_by(order).expect("a group has options")
    };
    Answer { picks: part.groups.iter().map(best).collect(), status: Status::Optimal, bound: None, nodes: None }
}

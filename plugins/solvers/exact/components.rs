//! The components of a problem with some of its rows: groups that no row connects are independent problems. Components
//! whose rows involve few groups each are solved by [`layered`], the others by [`few_rows`].

use crate::{Choice, Error, Group, Problem, Row, Status, few_rows, layered, limits::Settings, solution::Found};
use std::collections::{BTreeMap, BTreeSet};

/// A problem divided into components.
pub(crate) struct Components<'p> {
    problem: &'p Problem<'p>,
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    groups: Vec<usize>,
    rows: Vec<usize>,
}

impl<'p> Components<'p> {
    /// The components under some rows, each with its groups.
    pub fn new(problem: &'p Problem<'p>, rows: impl Iterator<Item = (usize, Vec<usize>)>) -> Self {
        let mut sets = Sets((0..problem.groups.len()).collect());
        let mut of_rows = vec![];
        for (row, joined) in rows {
            joined.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
            of_rows.extend(joined.first().map(|&first| (row, first)));
        }
        let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
        for group in 0..problem.groups.len() {
            parts.entry(sets.root(group)).or_default().groups.push(group);
        }
        for (row, group) in of_rows {
            parts.entry(sets.root(group)).or_default().rows.push(row);
        }
        Self { problem, parts: parts.into_values().collect() }
    }

    /// Solves them one after another.
    ///
    /// # Errors
    /// Those of a solve.
    pub fn solve(&self, start: Option<&[usize]>, settings: &Settings) -> Result<Found, Error> {
        let mut picks = vec![0; self.problem.groups.len()];
        let (mut status, mut bound, mut nodes) = (Status::Optimal, Some(0.0), 0);
        for Part { groups, rows } in &self.parts {
            let part = part(self.problem, groups, rows);
            let start: Option<Vec<usize>> = start.map(|start| groups.iter().map(|&group| start[group]).collect());
            let found = if rows.is_empty() {
                Ok(free(&part))
            } else if let Some(found) = layered::solve(&part, &settings.limits) {
                found
            } else {
                few_rows::solve(&part, start.as_deref(), &settings.after(nodes))
            };
            let found = found.map_err(|error| match error {
                Error::TooWide { row } => Error::TooWide { row: rows[row] },
                other => other,
            })?;
            let least = match found.status {
                Status::Optimal => Some(part.objective(&found.picks)),
                Status::Stopped => found.bound,
            };
            bound = bound.zip(least).map(|(sum, least)| sum + least);
            nodes += found.nodes;
            if found.status != Status::Optimal {
                status = found.status;
            }
            groups.iter().zip(found.picks).for_each(|(&group, pick)| picks[group] = pick);
        }
        Ok(Found { picks, status, bound, nodes })
    }
}

/// Disjoint sets of groups; the root of each is its first.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut group: usize) -> usize {
        while self.0[group] != group {
            self.0[group] = self.0[self.0[group]];
            group = self.0[group];
        }
        group
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// Some groups with some rows, which no longer have bases.
fn part<'a>(problem: &Problem<'a>, groups: &[usize], rows: &[usize]) -> Problem<'a> {
    let choice = |choice: &Choice<'a>| Choice {
        costs: rows
            .iter()
            .enumerate()
            .map(|(place, &row)| (place, u64::try_from(problem.cost(choice, row)).unwrap_or(u64::MAX)))
            .collect(),
        ..*choice
    };
    let group = |&group: &usize| -> Group<'a> { problem.groups[group].choices.iter().map(choice).collect() };
    // What the groups of other components add in any case.
    let inside: BTreeSet<usize> = groups.iter().copied().collect();
    let outside = |row: usize| -> i128 {
        let others = problem.groups.iter().enumerate().filter(|(place, _)| !inside.contains(place));
        others.map(|(_, group)| problem.cost(&group.choices[0], row)).sum()
    };
    let limited = |&row: &usize| Row::new(problem.rows[row].limit - outside(row));
    Problem { groups: groups.iter().map(group).collect(), rows: rows.iter().map(limited).collect() }
}

/// The best option of a group that no row connects to others: least loss, then smallest tiebreak, then the first.
fn free(part: &Problem) -> Found {
    let best = |group: &Group| {
        let order = |&a: &usize, &b: &usize| {
            let (a, b) = (&group.choices[a], &group.choices[b]);
            (a.loss + 0.0).total_cmp(&(b.loss + 0.0)).then(a.tiebreak.cmp(&b.tiebreak))
        };
        (0..group.choices.len()).min_by(order).expect("a group has options")
    };
    Found { picks: part.groups.iter().map(best).collect(), status: Status::Optimal, bound: None, nodes: 0 }
}

//! The slack of every row under a solution, updated as the solution changes.

use crate::Problem;

/// A change of one group: its place, the option it has and the one it would have.
pub(crate) type Change = (usize, usize, usize);

/// The slack of each row under a solution.
pub(crate) struct Slack<'p> {
    problem: &'p Problem<'p>,
    left: Vec<i128>,
    /// The rows with this row as their base.
    above: Vec<Vec<usize>>,
    /// The least slack of any of them.
    tight: Vec<i128>,
}

impl<'p> Slack<'p> {
    /// The slack of a solution.
    pub fn new(problem: &'p Problem<'p>, picks: &[usize]) -> Self {
        let left = problem.uses(picks).into_iter().zip(&problem.rows).map(|(used, row)| row.limit - used).collect();
        let mut above = vec![vec![]; problem.rows.len()];
        for (index, row) in problem.rows.iter().enumerate() {
            row.base.into_iter().for_each(|base| above[base].push(index));
        }
        let mut slack = Self { problem, left, tight: vec![i128::MAX; above.len()], above };
        (0..slack.left.len()).for_each(|base| slack.tighten(base));
        slack
    }

    fn tighten(&mut self, base: usize) {
        self.tight[base] = self.above[base].iter().map(|&row| self.left[row]).min().unwrap_or(i128::MAX);
    }

    /// The slack of a row; negative if it is violated.
    pub fn left(&self, row: usize) -> i128 {
        self.left[row]
    }

    /// The rows that are violated after changes, among those whose use increases.
    pub fn overrun(&self, changes: &[Change]) -> Vec<usize> {
        let more = self.more(changes);
        let own = |row: usize| more.binary_search_by_key(&row, |&(row, _)| row).map_or(0, |place| more[place].1);
        let in_all = |row: usize| own(row) + self.problem.rows[row].base.map_or(0, own);
        let over = |row: usize| in_all(row) > self.left[row].max(0);
        let mut rows: Vec<usize> = more.iter().map(|&(row, _)| row).filter(|&row| over(row)).collect();
        for &(base, _) in more.iter().filter(|&&(base, extra)| extra > self.tight[base].max(0)) {
            rows.extend(self.above[base].iter().filter(|&&row| own(row) == 0 && over(row)));
        }
        rows
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        let more = self.more(&[change]);
        for &(row, extra) in &more {
            self.left[row] -= extra;
            self.above[row].iter().for_each(|&above| self.left[above] -= extra);
        }
        for &(row, _) in &more {
            self.tighten(self.problem.rows[row].base.unwrap_or(row));
        }
    }

    /// Increases of the use of rows, bases apart; rows ascending.
    fn more(&self, changes: &[Change]) -> Vec<(usize, i128)> {
        let mut more: Vec<(usize, i128)> = vec![];
        for &(group, from, to) in changes {
            let choices = &self.problem.groups[group].choices;
            more.extend(choices[to].costs.iter().map(|(row, cost)| (row, i128::from(cost))));
            more.extend(choices[from].costs.iter().map(|(row, cost)| (row, -i128::from(cost))));
        }
        more.sort_unstable_by_key(|&(row, _)| row);
        more.dedup_by(|next, before| {
            let same = next.0 == before.0;
            before.1 += if same { next.1 } else { 0 };
            same
        });
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, Group, Row};

    /// Costs of 2 or 1 in every group in row 0, the base; in rows 1 and 2 one group's own costs come on top.
    #[test]
    fn changes_that_overrun_rows_are_told() {
        let group = |own: usize| -> Group {
            [[(0, 2), (own, 5)], [(0, 1), (own, 3)]]
                .map(|costs| Choice { loss: 0.0, tiebreak: 0, costs: costs.into_iter().collect() })
                .into_iter()
                .collect()
        };
        let above = |limit| Row { limit, base: Some(0) };
        let problem = Problem::new(vec![group(1), group(2)], vec![Row::new(9), above(8), above(6)]).unwrap();
        let mut slack = Slack::new(&problem, &[0, 1]);
        // One more of the base is one too many in both; and two more of its own in row 2.
        assert_eq!(slack.overrun(&[(1, 1, 0)]), [2, 1]);
        assert_eq!(slack.overrun(&[(1, 1, 0), (0, 0, 1)]), [2]);
        assert!(slack.overrun(&[(0, 0, 1)]).is_empty());
        slack.apply((0, 0, 1));
        assert_eq!([0, 1, 2].map(|row| slack.left(row)), [7, 3, 1]);
    }
}

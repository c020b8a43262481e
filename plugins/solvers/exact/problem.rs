//! The problem: one option of each group, least total loss, every row within its limit.

use std::borrow::Cow;

/// The cost of an option in each row, without zeros: with many rows, most options have costs in few
/// of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs<'a>(Cow<'a, [(usize, u64)]>);

impl Costs<'_> {
    /// The cost in one row.
    pub fn of(&self, row: usize) -> u64 {
        match self.0.get(row) {
            // Where no row before this one is left out.
            Some(&(found, cost)) if found == row => cost,
            _ => self.0.binary_search_by_key(&row, |&(row, _)| row).map_or(0, |place| self.0[place].1),
        }
    }

    /// Rows and costs above zero, rows ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether it is no more than another one in any row.
    pub fn within(&self, other: &Self) -> bool {
        self.iter().all(|(row, cost)| cost <= other.of(row))
    }
}

/// One cost for each row.
impl From<Vec<u64>> for Costs<'_> {
    fn from(costs: Vec<u64>) -> Self {
        costs.into_iter().enumerate().collect()
    }
}

/// One cost for each row.
impl<const N: usize> From<[u64; N]> for Costs<'_> {
    fn from(costs: [u64; N]) -> Self {
        costs.into_iter().enumerate().collect()
    }
}

/// Rows with costs. Borrowed if rows ascend and no cost is zero; otherwise as [`FromIterator`].
impl<'a> From<&'a [(usize, u64)]> for Costs<'a> {
    fn from(costs: &'a [(usize, u64)]) -> Self {
        let sorted = costs.is_sorted_by(|one, next| one.0 < next.0) && costs.iter().all(|(_, cost)| *cost > 0);
        if sorted { Self(Cow::Borrowed(costs)) } else { costs.iter().copied().collect() }
    }
}

/// Rows with costs, in any order; costs of the same row add up.
impl FromIterator<(usize, u64)> for Costs<'_> {
    fn from_iter<I: IntoIterator<Item = (usize, u64)>>(costs: I) -> Self {
        let mut costs: Vec<(usize, u64)> = costs.into_iter().filter(|(_, cost)| *cost > 0).collect();
        costs.sort_by_key(|&(row, _)| row);
        costs.dedup_by(|next, before| {
            let same = next.0 == before.0;
            before.1 += if same { next.1 } else { 0 };
            same
        });
        Self(Cow::Owned(costs))
    }
}

/// An option of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<'a> {
    /// Its contribution to the objective; finite, of any sign.
    pub loss: f64,
    /// Among solutions of equal objective the one with the smallest sum of these wins, then the one whose options come
    /// first.
    pub tiebreak: u64,
    /// What it costs in the rows of the problem.
    pub costs: Costs<'a>,
}

impl<'a> Choice<'a> {
    /// An option whose tiebreak is 0.
    pub fn new(loss: f64, costs: impl Into<Costs<'a>>) -> Self {
        Self { loss, tiebreak: 0, costs: costs.into() }
    }
}

/// The options of which exactly one is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group<'a> {
    /// The options. A group without any makes the problem infeasible.
    pub choices: Vec<Choice<'a>>,
}

/// A budget: a limit on the sum of the chosen options' costs in one row of the integer program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Most that the chosen options may cost together; may be negative, which nothing keeps.
    pub limit: i128,
    /// A row whose costs count in this one too, and which has no base itself. It saves writing costs that many rows
    /// share once for each of them, and rows with the same base are treated as nearly parallel.
    pub base: Option<usize>,
}

impl Row {
    /// A row that counts its own costs only.
    pub fn new(limit: i128) -> Self {
        Self { limit, base: None }
    }
}

/// A problem that has been checked; see [`Problem::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Problem<'a> {
    pub(crate) groups: Vec<Group<'a>>,
    pub(crate) rows: Vec<Row>,
}

/// Why groups and rows are not a problem.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidProblem {
    /// A loss that cannot be compared.
    #[error("option {choice} of group {group} has the loss {loss}; losses are finite")]
    Loss {
        /// Index of the group.
        group: usize,
        /// Index of the option in it.
        choice: usize,
        /// Its loss.
        loss: f64,
    },
    /// A cost in a row that is not there.
    #[error("option {choice} of group {group} has a cost in row {row}, but there are {rows} rows")]
    Cost {
        /// Index of the group.
        group: usize,
        /// Index of the option in it.
        choice: usize,
        /// The row that it names.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// A base that is not there, or has a base itself.
    #[error("row {row} has the base {base}, which has a base itself or does not exist")]
    Base {
        /// Index of the row.
        row: usize,
        /// The base that it names.
        base: usize,
    },
}

/// Larger limits are treated like this one: no sum of costs in memory reaches it.
const UNREACHED: i128 = 1 << 120;

/// The range of a row's sum, whatever the other rows require.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub least: i128,
    pub most: i128,
}

impl<'a> Problem<'a> {
    /// A problem of these groups and budgets.
    ///
    /// # Errors
    /// A loss that is not finite, a cost in a row that is not there, and a base that is not there or has a base.
    pub fn new(groups: Vec<Group<'a>>, mut rows: Vec<Row>) -> Result<Self, InvalidProblem> {
        for (row, base) in rows.iter().enumerate().filter_map(|(row, of)| Some((row, of.base?))) {
            if rows.get(base).is_none_or(|base| base.base.is_some()) {
                return Err(InvalidProblem::Base { row, base });
            }
        }
        for (group, of) in groups.iter().enumerate() {
            for (choice, option) in of.choices.iter().enumerate() {
                if !option.loss.is_finite() {
                    return Err(InvalidProblem::Loss { group, choice, loss: option.loss });
                }
                // Rows ascend.
                if let Some(&(row, _)) = option.costs.0.last().filter(|(row, _)| *row >= rows.len()) {
                    return Err(InvalidProblem::Cost { group, choice, row, rows: rows.len() });
                }
            }
        }
        rows.iter_mut().for_each(|row| row.limit = row.limit.clamp(-UNREACHED, UNREACHED));
        Ok(Self { groups, rows })
    }

    /// The groups, in order.
    pub fn groups(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// The budgets, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What an option costs in a row, that of its base included.
    pub fn cost(&self, choice: &Choice, row: usize) -> i128 {
        let base = self.rows[row].base.map_or(0, |base| choice.costs.of(base));
        i128::from(choice.costs.of(row)) + i128::from(base)
    }

    /// The sum of each row over an option of each group.
    pub fn uses(&self, picks: &[usize]) -> Vec<i128> {
        let mut own = vec![0; self.rows.len()];
        for (row, cost) in self.chosen(picks).flat_map(|choice| choice.costs.iter()) {
            own[row] += i128::from(cost);
        }
        self.rows.iter().zip(&own).map(|(row, &used)| used + row.base.map_or(0, |base| own[base])).collect()
    }

    /// Total loss of an option of each group, summed in order.
    pub fn objective(&self, picks: &[usize]) -> f64 {
        self.chosen(picks).map(|choice| choice.loss).sum()
    }

    /// Whether every budget is kept, in exact arithmetic.
    pub fn feasible(&self, picks: &[usize]) -> bool {
        self.uses(picks).iter().zip(&self.rows).all(|(&used, row)| used <= row.limit)
    }

    /// The least and the most of every row.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = vec![Span::default(); self.rows.len()];
        for group in &self.groups {
            let part = |row: usize| {
                let costs = || group.choices.iter().map(|choice| self.cost(choice, row));
                Span { least: costs().min().unwrap_or(0), most: costs().max().unwrap_or(0) }
            };
            // A row with a base is its base's sum, and where it has costs of its own the difference.
            for row in group.rows() {
                let (span, base) = (part(row), self.rows[row].base.map(part).unwrap_or_default());
                spans[row].least += span.least - base.least;
                spans[row].most += span.most - base.most;
            }
        }
        let of = |(row, own): (&Row, &Span)| {
            let base = row.base.map(|base| spans[base]).unwrap_or_default();
            Span { least: own.least + base.least, most: own.most + base.most }
        };
        self.rows.iter().zip(&spans).map(of).collect()
    }

    fn chosen<'p>(&'p self, picks: &'p [usize]) -> impl Iterator<Item = &'p Choice<'a>> {
        self.groups.iter().zip(picks).map(|(group, &pick)| &group.choices[pick])
    }
}

impl Group<'_> {
    /// The rows in which some option costs something, bases apart; ascending.
    pub(crate) fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> =
            self.choices.iter().flat_map(|choice| choice.costs.iter()).map(|(row, _)| row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

impl<'a> FromIterator<Choice<'a>> for Group<'a> {
    fn from_iter<I: IntoIterator<Item = Choice<'a>>>(choices: I) -> Self {
        Self { choices: choices.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_sorted_and_add_up() {
        let costs: Costs = [(3, 1), (0, 2), (3, 4), (5, 0)].into_iter().collect();
        assert_eq!(costs.iter().collect::<Vec<_>>(), [(0, 2), (3, 5)]);
        assert_eq!([0, 1, 3, 5].map(|row| costs.of(row)), [2, 0, 5, 0]);
        assert!(costs.within(&[2, 1, 0, 5].into()) && !costs.within(&[2, 1, 0, 4].into()));
        let sorted: &[(usize, u64)] = &[(0, 2), (3, 5)];
        assert_eq!((Costs::from(sorted), Costs::from(&[(3, 5), (1, 0), (0, 2)][..])), (costs.clone(), costs));
    }

    #[test]
    fn what_is_no_problem_is_refused() {
        let group = |loss: f64, costs: &'static [(usize, u64)]| Group { choices: vec![Choice::new(loss, costs)] };
        let refused = |groups, rows| Problem::new(groups, rows).unwrap_err().to_string();
        assert_eq!(
            refused(vec![group(0.0, &[]), group(f64::NAN, &[])], vec![]),
            "option 0 of group 1 has the loss NaN; losses are finite"
        );
        assert_eq!(
            refused(vec![group(0.0, &[(2, 1)])], vec![Row::new(1); 2]),
            "option 0 of group 0 has a cost in row 2, but there are 2 rows"
        );
        let above = |base| Row { limit: 1, base: Some(base) };
        for rows in [vec![above(0)], vec![Row::new(1), above(2)], vec![Row::new(1), above(0), above(1)]] {
            assert!(refused(vec![], rows).ends_with("which has a base itself or does not exist"));
        }
    }

    #[test]
    fn rows_with_a_base_count_it() {
        let group = |own: usize| -> Group {
            [Choice::new(0.0, &[(0, 2), (own, 5)][..]), Choice::new(0.0, &[(0, 1), (own, 3)][..])]
                .map(|choice| Choice { costs: choice.costs.iter().collect(), ..choice })
                .into_iter()
                .collect()
        };
        let above = |limit| Row { limit, base: Some(0) };
        let problem = Problem::new(vec![group(1), group(2)], vec![Row::new(9), above(8), above(6)]).unwrap();
        assert_eq!(problem.uses(&[0, 1]), [3, 8, 6]);
        assert!(problem.feasible(&[0, 1]) && !problem.feasible(&[1, 0]));
        let spans: Vec<_> = problem.spans().iter().map(|span| (span.least, span.most)).collect();
        assert_eq!(spans, [(2, 4), (5, 9), (5, 9)]);
    }
}

//! The search as an integer program: pick one option per group of layers, least total loss, every budget kept.
//!
//! A multiple-choice knapsack with one row for each budget, and for a budget on a peak one for each moment. Losses are
//! floats; costs and limits are integers, so that whether a budget is kept is never a matter of tolerance.

mod instance;
mod share;

pub use instance::{Instance, InstanceError, Origin};
pub use share::ShareError;

use crate::search::Precision;

/// What an option costs in each row, without the zeros: of the rows of a peak most know few layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs(Vec<(usize, u64)>);

impl Costs {
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

    /// The same as a slice.
    pub fn as_slice(&self) -> &[(usize, u64)] {
        &self.0
    }

    /// What both cost together.
    pub fn plus(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Whether it is no more than another one in any row.
    pub fn within(&self, other: &Self) -> bool {
        self.iter().all(|(row, cost)| cost <= other.of(row))
    }
}

/// One cost for each row.
impl From<Vec<u64>> for Costs {
    fn from(costs: Vec<u64>) -> Self {
        costs.into_iter().enumerate().collect()
    }
}

/// Rows with costs, in any order; costs of the same row add up.
impl FromIterator<(usize, u64)> for Costs {
    fn from_iter<I: IntoIterator<Item = (usize, u64)>>(costs: I) -> Self {
        let mut costs: Vec<(usize, u64)> = costs.into_iter().filter(|(_, cost)| *cost > 0).collect();
        costs.sort_by_key(|&(row, _)| row);
        costs.dedup_by(|next, before| {
            let same = next.0 == before.0;
            before.1 += if same { next.1 } else { 0 };
            same
        });
        Self(costs)
    }
}

/// One way to quantize the layers of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Bits of each layer of the group, in its order.
    pub bits: Vec<Precision>,
    /// What choosing it adds to the objective.
    pub loss: f64,
    /// What it costs in the rows of the problem; see [`Problem::cost`].
    pub costs: Costs,
}

impl Choice {
    /// Weight and activation bits, summed over the layers: of equally good policies the one with fewer bits wins.
    pub fn total_bits(&self) -> u64 {
        self.bits.iter().map(|bits| bits.weight.get() + bits.act.get()).sum()
    }
}

/// What is chosen together and its options: a layer, or several whose bits depend on each other because they share some.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// State-dict names of its layers; at least one.
    pub layers: Vec<String>,
    /// At least one option.
    pub choices: Vec<Choice>,
}

/// A limit on the sum of one cost over the groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the budget.
    pub name: String,
    /// Most that the chosen options may cost together. Negative when the fixed layers alone overrun the budget.
    pub limit: i128,
    /// A row whose costs count in this one too, and which has no base itself: the weights, where they lie in memory at
    /// every moment of a peak.
    pub base: Option<usize>,
}

impl Row {
    /// A row of its own costs only.
    pub fn new(name: impl Into<String>, limit: i128) -> Self {
        Self { name: name.into(), limit, base: None }
    }
}

/// The whole problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What is chosen, in the graph's order of first layers.
    pub groups: Vec<Group>,
    /// Budgets; [`Choice::costs`] counts them in this order.
    pub rows: Vec<Row>,
}

/// The least and the most that a row's sum can be, whatever the other rows say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub least: i128,
    /// The most.
    pub most: i128,
}

impl Problem {
    /// What a choice costs in a row.
    pub fn cost(&self, choice: &Choice, row: usize) -> i128 {
        let base = self.rows[row].base.map_or(0, |base| choice.costs.of(base));
        i128::from(choice.costs.of(row)) + i128::from(base)
    }

    /// Sum of one cost over a choice for each group.
    pub fn used(&self, picks: &[usize], row: usize) -> i128 {
        self.chosen(picks).map(|choice| self.cost(choice, row)).sum()
    }

    /// The sum of each row over a choice for each group.
    pub fn uses(&self, picks: &[usize]) -> Vec<i128> {
        let mut own = vec![0; self.rows.len()];
        for (row, cost) in self.chosen(picks).flat_map(|choice| choice.costs.iter()) {
            own[row] += i128::from(cost);
        }
        self.rows.iter().zip(&own).map(|(row, &used)| used + row.base.map_or(0, |base| own[base])).collect()
    }

    /// Total loss of a choice for each group, summed in graph order.
    pub fn objective(&self, picks: &[usize]) -> f64 {
        self.chosen(picks).map(|choice| choice.loss).sum()
    }

    /// Whether every budget is kept, in exact arithmetic.
    pub fn feasible(&self, picks: &[usize]) -> bool {
        self.uses(picks).iter().zip(&self.rows).all(|(&used, row)| used <= row.limit)
    }

    /// The least and the most of every row.
    pub fn spans(&self) -> Vec<Span> {
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

    /// The least that a budget's cost can be, whatever the other budgets say.
    pub fn least(&self, row: usize) -> i128 {
        let least = |group: &Group| group.choices.iter().map(|choice| self.cost(choice, row)).min();
        self.groups.iter().map(|group| least(group).expect("a group has options")).sum()
    }

    /// Whether each budget can be kept when the others are left aside.
    pub fn each_row_fits(&self) -> bool {
        self.spans().iter().zip(&self.rows).all(|(span, row)| span.least <= row.limit)
    }

    /// Number of policies there are, if it fits.
    pub fn policies(&self) -> Option<u64> {
        self.groups.iter().try_fold(1u64, |count, group| count.checked_mul(group.choices.len() as u64))
    }

    fn chosen<'p>(&'p self, picks: &'p [usize]) -> impl Iterator<Item = &'p Choice> {
        self.groups.iter().zip(picks).map(|(group, &pick)| &group.choices[pick])
    }
}

impl Group {
    /// The rows in which some option costs something, bases apart; ascending.
    pub fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> =
            self.choices.iter().flat_map(|choice| choice.costs.iter()).map(|(row, _)| row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// A change of one group: its place, the option it has and the one it would have.
pub type Change = (usize, usize, usize);

/// What a policy leaves of each row.
pub struct Room<'p> {
    problem: &'p Problem,
    left: Vec<i128>,
    /// The rows with this row as their base.
    above: Vec<Vec<usize>>,
    /// The least that is left of any of them.
    tight: Vec<i128>,
}

impl<'p> Room<'p> {
    /// The room beside a policy.
    pub fn new(problem: &'p Problem, picks: &[usize]) -> Self {
        let left = problem.uses(picks).into_iter().zip(&problem.rows).map(|(used, row)| row.limit - used).collect();
        let mut above = vec![vec![]; problem.rows.len()];
        for (index, row) in problem.rows.iter().enumerate() {
            row.base.into_iter().for_each(|base| above[base].push(index));
        }
        let mut room = Self { problem, left, tight: vec![i128::MAX; above.len()], above };
        (0..room.left.len()).for_each(|base| room.tighten(base));
        room
    }

    fn tighten(&mut self, base: usize) {
        self.tight[base] = self.above[base].iter().map(|&row| self.left[row]).min().unwrap_or(i128::MAX);
    }

    /// What is left of a row; negative where the policy overruns it.
    pub fn left(&self, row: usize) -> i128 {
        self.left[row]
    }

    /// The rows that are overrun after changes, among those that the changes use more of.
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

    /// Makes a change.
    pub fn make(&mut self, change: Change) {
        let more = self.more(&[change]);
        for &(row, extra) in &more {
            self.left[row] -= extra;
            self.above[row].iter().for_each(|&above| self.left[above] -= extra);
        }
        for &(row, _) in &more {
            self.tighten(self.problem.rows[row].base.unwrap_or(row));
        }
    }

    /// By how much changes use more of rows, bases apart; rows ascending.
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

    /// Weights of 2 or 1 in every group (row 0, the base); in rows 1 and 2 one group's activations come on top.
    fn problem() -> Problem {
        let choice = |bits: u64, costs: &[(usize, u64)]| Choice {
            bits: vec![Precision::uniform(bits).unwrap()],
            loss: 0.0,
            costs: costs.iter().copied().collect(),
        };
        let group = |own: usize| Group {
            layers: vec![format!("layer{own}")],
            choices: vec![choice(4, &[(own, 5), (0, 2)]), choice(2, &[(0, 1), (own, 3)])],
        };
        let above = |name: &str, limit| Row { base: Some(0), ..Row::new(name, limit) };
        Problem { groups: vec![group(1), group(2)], rows: vec![Row::new("all", 9), above("a", 8), above("b", 6)] }
    }

    #[test]
    fn rows_with_a_base_count_it() {
        let problem = problem();
        assert_eq!(problem.uses(&[0, 1]), [3, 8, 6]);
        assert_eq!((0..3).map(|row| problem.used(&[0, 1], row)).collect::<Vec<_>>(), [3, 8, 6]);
        assert!(problem.feasible(&[0, 1]) && !problem.feasible(&[1, 0]));
        let spans: Vec<_> = problem.spans().iter().map(|span| (span.least, span.most)).collect();
        assert_eq!(spans, [(2, 4), (5, 9), (5, 9)]);
        assert_eq!([0, 1, 2].map(|row| problem.least(row)), [2, 5, 5]);
    }

    #[test]
    fn changes_that_overrun_rows_are_told() {
        let problem = problem();
        let room = Room::new(&problem, &[0, 1]);
        // One more of the weights is one too many in both; and two more of its own in row 2.
        assert_eq!(room.overrun(&[(1, 1, 0)]), [2, 1]);
        assert_eq!(room.overrun(&[(1, 1, 0), (0, 0, 1)]), [2]);
        assert!(room.overrun(&[(0, 0, 1)]).is_empty());
        let mut room = room;
        room.make((0, 0, 1));
        assert_eq!([0, 1, 2].map(|row| room.left(row)), [7, 3, 1]);
    }

    #[test]
    fn costs_of_the_same_row_add_up() {
        let costs: Costs = [(3, 1), (0, 2), (3, 4), (5, 0)].into_iter().collect();
        assert_eq!(costs.iter().collect::<Vec<_>>(), [(0, 2), (3, 5)]);
        assert_eq!([0, 1, 3, 5].map(|row| costs.of(row)), [2, 0, 5, 0]);
        assert!(costs.within(&Costs::from(vec![2, 1, 0, 5])) && !costs.within(&Costs::from(vec![2, 1, 0, 4])));
        assert_eq!(costs.plus(&Costs::from(vec![1, 1])), Costs::from(vec![3, 1, 0, 5]));
    }
}

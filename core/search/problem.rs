//! The search as an integer program: pick one option per group of layers, least total loss, every budget kept.
//!
//! A multiple-choice knapsack with one row for each budget. Losses are floats; costs and limits are integers, so that
//! whether a budget is kept is never a matter of tolerance.

use super::Precision;

/// One way to quantize the layers of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Bits of each layer of the group, in its order.
    pub bits: Vec<Precision>,
    /// What choosing it adds to the objective.
    pub loss: f64,
    /// What it costs, one number for each budget of the problem.
    pub costs: Vec<u64>,
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
}

/// The whole problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What is chosen, in the graph's order of first layers.
    pub groups: Vec<Group>,
    /// Budgets; `Choice::costs` is in their order.
    pub rows: Vec<Row>,
}

impl Problem {
    /// Sum of one cost over a choice for each group.
    pub fn used(&self, picks: &[usize], row: usize) -> i128 {
        self.chosen(picks).map(|choice| i128::from(choice.costs[row])).sum()
    }

    /// Total loss of a choice for each group, summed in graph order.
    pub fn objective(&self, picks: &[usize]) -> f64 {
        self.chosen(picks).map(|choice| choice.loss).sum()
    }

    /// Whether every budget is kept, in exact arithmetic.
    pub fn feasible(&self, picks: &[usize]) -> bool {
        (0..self.rows.len()).all(|row| self.used(picks, row) <= self.rows[row].limit)
    }

    /// The least that a budget's cost can be, whatever the other budgets say.
    pub fn least(&self, row: usize) -> i128 {
        let least = |group: &Group| group.choices.iter().map(|choice| i128::from(choice.costs[row])).min();
        self.groups.iter().map(|group| least(group).expect("a group has options")).sum()
    }

    /// Whether each budget can be kept when the others are left aside.
    pub fn each_row_fits(&self) -> bool {
        (0..self.rows.len()).all(|row| self.least(row) <= self.rows[row].limit)
    }

    /// Number of policies there are, if it fits.
    pub fn policies(&self) -> Option<u64> {
        self.groups.iter().try_fold(1u64, |count, group| count.checked_mul(group.choices.len() as u64))
    }

    fn chosen<'p>(&'p self, picks: &'p [usize]) -> impl Iterator<Item = &'p Choice> {
        self.groups.iter().zip(picks).map(|(group, &pick)| &group.choices[pick])
    }
}

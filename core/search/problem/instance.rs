//! Constraints and losses as a [`Problem`]: one group for each layer (or for layers that share bits), one row for each
//! limit.

use super::share::{self, LayerOption};
use crate::search::{Constraints, ConstraintsError, CostTable, Costs, Group, Precision, Problem, Row, Stated, Sum};
use std::collections::{BTreeMap, HashMap};

/// A problem with what its parts stand for.
pub struct Instance {
    /// For a solver.
    pub problem: Problem,
    /// The constraints behind it.
    pub stated: Stated,
    /// What each row of the problem stands for.
    pub origins: Vec<Origin>,
    /// Places, in graph order, of the layers of each group.
    places: Vec<Vec<usize>>,
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the budget.
    pub budget: usize,
    /// Index of the sum in the budget's table; `None` for what all sums of a peak count.
    pub sum: Option<usize>,
    /// Whether it is the budget's lower end. Such a row counts what a policy uses less than the most possible.
    pub lower: bool,
    /// Sum over layers of what a cost of a lower end is counted down from; 0 for an upper end.
    pub peak: i128,
}

impl Instance {
    /// States the problem. `loss` is what a layer (by place in graph order) at given bits adds to the objective; `None`
    /// forbids it.
    ///
    /// # Errors
    /// As [`Constraints::state`]; a layer that is left without options, by name.
    pub fn new(
        constraints: &Constraints,
        loss: impl Fn(usize, Precision) -> Option<f64>,
    ) -> Result<Self, InstanceError> {
        let stated = constraints.state()?;
        let names: Vec<String> = stated.allowed.iter().map(|layer| layer.layer.clone()).collect();
        let open = |(index, layer): (usize, &crate::search::Allowed)| {
            let options: Vec<_> = layer.pairs().filter_map(|bits| Some((bits, loss(index, bits)?))).collect();
            match options.is_empty() {
                true => Err(InstanceError::NoChoice(layer.layer.clone())),
                false => Ok(options),
            }
        };
        let open = stated.allowed.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        let Rows { rows, origins, costs } = Rows::new(constraints, &stated, &open);
        let options = |(layer, open): (usize, &Vec<(Precision, f64)>)| -> Vec<LayerOption> {
            let costs = |bits| -> Costs { costs[layer].iter().map(|cost| (cost.row, cost.of(&bits))).collect() };
            open.iter().map(|&(bits, loss)| LayerOption { bits, loss, costs: costs(bits) }).collect()
        };
        let options: Vec<_> = open.iter().enumerate().map(options).collect();
        let classes = constraints.rules.classes(constraints.graph).map_err(ConstraintsError::from)?;
        let groups = share::groups(&names, &options, &classes).map_err(ConstraintsError::from)?;
        let place: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (&**name, place)).collect();
        let places = groups.iter().map(|group| group.layers.iter().map(|name| place[&**name]).collect()).collect();
        Ok(Self { problem: Problem { groups, rows }, stated, origins, places })
    }

    /// The bits that picks stand for, in graph order.
    pub fn bits(&self, picks: &[usize]) -> Vec<Precision> {
        let mut bits = vec![None; self.stated.allowed.len()];
        for ((group, places), &pick) in self.problem.groups.iter().zip(&self.places).zip(picks) {
            for (&place, &precision) in places.iter().zip(&group.choices[pick].bits) {
                bits[place] = Some(precision);
            }
        }
        bits.into_iter().map(|bits| bits.expect("every layer is in a group")).collect()
    }

    /// The picks that stand for bits in graph order; `None` when some layers may not have theirs.
    pub fn picks(&self, bits: &[Precision]) -> Option<Vec<usize>> {
        let pick = |(group, places): (&Group, &Vec<usize>)| {
            let wanted = || places.iter().map(|&place| bits[place]);
            group.choices.iter().position(|choice| choice.bits.iter().copied().eq(wanted()))
        };
        self.problem.groups.iter().zip(&self.places).map(pick).collect()
    }

    /// The limit of a row that stands for a whole-network limit, in the budget's integer unit.
    pub fn limit(&self, row: usize, whole: u64) -> i128 {
        let origin = self.origins[row];
        let fixed = i128::from(self.fixed(row));
        if origin.lower { origin.peak + fixed - i128::from(whole) } else { i128::from(whole) - fixed }
    }

    /// The whole-network cost that a row's sum stands for.
    pub fn whole(&self, row: usize, sum: i128) -> u64 {
        let origin = self.origins[row];
        let fixed = i128::from(self.fixed(row));
        let whole = if origin.lower { origin.peak - sum + fixed } else { sum + fixed };
        u64::try_from(whole).unwrap_or_default()
    }

    /// The rows of a budget's upper end.
    pub fn upper_rows(&self, budget: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.origins.len()).filter(move |&row| self.origins[row].budget == budget && !self.origins[row].lower)
    }

    /// Sets a budget's upper end.
    pub fn set_limit(&mut self, budget: usize, whole: u64) {
        for row in self.upper_rows(budget).collect::<Vec<_>>() {
            self.problem.rows[row].limit = self.limit(row, whole);
        }
    }

    /// What a row's sum counts whatever the policy.
    fn fixed(&self, row: usize) -> u64 {
        let Origin { budget, sum, .. } = self.origins[row];
        fixed(&self.stated.tables[budget], sum)
    }

    /// Groups that hold a searchable layer of this name.
    pub fn group_of(&self, layer: &str) -> Option<&Group> {
        self.problem.groups.iter().find(|group| group.layers.iter().any(|name| name == layer))
    }
}

/// What a sum counts whatever the policy. What all sums count leaves room for the one that counts most besides.
fn fixed(table: &CostTable, sum: Option<usize>) -> u64 {
    match sum {
        Some(sum) => table.sums[sum].fixed,
        None => table.sums.iter().map(|sum| sum.fixed).max().unwrap_or_default(),
    }
}

/// What a layer costs in one row.
struct InRow<'a> {
    row: usize,
    /// Costs that add up.
    parts: Vec<&'a BTreeMap<Precision, u64>>,
    /// For a lower end, what is counted down from.
    peak: Option<u64>,
}

impl InRow<'_> {
    fn of(&self, bits: &Precision) -> u64 {
        let cost = self.parts.iter().map(|costs| costs[bits]).sum();
        self.peak.map_or(cost, |peak| peak - cost)
    }
}

/// The rows, where they come from, and for each layer its costs in those that know it.
struct Rows<'a> {
    rows: Vec<Row>,
    origins: Vec<Origin>,
    costs: Vec<Vec<InRow<'a>>>,
}

impl<'a> Rows<'a> {
    fn new(constraints: &Constraints, stated: &'a Stated, open: &[Vec<(Precision, f64)>]) -> Self {
        let costs = (0..stated.allowed.len()).map(|_| vec![]).collect();
        let mut all = Self { rows: vec![], origins: vec![], costs };
        for (budget, (table, limits)) in stated.tables.iter().zip(&stated.limits).enumerate() {
            let written = constraints.budgets[budget].text.to_string();
            let name = |sum: &Sum| match sum.name.is_empty() {
                true => written.clone(),
                false => format!("{written} ({})", sum.name),
            };
            if let Some(most) = limits.most {
                let limit = |sum| i128::from(most) - i128::from(fixed(table, sum));
                let origin = |sum| Origin { budget, sum, lower: false, peak: 0 };
                match &table.sums[..] {
                    [only] => {
                        all.push(Row::new(name(only), limit(Some(0))), origin(Some(0)));
                        all.whole(table, only);
                    }
                    sums => {
                        let common = table.layers.iter().flat_map(|costs| costs.values()).any(|&cost| cost > 0);
                        if common {
                            all.push(Row::new(written.clone(), limit(None)), origin(None));
                            all.parts(table.layers.iter().enumerate());
                        }
                        let base = common.then(|| all.rows.len() - 1);
                        for (index, sum) in sums.iter().enumerate() {
                            let row = Row { base, ..Row::new(name(sum), limit(Some(index))) };
                            all.push(row, origin(Some(index)));
                            all.parts(sum.layers.iter().map(|(&layer, costs)| (layer, costs)));
                        }
                    }
                }
            }
            if let (Some(least), [only]) = (limits.least, &table.sums[..]) {
                all.push(
                    Row::new(format!("{}, lower end", name(only)), 0),
                    Origin { budget, sum: Some(0), lower: true, peak: 0 },
                );
                all.whole(table, only);
                let peak = all.count_down(open);
                let (row, origin) = (all.rows.last_mut(), all.origins.last_mut());
                row.expect("it was just pushed").limit = peak + i128::from(only.fixed) - i128::from(least);
                origin.expect("it was just pushed").peak = peak;
            }
        }
        all
    }

    fn push(&mut self, row: Row, origin: Origin) {
        self.rows.push(row);
        self.origins.push(origin);
    }

    /// Adds costs of layers to the last row.
    fn parts(&mut self, layers: impl Iterator<Item = (usize, &'a BTreeMap<Precision, u64>)>) {
        let row = self.rows.len() - 1;
        for (layer, costs) in layers {
            match self.costs[layer].last_mut().filter(|last| last.row == row) {
                Some(last) => last.parts.push(costs),
                None => self.costs[layer].push(InRow { row, parts: vec![costs], peak: None }),
            }
        }
    }

    /// The last row is all of a table's only sum.
    fn whole(&mut self, table: &'a CostTable, only: &'a Sum) {
        self.parts(table.layers.iter().enumerate());
        self.parts(only.layers.iter().map(|(&layer, costs)| (layer, costs)));
    }

    /// Makes the last row count how much less than the most possible each layer costs; the most possible of all.
    fn count_down(&mut self, open: &[Vec<(Precision, f64)>]) -> i128 {
        let mut total = 0;
        for (costs, open) in self.costs.iter_mut().zip(open) {
            let last = costs.last_mut().expect("a row of all layers was just added");
            let peak = open.iter().map(|(bits, _)| last.of(bits)).max().unwrap_or_default();
            last.peak = Some(peak);
            total += i128::from(peak);
        }
        total
    }
}

/// Why a problem cannot be stated.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The constraints themselves are wrong.
    #[error(transparent)]
    Constraints(#[from] ConstraintsError),
    /// A layer has no option left.
    #[error("layer {0:?} has no bit-width left")]
    NoChoice(String),
}

//! Constraints and losses as a [`Problem`]: one group for each layer (or for layers that share bits), one row for each
//! limit.

use super::{
    Constraints, ConstraintsError, CostTable, Group, Precision, Problem, Row, Stated,
    share::{self, LayerOption},
};

/// A problem with what its parts stand for.
pub struct Instance {
    /// For a solver.
    pub problem: Problem,
    /// The constraints behind it.
    pub stated: Stated,
    /// What each row of the problem stands for.
    pub origins: Vec<Origin>,
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the budget.
    pub budget: usize,
    /// Index of the sum in the budget's table.
    pub sum: usize,
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
        let open = |(index, layer): (usize, &super::Allowed)| {
            let options: Vec<_> = layer.pairs().filter_map(|bits| Some((bits, loss(index, bits)?))).collect();
            match options.is_empty() {
                true => Err(InstanceError::NoChoice(layer.layer.clone())),
                false => Ok(options),
            }
        };
        let open = stated.allowed.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        let (rows, origins, peaks) = rows(constraints, &stated, &open);
        let cost = |layer: usize, bits: Precision, (origin, peaks): (&Origin, &Vec<u64>)| {
            let cost = stated.tables[origin.budget].sums[origin.sum].layers[layer][&bits];
            if origin.lower { peaks[layer] - cost } else { cost }
        };
        let options = |(layer, open): (usize, &Vec<(Precision, f64)>)| -> Vec<LayerOption> {
            let costs = |bits| origins.iter().zip(&peaks).map(|row| cost(layer, bits, row)).collect();
            open.iter().map(|&(bits, loss)| LayerOption { bits, loss, costs: costs(bits) }).collect()
        };
        let options: Vec<_> = open.iter().enumerate().map(options).collect();
        let classes = constraints.rules.classes(constraints.graph).map_err(ConstraintsError::from)?;
        let groups = share::groups(&names, &options, &classes).map_err(ConstraintsError::from)?;
        Ok(Self { problem: Problem { groups, rows }, stated, origins })
    }

    /// The bits that picks stand for, in graph order.
    pub fn bits(&self, picks: &[usize]) -> Vec<Precision> {
        let place = |name: &str| {
            let of = self.stated.allowed.iter().position(|layer| layer.layer == name);
            of.expect("groups hold the searchable layers")
        };
        let mut bits = vec![None; self.stated.allowed.len()];
        for (group, &pick) in self.problem.groups.iter().zip(picks) {
            for (layer, &precision) in group.layers.iter().zip(&group.choices[pick].bits) {
                bits[place(layer)] = Some(precision);
            }
        }
        bits.into_iter().map(|bits| bits.expect("every layer is in a group")).collect()
    }

    /// The picks that stand for bits in graph order; `None` when some layers may not have theirs.
    pub fn picks(&self, bits: &[Precision]) -> Option<Vec<usize>> {
        let of = |name: &String| {
            let place = self.stated.allowed.iter().position(|layer| layer.layer == *name);
            bits[place.expect("groups hold the searchable layers")]
        };
        let pick = |group: &Group| {
            let wanted: Vec<Precision> = group.layers.iter().map(of).collect();
            group.choices.iter().position(|choice| choice.bits == wanted)
        };
        self.problem.groups.iter().map(pick).collect()
    }

    /// The limit of a row that stands for a whole-network limit, in the budget's integer unit.
    pub fn limit(&self, row: usize, whole: u64) -> i128 {
        let origin = self.origins[row];
        let fixed = i128::from(self.table(row).sums[origin.sum].fixed);
        if origin.lower { origin.peak + fixed - i128::from(whole) } else { i128::from(whole) - fixed }
    }

    /// The whole-network cost that a row's sum stands for.
    pub fn whole(&self, row: usize, sum: i128) -> u64 {
        let origin = self.origins[row];
        let fixed = i128::from(self.table(row).sums[origin.sum].fixed);
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

    fn table(&self, row: usize) -> &CostTable {
        &self.stated.tables[self.origins[row].budget]
    }

    /// Groups that hold a searchable layer of this name.
    pub fn group_of(&self, layer: &str) -> Option<&Group> {
        self.problem.groups.iter().find(|group| group.layers.iter().any(|name| name == layer))
    }
}

type Open = [Vec<(Precision, f64)>];

/// The rows, where they come from, and for rows of lower ends the largest cost of each layer.
fn rows(constraints: &Constraints, stated: &Stated, open: &Open) -> (Vec<Row>, Vec<Origin>, Vec<Vec<u64>>) {
    let (mut rows, mut origins, mut peaks) = (vec![], vec![], vec![]);
    for (budget, (table, limits)) in stated.tables.iter().zip(&stated.limits).enumerate() {
        let written = constraints.budgets[budget].text.to_string();
        for (index, sum) in table.sums.iter().enumerate() {
            let name = if sum.name.is_empty() { written.clone() } else { format!("{written} ({})", sum.name) };
            if let Some(most) = limits.most {
                rows.push(Row { name: name.clone(), limit: i128::from(most) - i128::from(sum.fixed) });
                origins.push(Origin { budget, sum: index, lower: false, peak: 0 });
                peaks.push(vec![]);
            }
            if let Some(least) = limits.least {
                let largest = |(costs, open): (&std::collections::BTreeMap<_, u64>, &Vec<(Precision, f64)>)| {
                    open.iter().map(|(bits, _)| costs[bits]).max().unwrap_or_default()
                };
                let of_layers: Vec<u64> = sum.layers.iter().zip(open).map(largest).collect();
                let peak: i128 = of_layers.iter().map(|&cost| i128::from(cost)).sum();
                let limit = peak + i128::from(sum.fixed) - i128::from(least);
                rows.push(Row { name: format!("{name}, lower end"), limit });
                origins.push(Origin { budget, sum: index, lower: true, peak });
                peaks.push(of_layers);
            }
        }
    }
    (rows, origins, peaks)
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

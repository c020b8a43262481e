//! The multiplier pool: multipliers found so far, which the next pass starts with.

use super::{
    dual::Multipliers,
    reduce::{Item, Reduced},
    tables::{FewSums, Table},
};

/// Multipliers for one unit of each row of the problem, since the next pass may run on a smaller one.
#[derive(Default)]
pub(crate) struct Pool {
    /// The best for the whole problem come first.
    linear: Vec<Vec<f64>>,
    /// Rows of the problem that are kept exactly, and multipliers of the others.
    exact: Vec<(usize, Vec<f64>)>,
}

/// Number of multipliers of the other rows per row that is kept exactly.
const WITH_EACH_ROW: usize = 2;
/// Number of multipliers kept of each dual.
const LEADING: usize = 8;
/// Maximum number of multipliers.
const MOST: usize = 400;

impl Pool {
    /// Adds multipliers of shares.
    pub fn add<const R: usize>(&mut self, reduced: &Reduced<R>, lambda: &[f64; R]) {
        self.linear.push(reduced.units(lambda));
    }

    /// Puts the multipliers of a dual in front, the best first.
    pub fn lead<const R: usize>(&mut self, reduced: &Reduced<R>, multipliers: &[Multipliers<R>]) {
        let units = multipliers.iter().take(LEADING).map(|multipliers| reduced.units(&multipliers.lambda));
        self.linear.splice(..0, units);
        self.linear.truncate(MOST);
    }

    /// All of them as multipliers of shares.
    pub fn shares<'a, const R: usize>(&'a self, reduced: &'a Reduced<R>) -> impl Iterator<Item = [f64; R]> + 'a {
        self.linear.iter().map(|units| reduced.multipliers(units))
    }

    /// Adds multipliers for a row that is kept exactly.
    fn keep<const R: usize>(&mut self, reduced: &Reduced<R>, sums: FewSums, lambdas: &[[f64; R]]) {
        let row = reduced.row(sums.row);
        self.exact.extend(lambdas.iter().map(|lambda| (row, reduced.units(lambda))));
    }

    /// The multipliers for a row that is kept exactly, as multipliers of shares.
    fn kept<'a, const R: usize>(
        &'a self,
        reduced: &'a Reduced<R>,
        sums: FewSums,
    ) -> impl Iterator<Item = [f64; R]> + 'a {
        let row = reduced.row(sums.row);
        self.exact.iter().filter(move |(other, _)| *other == row).map(|(_, units)| reduced.multipliers(units))
    }

    /// Tables of the bounds that keep this row, at the multipliers that go with it: the best known for all rows, when
    /// it is met first.
    pub fn tables_of<const R: usize>(&mut self, reduced: &Reduced<R>, sums: FewSums) -> Vec<Table<R>> {
        let mut lambdas: Vec<[f64; R]> = self.kept(reduced, sums).collect();
        if lambdas.is_empty() {
            lambdas.extend(self.shares(reduced).take(WITH_EACH_ROW).map(|lambda| sums.others(&lambda)));
            self.keep(reduced, sums, &lambdas);
        }
        let groups = reduced.all();
        lambdas.iter().map(|lambda| Table::new(sums, reduced, &groups, lambda)).collect()
    }

    /// Tables of the bounds that keep a row, for groups in this order.
    pub fn tables<const R: usize>(&self, reduced: &Reduced<R>, groups: &[&[Item<R>]]) -> Vec<Table<R>> {
        let all = if self.exact.is_empty() { vec![] } else { FewSums::all(reduced) };
        let table =
            |sums: FewSums| self.kept(reduced, sums).map(move |lambda| Table::new(sums, reduced, groups, &lambda));
        all.into_iter().flat_map(table).collect()
    }
}

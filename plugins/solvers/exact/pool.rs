//! Prices met so far, which the next pass starts with.

use super::{
    dual::Prices,
    reduce::{Item, Reduced},
    sums::{Sums, Table},
};

/// Prices for one unit of each row of the problem, since the next pass may run on a smaller one.
#[derive(Default)]
pub(super) struct Pool {
    /// The best for the whole problem come first.
    linear: Vec<Vec<f64>>,
    /// Rows of the problem that are kept exactly, and prices of the others.
    exact: Vec<(usize, Vec<f64>)>,
}

/// Number of prices of each dual that are worth keeping.
const LEADING: usize = 8;
/// Prices beyond this many are forgotten.
const MOST: usize = 400;

impl Pool {
    /// Adds prices of shares.
    pub fn add<const R: usize>(&mut self, reduced: &Reduced<R>, lambda: &[f64; R]) {
        self.linear.push(reduced.units(lambda));
    }

    /// Puts the prices of a dual in front, the best first.
    pub fn lead<const R: usize>(&mut self, reduced: &Reduced<R>, prices: &[Prices<R>]) {
        let units = prices.iter().take(LEADING).map(|prices| reduced.units(&prices.lambda));
        self.linear.splice(..0, units);
        self.linear.truncate(MOST);
    }

    /// All of them as prices of shares.
    pub fn shares<'a, const R: usize>(&'a self, reduced: &'a Reduced<R>) -> impl Iterator<Item = [f64; R]> + 'a {
        self.linear.iter().map(|units| reduced.prices(units))
    }

    /// Adds prices that go with a row which is kept exactly.
    pub fn keep<const R: usize>(&mut self, reduced: &Reduced<R>, sums: Sums, lambdas: &[[f64; R]]) {
        let row = reduced.row(sums.row);
        self.exact.extend(lambdas.iter().map(|lambda| (row, reduced.units(lambda))));
    }

    /// Those that go with a row, as prices of shares.
    pub fn kept<'a, const R: usize>(
        &'a self,
        reduced: &'a Reduced<R>,
        sums: Sums,
    ) -> impl Iterator<Item = [f64; R]> + 'a {
        let row = reduced.row(sums.row);
        self.exact.iter().filter(move |(other, _)| *other == row).map(|(_, units)| reduced.prices(units))
    }

    /// Tables of the bounds that keep a row, for groups in this order.
    pub fn tables<const R: usize>(&self, reduced: &Reduced<R>, groups: &[&[Item<R>]]) -> Vec<Table<R>> {
        let all = if self.exact.is_empty() { vec![] } else { Sums::all(reduced) };
        let table = |sums: Sums| self.kept(reduced, sums).map(move |lambda| Table::new(sums, reduced, groups, &lambda));
        all.into_iter().flat_map(table).collect()
    }
}

//! The solver against trying everything, and at the edges.

mod generated;
mod many_rows;
mod one_answer;
mod oracle;

use crate::{Choice, Group, Problem, Row};

/// (tiebreak, loss, costs) of an option.
pub(crate) type Written<'a> = (u64, f64, &'a [u64]);

/// A problem written down by hand.
pub(crate) fn problem(groups: &[&[Written<'_>]], limits: &[i128]) -> Problem<'static> {
    let choice = |&(tiebreak, loss, costs): &Written<'_>| Choice { loss, tiebreak, costs: costs.to_vec().into() };
    let group = |choices: &&[Written<'_>]| -> Group<'static> { choices.iter().map(choice).collect() };
    let rows = limits.iter().map(|&limit| Row::new(limit)).collect();
    Problem::new(groups.iter().map(group).collect(), rows).unwrap()
}

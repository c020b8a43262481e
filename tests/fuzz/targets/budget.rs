//! Budgets: whatever is written, limits are positive and the lower end is not above the upper.
#![no_main]

mod graph;

use graph::GRAPH;
use libfuzzer_sys::fuzz_target;
use limpq_core::{
    registry,
    search::{Accounting, BudgetText, Candidates, CostModel, CostTable},
};
use limpq_plugins as _;

fuzz_target!(|text: &str| {
    let Ok(budget) = text.parse::<BudgetText>() else { return };
    let Ok(cost) = registry::build::<dyn CostModel>(&budget.name, &toml::Table::new()) else { return };
    let candidates = Candidates::of(&[8, 4, 2]).expect("bit-widths");
    let precisions = candidates.pairs().chain(budget.precisions());
    let table = CostTable::new(&budget.name, cost.as_ref(), &GRAPH, precisions, Accounting::Exact);
    if let Ok(limits) = budget.limits(&table) {
        assert!(limits.least.is_none() || limits.most.is_none() || limits.least <= limits.most);
    }
});

//! The exact solver on networks of hundreds of layers under budgets on a peak, which make a row for each moment.

use super::Exact;
use crate::{costs, models::ResNet20};
use limpq_core::graph::{Graph, Model};
use limpq_core::search::{
    Accounting, BitWidth, Budget, Candidates, Constraints, CostModel, INDICATORS_SCHEMA, Indicators, LayerIndicators,
    NamedSolver, Problem, Provenance, RisingIndicators, Rules, Search, Solved, Status, solve,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, num::NonZeroU64};

const BITS: [u64; 5] = [6, 5, 4, 3, 2];

/// A residual network of 600 layers and two projections.
fn graph() -> Graph {
    ResNet20 { blocks: 100, width: 2 }.graph("3x8x8".parse().unwrap(), 10).unwrap()
}

/// Made-up indicators that fall with the bits, as step sizes do.
fn indicators(graph: &Graph) -> Indicators {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut values = |scale: f64| -> BTreeMap<BitWidth, f64> {
        let factor = scale * 10f64.powf(random.random_range(0.0..1.0));
        let fall = random.random_range(1.6..1.9f64);
        BITS.map(|bits| (BitWidth::new(bits).unwrap(), factor * fall.powi(6 - bits as i32))).into()
    };
    let mut layer = |name| (name, LayerIndicators { weight: values(0.004), act: values(0.01) });
    Indicators {
        schema: INDICATORS_SCHEMA,
        model: None,
        candidates: Candidates::of(&BITS).unwrap(),
        provenance: Provenance::default(),
        layers: graph.searchable().into_iter().map(|searched| layer(searched.name)).collect(),
        spread: None,
    }
}

/// Solves for these budgets; whether the answer is proven is checked.
fn proven(budgets: Vec<(&str, Box<dyn CostModel>)>) -> (Problem, Solved) {
    let (problem, solved) = solved(budgets, &Exact::default());
    assert_eq!((solved.proof.status, solved.proof.gap), (Status::Optimal, 0.0));
    (problem, solved)
}

/// Solves for these budgets; whether the answer keeps them is checked.
fn solved(budgets: Vec<(&str, Box<dyn CostModel>)>, exact: &Exact) -> (Problem, Solved) {
    let graph = graph();
    let indicators = indicators(&graph);
    let budget = |(text, cost): (&str, Box<dyn CostModel>)| Budget { text: text.parse().unwrap(), cost };
    let budgets: Vec<Budget> = budgets.into_iter().map(budget).collect();
    let constraints = Constraints {
        graph: &graph,
        candidates: &indicators.candidates,
        accounting: Accounting::Exact,
        budgets: &budgets,
        rules: &Rules::default(),
    };
    let search = Search { constraints, indicators: &indicators, alpha: 2.0, rising: RisingIndicators::Allow };
    let problem = search.instance().unwrap().problem;
    let solved = solve(NamedSolver::new("exact", exact), &problem, None).unwrap();
    assert!(problem.feasible(&solved.picks));
    (problem, solved)
}

fn memory(residual: u64) -> Box<dyn CostModel> {
    Box::new(costs::ActivationMemory { residual_bits: BitWidth::new(residual).unwrap() })
}

#[test]
fn a_peak_alone() {
    let (problem, _) = proven(vec![("activation_memory=w3a4", memory(8))]);
    assert!(problem.rows.len() > 256, "{} rows", problem.rows.len());
}

/// The shortcut of a block is stored at the bits of its reader, so that three layers meet in a row, and each in two.
#[test]
fn a_peak_whose_rows_are_chained() {
    let (problem, solved) = proven(vec![("activation_memory=w3a4", memory(2))]);
    let binding =
        problem.uses(&solved.picks).iter().zip(&problem.rows).filter(|(used, row)| **used == row.limit).count();
    assert!(binding > 20, "{binding} rows are met exactly");
}

#[test]
fn a_peak_beside_sums() {
    proven(vec![
        ("activation_memory=w3a4", memory(8)),
        ("bitops=w4a4", Box::new(costs::BitOps::default())),
        ("size=w3a4", Box::new(costs::Size::default())),
    ]);
}

/// Rows that hang together, and a sum over all layers, most of which are alike: certified to be close soon, proven
/// late.
#[test]
fn a_peak_whose_rows_are_chained_beside_a_sum() {
    let budgets: Vec<(&str, Box<dyn CostModel>)> =
        vec![("activation_memory=w3a4", memory(2)), ("bitops=w4a4", Box::new(costs::BitOps::default()))];
    let exact = Exact { node_limit: NonZeroU64::new(3_000_000).unwrap(), time_limit_s: None };
    let (problem, solved) = solved(budgets, &exact);
    assert!(problem.rows.len() > 256 && solved.proof.gap < 1e-3, "{} rows, {:?}", problem.rows.len(), solved.proof);
}

/// Rows that are nearly parallel: all weights count in each.
#[test]
fn a_peak_on_top_of_all_weights() {
    let (problem, solved) = proven(vec![("total_memory=w3a4", Box::new(costs::TotalMemory::default()))]);
    assert!(problem.rows.len() > 256 && problem.rows.iter().filter(|row| row.base.is_some()).count() > 256);
    let left = |row: usize| problem.rows[row].limit - problem.used(&solved.picks, row);
    assert!((0..problem.rows.len()).any(|row| left(row) < 100));
}

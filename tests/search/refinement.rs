//! Refinement by measurement: with a loss that the indicators get wrong, and in a whole run.

use crate::fixtures;
use limpq_core::registry;
use limpq_core::search::{
    Accounting, Budget, Candidates, Constraints, CostModel, Instance, NamedSolver, Precision, Refined,
    RisingIndicators, Rules, Search, Solver, refine,
};
use std::convert::Infallible;

/// The found policy of a small network within half of the BitOPs, and its instance.
fn solved() -> (Instance, Vec<usize>) {
    let (graph, indicators) = (fixtures::graph(), fixtures::indicators(&[4, 2]));
    let candidates = Candidates::of(&[4, 2]).unwrap();
    let cost = registry::build::<dyn CostModel>("bitops", &toml::Table::new()).unwrap();
    let budgets = [Budget { text: "bitops=w2a4".parse().unwrap(), cost }];
    let rules = Rules::default();
    let constraints = Constraints {
        graph: &graph,
        candidates: &candidates,
        accounting: Accounting::Exact,
        budgets: &budgets,
        rules: &rules,
    };
    let search = Search { constraints, indicators: &indicators, alpha: 2.0, rising: RisingIndicators::Allow };
    let instance = search.instance().unwrap();
    let solver = registry::build::<dyn Solver>("brute_force", &toml::Table::new()).unwrap();
    let solver = NamedSolver::new("brute_force", solver.as_ref());
    let picks = search.solve(&instance, solver, None).unwrap().picks;
    (instance, picks)
}

fn constant(evaluations: usize) -> (Vec<usize>, Refined) {
    let (instance, picks) = solved();
    let Ok(refined) = refine(&instance, &picks, evaluations, |_| Ok::<f64, Infallible>(1.0));
    (picks, refined)
}

/// The measured loss depends on the weights of one layer only, which the indicators gave few bits.
#[test]
fn swaps_lower_the_measured_loss_within_the_budgets() {
    let (instance, start) = solved();
    let weight = |bits: &[Precision], layer: usize| bits[layer].weight.get();
    let bits = instance.bits(&start);
    let layer = (0..bits.len()).find(|&layer| weight(&bits, layer) == 2).unwrap();
    let measure = |bits: &[Precision]| Ok::<f64, Infallible>(1.0 / weight(bits, layer) as f64);
    let Ok(refined) = refine(&instance, &start, 200, measure);
    assert_eq!(weight(&instance.bits(&refined.picks), layer), 4);
    assert_eq!((refined.loss_before, refined.loss_after), (0.5, 0.25));
    assert!(instance.problem.feasible(&refined.picks));
    let name = &instance.compiled.allowed[layer].layer;
    assert!(refined.swaps.len() == 1 && refined.swaps[0].contains(&format!("{name} w2")), "{:?}", refined.swaps);
    assert!(refined.evaluations <= 200);
}

#[test]
fn the_number_of_evaluations_is_kept_and_a_second_time_gives_the_same() {
    for evaluations in [1, 2, 7] {
        let (start, first) = constant(evaluations);
        assert_eq!(first.evaluations, evaluations);
        assert_eq!(first.picks, start, "a loss that never falls changes nothing");
        assert_eq!(constant(evaluations).1, first);
    }
}

#[test]
fn the_swaps_of_least_predicted_harm_come_first() {
    let (instance, picks) = solved();
    let mut seen = vec![];
    let measure = |bits: &[Precision]| {
        let of = |(group, bits): (&limpq_core::search::Group, &Precision)| {
            group.choices.iter().find(|choice| choice.bits[0] == *bits).unwrap().loss
        };
        seen.push(instance.problem.groups.iter().zip(bits).map(of).sum::<f64>());
        Ok::<f64, Infallible>(1.0)
    };
    let Ok(_) = refine(&instance, &picks, 30, measure);
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{seen:?}");
}

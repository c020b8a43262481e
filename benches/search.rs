//! Time to solve a search of ResNet-50's size, for each registered solver that can.
//!
//! The indicators are made up, the same in every run: they rise as bits fall and differ from layer to layer by a factor of
//! up to ten, as learned ones do. The budgets are those of the published ResNet-50 policy, BitOPs of W3A4 and 12.2x.

use criterion::{Criterion, criterion_group, criterion_main};
use limpq as _;
use limpq_core::graph::{Graph, Model};
use limpq_core::registry::{build, entries};
use limpq_core::search::{
    Accounting, Budget, Candidates, Constraints, CostModel, INDICATORS_SCHEMA, Indicators, LayerIndicators, Problem,
    Provenance, RisingIndicators, Rules, Search, Solver, SolverError,
};
use std::hint::black_box;
use std::time::Duration;

const BITS: [u64; 5] = [6, 5, 4, 3, 2];
const BUDGETS: [&str; 2] = ["bitops=w3a4", "size=12.2x"];

fn resnet50() -> Graph {
    let model = build::<dyn Model>("resnet50", &toml::Table::new()).expect("resnet50 is registered");
    model.graph("3x224x224".parse().expect("a shape"), 1000).expect("224 pixels are enough")
}

fn indicators(graph: &Graph, candidates: &Candidates) -> Indicators {
    let values = |factor: f64, growth: f64| {
        candidates.iter().map(|bits| (bits, factor * growth.powi(6 - bits.get() as i32))).collect()
    };
    let layers = graph.searchable().into_iter().enumerate().map(|(index, layer)| {
        // Multiples of an irrational number modulo 1 are evenly spread and never repeat.
        let spread = |step: f64| (index as f64 * step).fract();
        let weight = values(0.004 * 10f64.powf(spread(0.618_033_988_75)), 1.6 + 0.3 * spread(0.754_877_666_25));
        let act = values(0.01 * 10f64.powf(spread(0.569_840_290_998)), 1.6 + 0.3 * spread(0.324_717_957_245));
        (layer.name, LayerIndicators { weight, act })
    });
    Indicators {
        schema: INDICATORS_SCHEMA,
        model: Some(graph.model.clone()),
        candidates: candidates.clone(),
        provenance: Provenance { sensitivity: "made up".to_owned(), ..Provenance::default() },
        layers: layers.collect(),
        spread: None,
    }
}

fn budgets() -> Vec<Budget> {
    let budget = |text: &str| {
        let text: limpq_core::search::BudgetText = text.parse().expect("a budget");
        let cost = build::<dyn CostModel>(&text.name, &toml::Table::new()).expect("a registered cost");
        Budget { text, cost }
    };
    BUDGETS.into_iter().map(budget).collect()
}

fn search(criterion: &mut Criterion) {
    let graph = resnet50();
    let candidates = Candidates::of(&BITS).expect("bit-widths");
    let indicators = indicators(&graph, &candidates);
    let budgets = budgets();
    let constraints = Constraints {
        graph: &graph,
        candidates: &candidates,
        accounting: Accounting::Exact,
        budgets: &budgets,
        rules: &Rules::default(),
    };
    let search = Search { constraints, indicators: &indicators, alpha: 2.0, rising: RisingIndicators::Allow };
    let problem = search.instance().expect("the indicators fit").problem;

    let mut group = criterion.benchmark_group("search_resnet50");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("state_the_problem", |bencher| bencher.iter(|| search.instance().expect("as before")));
    for entry in entries::<dyn Solver>().expect("plugins are linked") {
        let solver = build::<dyn Solver>(entry.name, &toml::Table::new()).expect("its defaults work");
        if can(solver.as_ref(), &problem) {
            group.bench_function(entry.name, |bencher| bencher.iter(|| solver.solve(black_box(&problem))));
        }
    }
    group.finish();
}

/// Whether a solver can solve a problem of this size; enumeration cannot.
fn can(solver: &dyn Solver, problem: &Problem) -> bool {
    match solver.solve(problem) {
        Ok(_) => true,
        Err(SolverError::TooLarge { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

criterion_group!(benches, search);
criterion_main!(benches);

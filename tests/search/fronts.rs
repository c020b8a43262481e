//! Fronts, best policies and stability against trying every policy, on a network small enough for that.

use crate::fixtures;
use limpq_core::graph::Graph;
use limpq_core::registry::build;
use limpq_core::search::{
    Accounting, Answer, Budget, BudgetText, Candidates, Constraints, CostModel, Deadline, FrontError, Indicators,
    Instance, NamedSolver, Problem, RisingIndicators, Rules, Search, SearchError, Solver, SolverError, Status, Steps,
    Top, noisy, upper_ends,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Five layers free to have 2 or 4 bits, three held: 1024 policies.
struct Small {
    graph: Graph,
    candidates: Candidates,
    indicators: Indicators,
    rules: Rules,
    swept: Vec<BudgetText>,
    budgets: Vec<Budget>,
}

impl Small {
    fn new(budgets: &[&str]) -> Self {
        let swept: Vec<BudgetText> = budgets.iter().map(|text| text.parse().unwrap()).collect();
        let budget =
            |text: BudgetText| Budget { cost: build::<dyn CostModel>(&text.name, &toml::Table::new()).unwrap(), text };
        let compiled = upper_ends(&swept).unwrap_or_else(|_| swept.clone());
        Self {
            graph: fixtures::graph(),
            candidates: Candidates::of(&[4, 2]).unwrap(),
            indicators: fixtures::indicators(&[4, 2]),
            rules: Rules { rules: vec!["layer3.*=w4a2".parse().unwrap()], shares: vec![] },
            budgets: compiled.into_iter().map(budget).collect(),
            swept,
        }
    }

    fn search(&self) -> Search<'_> {
        let constraints = Constraints {
            graph: &self.graph,
            candidates: &self.candidates,
            accounting: Accounting::Exact,
            budgets: &self.budgets,
            rules: &self.rules,
        };
        Search { constraints, indicators: &self.indicators, alpha: 2.0, rising: RisingIndicators::Allow }
    }
}

/// Every policy: its picks, objective and what it uses of each budget as printed.
fn every(instance: &Instance) -> Vec<(Vec<usize>, f64, Vec<f64>)> {
    let sizes: Vec<usize> = instance.problem.groups.iter().map(|group| group.choices.len()).collect();
    let count: usize = sizes.iter().product();
    let policy = |mut number: usize| {
        let pick = |size: &usize| {
            let pick = number % size;
            number /= size;
            pick
        };
        let picks: Vec<usize> = sizes.iter().map(pick).collect();
        let bits = instance.bits(&picks);
        let used =
            instance.compiled.tables.iter().map(|table| table.printed(table.total(bits.iter().copied()).unwrap()));
        (picks.clone(), instance.problem.objective(&picks), used.collect())
    };
    (0..count).map(policy).collect()
}

fn brute_force() -> Box<dyn Solver> {
    build::<dyn Solver>("brute_force", &toml::Table::new()).unwrap()
}

fn within(used: &[f64], limits: &[f64]) -> bool {
    used.iter().zip(limits).all(|(used, limit)| used <= limit)
}

#[test]
fn every_point_is_what_trying_all_policies_finds() {
    let small = Small::new(&["size=9.5x..7.5x", "bitops=w4a4"]);
    let (search, solver) = (small.search(), brute_force());
    let front = search.front(&small.swept, Steps::All, NamedSolver::new("brute_force", &*solver)).unwrap();
    assert!(front.every_point);
    let mut all = every(&search.instance().unwrap());
    all.retain(|(_, _, used)| used[0] <= front.axes[0].to);
    // By use, then objective: on the front is what loses less than everything before it.
    all.sort_by(|a, b| a.2[0].total_cmp(&b.2[0]).then(a.1.total_cmp(&b.1)));
    let mut wanted: Vec<(f64, f64)> = vec![];
    for (_, objective, used) in all {
        if wanted.last().is_none_or(|last| objective < last.1) {
            wanted.push((used[0], objective));
        }
    }
    // What is best at the lower end uses no more than that.
    let start = wanted.iter().rposition(|(used, _)| *used <= front.axes[0].from).unwrap_or(0);
    let found: Vec<(f64, f64)> = front.points.iter().rev().map(|point| (point.used[0], point.objective)).collect();
    assert!(found.len() > 10, "{} points are too few for a test", found.len());
    assert_eq!(found, wanted[start..]);
    for point in &front.points {
        assert!(point.used[0] <= point.limits[0]);
        assert_eq!((point.proof.status, point.policy.len()), (Status::Optimal, 8));
    }
}

#[test]
fn every_cell_is_the_best_at_its_limits() {
    for (budgets, points) in
        [(vec!["size=16x..7.5x", "bitops=w4a4"], 23), (vec!["size=16x..7.5x", "bitops=w2a2..w4a4"], 7)]
    {
        let small = Small::new(&budgets);
        let (search, solver) = (small.search(), brute_force());
        let named = NamedSolver::new("brute_force", &*solver);
        let front = search.front(&small.swept, Steps::Even(points), named).unwrap();
        assert!(!front.every_point);
        let axes: Vec<usize> = front.axes.iter().map(|axis| axis.budget).collect();
        assert_eq!(front.cells.len(), points.pow(axes.len() as u32));
        let all = every(&search.instance().unwrap());
        for cell in &front.cells {
            let keeps =
                |used: &Vec<f64>| within(&axes.iter().map(|&axis| used[axis]).collect::<Vec<_>>(), &cell.limits);
            let best = all.iter().filter(|(_, _, used)| keeps(used)).map(|(_, objective, _)| *objective);
            let point = cell.point.map(|place| &front.points[place]);
            assert_eq!(point.map(|point| point.objective), best.min_by(f64::total_cmp), "{cell:?}");
            assert!(point.is_none_or(|point| keeps(&point.used)) && cell.proven);
        }
        assert!(front.cells.iter().any(|cell| cell.point.is_none()) && front.points.len() > 3);
        assert!(front.solves < front.cells.len(), "neighbours prove something for each other");
        let policies: BTreeSet<String> = front.points.iter().map(|point| format!("{:?}", point.policy)).collect();
        assert_eq!(policies.len(), front.points.len(), "each policy stands there once");
    }
}

/// A solver that finds the best policy and cannot prove it.
struct Unsure;

impl Solver for Unsure {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        Ok(Answer { status: Status::Stopped, ..brute_force().solve(problem)? })
    }
}

#[test]
fn what_is_not_proven_is_never_called_every_point() {
    let small = Small::new(&["size=9x..8x"]);
    let search = small.search();
    let unsure = NamedSolver::new("unsure", &Unsure);
    let front = search.front(&small.swept, Steps::All, unsure).unwrap();
    assert!(!front.every_point && !front.points.is_empty());
    assert!(front.cells.iter().filter(|cell| cell.point.is_some()).all(|cell| !cell.proven));
    let instance = search.instance().unwrap();
    let best = search.solve(&instance, unsure, None).unwrap();
    assert!(search.top(&instance, best, unsure, 3).unwrap().ranked.iter().all(|ranked| !ranked.proven));
}

/// A solver that proves all but its first answer.
#[derive(Default)]
struct Late(AtomicBool);

impl Solver for Late {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        let status = if self.0.swap(true, Ordering::Relaxed) { Status::Optimal } else { Status::Stopped };
        Ok(Answer { status, ..brute_force().solve(problem)? })
    }
}

/// The ends are so close that one policy is the best at all limits: it is met unproven at the highest, proven at the next.
#[test]
fn a_point_that_is_proven_later_is_proven() {
    let small = Small::new(&["size=8.001x..8x"]);
    let (search, solver) = (small.search(), Late::default());
    let front = search.front(&small.swept, Steps::Even(5), NamedSolver::new("late", &solver)).unwrap();
    let proven: Vec<bool> = front.cells.iter().map(|cell| cell.proven).collect();
    assert_eq!((front.points.len(), proven), (1, vec![false, true, true, true, true]));
    let point = &front.points[0];
    assert_eq!((point.proof.status, &point.limits), (Status::Optimal, &front.cells[1].limits));
    assert!(front.cells.iter().all(|cell| cell.point == Some(0)));
}

#[test]
fn ranges_that_cannot_be_swept() {
    let solver = brute_force();
    let error = |budgets: &[&str], steps| {
        let small = Small::new(budgets);
        small.search().front(&small.swept, steps, NamedSolver::new("brute_force", &*solver)).unwrap_err()
    };
    assert!(matches!(error(&["size=9x"], Steps::All), FrontError::Axes { found: 0 }));
    let two = ["size=9x..8x", "bitops=w2a2..w4a4"];
    assert!(matches!(error(&two, Steps::All), FrontError::AllOfTwo));
    assert!(matches!(error(&two, Steps::Even(1)), FrontError::Points(1)));
    assert!(error(&["size=8x..9x"], Steps::All).to_string().contains("the range \"8x..9x\" is empty"));
    let none = error(&["size=40x..30x"], Steps::Even(5));
    assert!(matches!(none, FrontError::Search(SearchError::Infeasible(_))), "{none}");
    let texts = |limit: &str| upper_ends(&[format!("size={limit}").parse().unwrap()]);
    assert!(matches!(texts("4MiB.."), Err(FrontError::OpenRange(_))));
    assert!(matches!(texts("..4MiB"), Err(FrontError::OpenRange(_))));
    assert_eq!(texts("4MiB..5MiB").unwrap()[0].to_string(), "size=5MiB");
}

#[test]
fn the_best_policies_are_those_of_trying_all() {
    let small = Small::new(&["size=8x", "bitops=w3a4"]);
    let (search, solver) = (small.search(), brute_force());
    let named = NamedSolver::new("brute_force", &*solver);
    let instance = search.instance().unwrap();
    let mut wanted: Vec<(f64, Vec<usize>)> = every(&instance)
        .into_iter()
        .filter(|(picks, _, _)| instance.problem.feasible(picks))
        .map(|(picks, objective, _)| (objective, picks))
        .collect();
    wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(wanted.len() > 100 && wanted.len() < 1000, "{} policies keep the budgets", wanted.len());
    for count in [1, 40, 2000] {
        let best = search.solve(&instance, named, None).unwrap();
        let ranked = search.top(&instance, best, named, count).unwrap().ranked;
        let found: Vec<f64> = ranked.iter().map(|ranked| ranked.solved.objective).collect();
        let objectives: Vec<f64> = wanted.iter().take(count).map(|(objective, _)| *objective).collect();
        assert_eq!(found, objectives);
        let distinct: BTreeSet<&Vec<usize>> = ranked.iter().map(|ranked| &ranked.solved.picks).collect();
        assert_eq!(distinct.len(), ranked.len());
        assert!(ranked.iter().all(|ranked| ranked.proven && instance.problem.feasible(&ranked.solved.picks)));
    }
}

#[test]
fn noise_is_repeatable_and_none_changes_nothing() {
    let small = Small::new(&["size=8x", "bitops=w3a4"]);
    let (search, solver) = (small.search(), brute_force());
    let named = NamedSolver::new("brute_force", &*solver);
    let instance = search.instance().unwrap();
    let base = search.solve(&instance, named, None).unwrap();
    let judge = |noise: f64, seed: u64| {
        let others = (0..12).map(|sample| noisy(&small.indicators, noise, seed, sample));
        search.stability(&instance, &base, others, named).unwrap().unwrap()
    };
    let still = judge(0.0, 0);
    assert_eq!((still.same, still.mean_flipped_layers, still.regret.most), (12, 0.0, 0.0));
    assert_eq!((still.objective.least, still.objective.most), (base.objective, base.objective));
    let shaken = judge(0.6, 0);
    assert_eq!(shaken, judge(0.6, 0));
    assert_ne!(shaken, judge(0.6, 1));
    assert!(shaken.mean_flipped_layers > 0.0 && shaken.same < 12);
    // The judged policy is the best under the original indicators.
    assert!(shaken.regret.least >= 0.0 && shaken.regret.most > 0.0);
    let flips: usize = shaken.layers.iter().map(|layer| layer.flips).sum();
    assert!((flips as f64 / 12.0 - shaken.mean_flipped_layers).abs() < 1e-12);
    for layer in &shaken.layers {
        assert_eq!(layer.flips, layer.to.iter().map(|(_, times)| times).sum::<usize>());
        assert!(layer.weight_flips <= layer.flips && layer.act_flips <= layer.flips);
        assert!(layer.weight_flips + layer.act_flips >= layer.flips);
    }
    assert!(search.stability(&instance, &base, [], named).unwrap().is_none());
}

/// Whatever a command solves after its time is over is left out, and said to be.
#[test]
fn a_deadline_that_has_passed_leaves_what_there_is() {
    let small = Small::new(&["size=9.5x..7.5x", "bitops=w4a4"]);
    let (search, solver) = (small.search(), brute_force());
    let late = NamedSolver { deadline: Deadline::after(0.0), ..NamedSolver::new("brute_force", &*solver) };
    let front = search.front(&small.swept, Steps::Even(5), late).unwrap();
    assert_eq!((front.points.len(), front.cells.len(), front.solves), (1, 5, 1));
    assert!(front.cells[0].proven);
    assert!(front.cells[1..].iter().all(|cell| cell.point.is_none() && !cell.proven), "{:?}", front.cells);
    let all = search.front(&small.swept, Steps::All, late).unwrap();
    assert!(!all.every_point && all.points.len() == 1 && !all.cells.last().unwrap().proven);

    let mut instance = search.instance().unwrap();
    let best = search.solve(&instance, late, None).unwrap();
    let mut found = search.found(&instance, &best, late.name);
    search.shadow_prices(&mut instance, &best, late, &mut found.budgets);
    assert!(found.budgets.iter().all(|budget| budget.gain_of_one_percent.is_none()));
    let noisy = (0..5).map(|sample| noisy(&small.indicators, 0.1, 1, sample));
    assert_eq!(search.stability(&instance, &best, noisy, late).unwrap().unwrap().searches, 1);
    let Top { ranked, complete } = search.top(&instance, best, late, 3).unwrap();
    assert!(!complete, "that there are others is not ruled out");
    assert!(ranked.len() == 1 && ranked[0].proven);
    let Err(SearchError::Infeasible(refused)) = Small::new(&["size=30x", "bitops=w4a4"]).search().run(late) else {
        panic!("size=30x is out of reach");
    };
    assert!(refused.cut_short && refused.conflict.is_none());
    assert!(refused.to_string().contains("size=30x: asked"), "{refused}");
}

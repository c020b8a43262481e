//! Answers against trying every policy: shadow prices, budgets on peaks; and an answer that does not hold.

use crate::constraints::{Case, assert_best, case};
use limpq_core::registry::build;
use limpq_core::search::{Answer, Found, NamedSolver, Precision, Problem, Solver, SolverError, Status};

fn solver(name: &str) -> Box<dyn Solver> {
    build::<dyn Solver>(name, &toml::Table::new()).unwrap()
}

/// The answer of `exact` with its shadow prices, found by another solver.
fn priced(case: &Case, by: &dyn Solver) -> Found {
    let (search, exact) = (case.search(), solver("exact"));
    let mut instance = search.instance().unwrap();
    let solved = search.solve(&instance, NamedSolver::new("exact", exact.as_ref()), None).unwrap();
    let mut found = search.found(&instance, &solved, "exact");
    search.shadow_prices(&mut instance, &solved, NamedSolver::new("other", by), &mut found.budgets);
    assert_eq!(instance.problem, search.instance().unwrap().problem, "the limits are as before");
    found
}

/// Every budget one percent wider in turn, also those that no single layer meets.
#[test]
fn one_percent_more_gains_what_trying_every_policy_finds() {
    let mut gains = vec![];
    for budgets in [
        &["bitops=w3a3", "size=10x"][..],
        &["bitops=w2a4", "size=9x", "average_act_bits=3.5"],
        &["bitops=w4a4", "size=12x..9x"],
        &["total_memory=50kB", "bitops=w3a4"],
        &["bitops=w3a4", "size=11x"],
        &["size=9x", "average_act_bits=2.9"],
        &["size=8.1x", "bitops=w4a3"],
        &["average_bits=3", "size=10.5x"],
        &["average_weight_bits=3.1", "bitops=w2a3", "average_act_bits=3.3"],
    ] {
        let case = case(budgets, &[], &[]);
        let found = priced(&case, solver("exact").as_ref());
        let compiled = case.search().constraints.compile().unwrap();
        for (budget, used) in found.budgets.iter().enumerate() {
            let best = case.best(|bits| {
                let mut limits = compiled.tables.iter().zip(&compiled.limits).enumerate();
                limits.all(|(index, (table, limits))| {
                    let cost = table.total(bits.iter().copied()).unwrap();
                    let more = |most| if index == budget { most + most / 100 } else { most };
                    limits.most.is_none_or(|most| cost <= more(most)) && limits.least <= Some(cost)
                })
            });
            let gain = used.gain_of_one_percent.unwrap();
            assert!((found.objective - best - gain).abs() < 1e-12, "{}: {gain}, {best}", used.asked);
            gains.push((used.binding, gain > 0.0));
        }
    }
    // (binding, gains something)
    for seen in [(true, true), (true, false), (false, false)] {
        assert!(gains.contains(&seen), "{seen:?} is not among {gains:?}");
    }
}

/// A solver whose answers to problems with wider budgets are of no use.
struct Tired(fn(Answer) -> Result<Answer, SolverError>);

impl Solver for Tired {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        (self.0)(solver("exact").solve(problem)?)
    }
}

#[test]
fn a_gain_that_is_not_proven_is_not_known() {
    let case = case(&["bitops=w3a3", "size=10x"], &[], &[]);
    let gains = |by: &dyn Solver| -> Vec<Option<f64>> {
        priced(&case, by).budgets.iter().map(|budget| budget.gain_of_one_percent).collect()
    };
    assert_eq!(gains(&Tired(|answer| Ok(Answer { status: Status::Stopped, ..answer }))), [None, None]);
    assert_eq!(
        gains(&Tired(|_| Err(SolverError::NothingFound { limit: "a limit".into(), option: "none" }))),
        [None, None]
    );
    assert!(gains(&Tired(Ok)).iter().all(Option::is_some));

    // After an answer that is not proven nothing is solved again.
    let (search, never) = (case.search(), Tired(|_| panic!("it was asked")));
    let mut instance = search.instance().unwrap();
    let exact = solver("exact");
    let mut solved = search.solve(&instance, NamedSolver::new("exact", exact.as_ref()), None).unwrap();
    solved.proof.status = Status::Stopped;
    let mut found = search.found(&instance, &solved, "exact");
    search.shadow_prices(&mut instance, &solved, NamedSolver::new("never", &never), &mut found.budgets);
    assert!(found.budgets.iter().all(|budget| budget.gain_of_one_percent.is_none()));
}

/// Says that the first policy is the best one.
struct First;

impl Solver for First {
    fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
        let picks = vec![0; problem.groups.len()];
        Ok(Answer { picks, status: Status::Optimal, bound: None, nodes: None })
    }
}

/// The first policy has 4 bits everywhere: 4 * 76288 of the searched weights and 8 * 1072 of stem and classifier are 313728.
#[test]
fn an_answer_that_overruns_a_budget_by_one_unit_is_refused() {
    let ask = |limit: &str| {
        let case = case(&["bitops=w4a4", limit], &[], &[]);
        case.search().run(NamedSolver::new("first", &First)).map_err(|error| error.to_string())
    };
    assert_eq!(
        ask("size=313727bits").unwrap_err(),
        "first returned a policy that overruns budget size=313727bits by 1 units in exact arithmetic; this is a numerical \
         fault of that solver, use another one"
    );
    assert_eq!(ask("size=313728bits").unwrap().proof.status, Status::Optimal);
}

/// A peak is the largest of many sums, and each is a row of the problem.
#[test]
fn budgets_on_peaks_are_kept_and_no_policy_within_them_is_better() {
    let mut narrowed = 0;
    for (name, limit) in [
        ("activation_memory", "w2a3"),
        ("activation_memory", "w2a2"),
        ("total_memory", "w3a2"),
        ("total_memory", "w2a4"),
        ("total_memory", "50kB"),
    ] {
        let case = case(&[&format!("{name}={limit}"), "bitops=w3a4"], &[], &[]);
        let tables = [name, "bitops"].map(|name| case.table(name));
        assert!(name != "activation_memory" || tables[0].sums.len() > 1, "{} sums", tables[0].sums.len());
        let limits = case.search().constraints.compile().unwrap().limits;
        let keeps =
            |bits: &[Precision], budget: usize| tables[budget].total(bits.iter().copied()) <= limits[budget].most;
        assert_best(&case, |bits| keeps(bits, 0) && keeps(bits, 1));
        narrowed += usize::from(case.found().unwrap().objective > case.best(|bits| keeps(bits, 1)));
    }
    assert!(narrowed > 2, "{narrowed} of the peaks are in the way of anything");
}

#[test]
fn a_peak_has_no_lower_end() {
    assert_eq!(
        case(&["activation_memory=w2a2.."], &[], &[]).refused(),
        "budget activation_memory=w2a2..: activation_memory is a peak, the largest of several sums, so that a lower limit \
         on it is not a linear constraint; give only an upper end"
    );
}

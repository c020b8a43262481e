//! One problem, one answer: the optimum with its ties, at every size of loss and cost, however the search goes.

use super::{
    Written,
    generated::{correlated, large, random, small},
    oracle::oracle,
    problem,
};
use crate::{Error, Limits, Problem, Solution, Status, limits::Settings, run, solve, solve_from};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

fn solved(problem: &Problem) -> Result<Solution, Error> {
    solve(problem, &Limits::default())
}

/// With bounds that keep a row exactly once so many nodes have been looked at.
fn solved_with_tables(problem: &Problem, tables_after: u64) -> Solution {
    run(problem, None, &Settings { limits: Limits::default(), tables_after }).unwrap()
}

#[test]
fn ties_are_broken_as_by_trying_everything() {
    let (mut found, mut refused) = (0, 0);
    for seed in 0..4000 {
        let problem = small(seed);
        match (solved(&problem), oracle(&problem)) {
            (Ok(ours), Some(best)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &best), "seed {seed}: {problem:?}");
                assert_eq!((ours.gap(), ours.objective), (0.0, problem.objective(&best)));
                found += 1;
                // From the start, and once a pass is done.
                for tables_after in [0, 1] {
                    let again = solved_with_tables(&problem, tables_after);
                    assert_eq!(again.picks, ours.picks, "seed {seed}: another answer with tables: {problem:?}");
                }
                for start in [vec![0; problem.groups.len()], vec![9; problem.groups.len()], vec![]] {
                    let again = solve_from(&problem, &start, &Limits::default()).unwrap();
                    assert_eq!(again.picks, ours.picks, "seed {seed}: another answer from {start:?}");
                }
            }
            (Err(Error::Infeasible), None) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(found > 1000 && refused > 500, "{found} solved, {refused} refused");
}

#[test]
fn tables_do_not_change_the_answer_of_large_problems() {
    let mut compared = 0;
    for seed in 0..1000 {
        let problem = large(seed);
        let Ok(ours) = solved(&problem) else { continue };
        assert!(ours.status == Status::Optimal && problem.feasible(&ours.picks), "seed {seed}");
        for tables_after in [0, 1] {
            assert_eq!(solved_with_tables(&problem, tables_after).picks, ours.picks, "seed {seed}");
        }
        compared += 1;
    }
    assert!(compared > 500, "{compared} compared");
}

/// Every option draws the size of its loss anew, over eighteen orders of magnitude. Sums of floats round, so objectives
/// are compared.
#[test]
fn losses_of_every_size_are_told_apart() {
    let mut found = 0;
    for seed in 0..2000 {
        let mut problem = small(seed);
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        for choice in problem.groups.iter_mut().flat_map(|group| &mut group.choices) {
            choice.loss = random.random_range(1.0..10.0) * 10f64.powf(random.random_range(-9.0..9.0));
        }
        match (solved(&problem), oracle(&problem)) {
            (Ok(ours), Some(best)) => {
                assert!(ours.status == Status::Optimal && problem.feasible(&ours.picks), "seed {seed}");
                let best = problem.objective(&best);
                assert!((ours.objective - best).abs() <= 1e-12 * best, "seed {seed}: {ours:?}, not {best}");
                found += 1;
            }
            (Err(Error::Infeasible), None) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(found > 500, "{found} solved");
}

/// Thirty groups that are all alike: every order of the same options ties.
#[test]
fn groups_that_are_alike_tie() {
    let group: &[Written<'_>] = &[(4, 4.0, &[1]), (6, 2.0, &[2]), (8, 1.0, &[3])];
    let problem = problem(&[group; 30], &[61]);
    let ours = solved(&problem).unwrap();
    assert_eq!((ours.status, ours.objective, problem.uses(&ours.picks)), (Status::Optimal, 59.0, vec![61]));
}

#[test]
fn no_losses_and_two_budgets_that_exclude_each_other() {
    let group: &[Written<'_>] = &[(4, 0.0, &[10, 30]), (6, 0.0, &[20, 20]), (8, 0.0, &[30, 10])];
    assert_eq!(solved(&problem(&[group; 40], &[790, 800])), Err(Error::Infeasible));
    assert!(solved(&problem(&[group; 40], &[800, 800])).is_ok());
}

/// Three tight budgets over many groups, out of reach together by little.
#[test]
fn budgets_that_many_groups_cannot_keep_together() {
    assert_eq!(solved(&random(1859, 27, 6, 3, 1000)), Err(Error::Infeasible));
}

#[test]
fn costs_near_the_end_of_their_range() {
    let most = u64::MAX;
    let group: &[Written<'_>] = &[(4, 2.0, &[most - 1]), (6, 1.0, &[most])];
    let limit = 2 * i128::from(most) - 1;
    assert_eq!(solved(&problem(&[group, group], &[limit])).unwrap().picks, [0, 1]);
    assert_eq!(solved(&problem(&[group, group], &[i128::MAX])).unwrap().picks, [1, 1]);
    assert_eq!(solved(&problem(&[group, group], &[i128::MIN])), Err(Error::Infeasible));
}

/// More limits than there is code for. Two groups that may both have the costly option overrun all but the first.
#[test]
fn more_limits_than_there_is_code_for() {
    let costs: Vec<u64> = (0..300).collect();
    let none = vec![0; 300];
    let group: &[Written<'_>] = &[(4, 2.0, &none), (6, 1.0, &costs)];
    let limits: Vec<i128> = (0..300).collect();
    assert_eq!(solved(&problem(&[group], &limits)).unwrap().picks, [1]);
    let ours = solved(&problem(&[group, group], &limits)).unwrap();
    assert_eq!((ours.status, ours.picks), (Status::Optimal, vec![0, 1]), "the first of two that tie");
}

#[test]
fn costs_beyond_63_bits_are_exact_or_refused() {
    let group: &[Written<'_>] = &[(4, 2.0, &[0]), (6, 1.0, &[1 << 63])];
    // A limit that cannot bind, one that allows a single unit less than both, and one below what a group may have.
    let solve = |limit: i128| solved(&problem(&[group, group], &[limit]));
    assert_eq!(solve(1 << 64).unwrap().picks, [1, 1]);
    assert_eq!(solve((1 << 64) - 1), Err(Error::TooWide { row: 0 }));
    assert_eq!(solve((1 << 63) - 1).unwrap().picks, [0, 0]);
}

/// A limit of nodes ends the search at the same place every time, and more nodes prove no less.
#[test]
fn a_limit_of_nodes_gives_the_same_answer_every_time() {
    let problem = correlated(1, 60, 25);
    let solve = |nodes| solve(&problem, &Limits { nodes, deadline: None }).unwrap();
    let mut before: Option<Solution> = None;
    for nodes in [1000, 100_000] {
        let ours = solve(nodes);
        assert_eq!(ours, solve(nodes), "{nodes} nodes");
        assert!(ours.status == Status::Stopped && ours.bound < ours.objective && ours.gap() > 0.0);
        if let Some(before) = before {
            assert!(before.bound <= ours.bound && before.nodes < ours.nodes && before.objective >= ours.objective);
        }
        before = Some(ours);
    }
}

#[test]
fn a_deadline_in_the_past_ends_the_search() {
    let limits = Limits { deadline: Some(Instant::now()), ..Limits::default() };
    let ours = solve(&correlated(1, 60, 25), &limits).unwrap();
    assert!(ours.status == Status::Stopped && ours.bound <= ours.objective);
    let impossible = random(1859, 27, 6, 3, 1000);
    assert_eq!(solve(&impossible, &limits), Err(Error::DeadlinePassed));
}

/// Losses beyond what fixed point holds at once: what the large ones leave open, the small ones decide.
#[test]
fn tiny_losses_beside_large_ones_decide_what_is_left() {
    let large: &[Written<'_>] = &[(4, 1.0, &[1]), (8, 0.0, &[3])];
    let tiny: &[Written<'_>] = &[(4, 3e-288, &[1]), (6, 2e-288, &[2]), (8, 1e-288, &[3])];
    for (limit, best) in [(10, 2e-288), (8, 3e-288), (7, 4e-288), (6, 5e-288), (4, 1.0)] {
        let ours = solved(&problem(&[large, tiny, tiny], &[limit])).unwrap();
        assert_eq!(ours.status, Status::Optimal, "{limit}");
        assert!((ours.objective - best).abs() <= 1e-12 * best, "{limit}: {ours:?}");
    }
    // Every size there is, one beside another.
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for seed in 0..500 {
        let mut problem = small(seed);
        for choice in problem.groups.iter_mut().flat_map(|group| &mut group.choices) {
            choice.loss = random.random_range(1.0..10.0) * 10f64.powf(random.random_range(-300.0..290.0));
        }
        let (Ok(ours), Some(best)) = (solved(&problem), oracle(&problem)) else { continue };
        let best = problem.objective(&best);
        assert!((ours.objective - best).abs() <= 1e-12 * best, "seed {seed}: {ours:?}, not {best}");
    }
}

//! The exact solver against the contract, brute force and HiGHS.

use super::*;
use crate::solvers::{BruteForce, contract};
use limpq_core::search::{BitWidth, Choice, Group, Precision, Row};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn keeps_the_contract() {
    contract::check(&Exact::default());
}

#[test]
fn stops_honestly() {
    contract::stops_honestly(|seconds| Box::new(Exact { time_limit_s: Seconds::new(seconds).unwrap() }));
}

/// Losses are eighths and costs small numbers, so that many policies tie exactly and budgets are often just met.
fn small(seed: u64) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows = random.random_range(0..=3);
    let groups = (0..random.random_range(0..=5)).map(|group| Group {
        layers: vec![format!("layer{group}")],
        choices: (0..random.random_range(1..=5))
            .map(|_| Choice {
                bits: vec![Precision {
                    weight: BitWidth::new(random.random_range(2..=4)).unwrap(),
                    act: BitWidth::new(random.random_range(2..=4)).unwrap(),
                }],
                loss: f64::from(random.random_range(0..=10)) / 8.0 * [1.0, 0.0, 1e-9, 1e9][seed as usize % 16 / 4],
                costs: (0..rows).map(|_| random.random_range(0..=6)).collect(),
            })
            .collect(),
    });
    let groups: Vec<Group> = groups.collect();
    let most = 6 * groups.len() as i128;
    let row = |row: usize| Row { name: format!("row{row}"), limit: random.random_range(-1..=most) };
    Problem { rows: (0..rows).map(row).collect(), groups }
}

#[test]
fn ties_are_broken_as_by_trying_everything() {
    let (mut solved, mut refused) = (0, 0);
    for seed in 0..4000 {
        let problem = small(seed);
        match (Exact::default().solve(&problem), BruteForce::default().solve(&problem)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &theirs.picks), "seed {seed}: {problem:?}");
                solved += 1;
                // From the start, and once a pass is done.
                for keep_after in [0, 1] {
                    let keeping = Exact::default().solve_keeping(&problem, None, keep_after).unwrap();
                    assert_eq!(
                        keeping.picks, ours.picks,
                        "seed {seed}: another answer where rows are kept: {problem:?}"
                    );
                }
                for near in [vec![0; problem.groups.len()], vec![9; problem.groups.len()], vec![]] {
                    let again = Exact::default().solve_near(&problem, Some(&near)).unwrap();
                    assert_eq!(again.picks, ours.picks, "seed {seed}: another answer near {near:?}");
                }
            }
            (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved > 1000 && refused > 500, "{solved} solved, {refused} refused");
}

/// Every option draws the size of its loss anew, over eighteen orders of magnitude. Sums of floats round, so objectives
/// are compared.
#[test]
fn losses_of_every_size_are_told_apart() {
    let mut solved = 0;
    for seed in 0..2000 {
        let mut problem = small(seed);
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        for choice in problem.groups.iter_mut().flat_map(|group| &mut group.choices) {
            choice.loss = random.random_range(1.0..10.0) * 10f64.powf(random.random_range(-9.0..9.0));
        }
        match (Exact::default().solve(&problem), BruteForce::default().solve(&problem)) {
            (Ok(ours), Ok(theirs)) => {
                assert!(ours.status == Status::Optimal && problem.feasible(&ours.picks), "seed {seed}");
                let (ours, theirs) = (problem.objective(&ours.picks), problem.objective(&theirs.picks));
                assert!((ours - theirs).abs() <= 1e-12 * theirs, "seed {seed}: {ours} and {theirs}");
                solved += 1;
            }
            (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved > 500, "{solved} solved");
}

/// Too large to try everything: more layers, one to three budgets, costs that tie often or never. Among them costs of 0 to
/// 3, layers of one option, and limits that are exactly what some policy costs.
#[cfg(feature = "highs")]
fn large(seed: u64) -> Problem {
    let (groups, rows) = (6 + seed as usize % 13, 1 + seed as usize % 3);
    let mut problem = contract::random(seed, groups, 6, rows, [20, 1000, 1_000_000_000][seed as usize / 3 % 3]);
    let mut random = ChaCha8Rng::seed_from_u64(!seed);
    if seed % 4 == 1 {
        let choices = problem.groups.iter_mut().flat_map(|group| &mut group.choices);
        choices.flat_map(|choice| &mut choice.costs).for_each(|cost| *cost %= 4);
    }
    if seed % 5 == 1 {
        problem.groups.iter_mut().step_by(3).for_each(|group| group.choices.truncate(1));
    }
    if seed % 4 == 1 || seed % 7 == 1 {
        let picks: Vec<usize> =
            problem.groups.iter().map(|group| random.random_range(0..group.choices.len())).collect();
        for row in 0..problem.rows.len() {
            problem.rows[row].limit = problem.used(&picks, row);
        }
    }
    problem
}

#[cfg(feature = "highs")]
#[test]
fn agrees_with_highs() {
    let (mut solved, mut refused) = (0, 0);
    for seed in 0..3000 {
        let problem = large(seed);
        match (Exact::default().solve(&problem), crate::solvers::Highs::default().solve(&problem)) {
            (Ok(ours), Ok(theirs)) => {
                assert!(ours.status == Status::Optimal && problem.feasible(&ours.picks), "seed {seed}");
                for keep_after in [0, 1] {
                    let keeping = Exact::default().solve_keeping(&problem, None, keep_after).unwrap();
                    assert_eq!(keeping.picks, ours.picks, "seed {seed}: another answer where rows are kept");
                }
                let (ours, theirs) = (problem.objective(&ours.picks), problem.objective(&theirs.picks));
                assert!((ours - theirs).abs() <= 1e-7 * theirs.abs(), "seed {seed}: {ours} and {theirs}");
                solved += 1;
            }
            (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved > 1500, "{solved} solved, {refused} refused");
}

/// Thirty layers that are all alike: every order of the same bits ties.
#[test]
fn layers_that_are_alike_tie() {
    let group: &[contract::Written<'_>] = &[(2, 4.0, &[1]), (3, 2.0, &[2]), (4, 1.0, &[3])];
    let problem = contract::problem(&[group; 30], &[61]);
    let answer = Exact::default().solve(&problem).unwrap();
    assert_eq!(answer.status, Status::Optimal);
    assert_eq!(problem.objective(&answer.picks), 59.0);
    assert_eq!(problem.used(&answer.picks, 0), 61);
}

#[test]
fn no_losses_and_two_budgets_that_exclude_each_other() {
    let group: &[contract::Written<'_>] = &[(2, 0.0, &[10, 30]), (3, 0.0, &[20, 20]), (4, 0.0, &[30, 10])];
    let refused = Exact::default().solve(&contract::problem(&[group; 40], &[790, 800]));
    assert!(matches!(refused, Err(SolverError::Infeasible)), "{refused:?}");
    assert!(Exact::default().solve(&contract::problem(&[group; 40], &[800, 800])).is_ok());
}

/// Three tight budgets over many layers, out of reach together by little.
#[test]
fn budgets_that_many_layers_cannot_keep_together() {
    let problem = contract::random(1859, 27, 6, 3, 1000);
    let refused = Exact::default().solve(&problem);
    assert!(matches!(refused, Err(SolverError::Infeasible)), "{refused:?}");
}

#[test]
fn costs_near_the_end_of_their_range() {
    let most = u64::MAX;
    let group: &[contract::Written<'_>] = &[(2, 2.0, &[most - 1]), (3, 1.0, &[most])];
    let limit = 2 * i128::from(most) - 1;
    let answer = Exact::default().solve(&contract::problem(&[group, group], &[limit])).unwrap();
    assert_eq!(answer.picks, [0, 1]);
}

#[test]
fn more_limits_than_there_is_code_for_are_refused() {
    let costs: Vec<u64> = (0..300).collect();
    let none = vec![0; 300];
    let group: &[contract::Written<'_>] = &[(2, 2.0, &none), (3, 1.0, &costs)];
    let limits: Vec<i128> = (0..300).collect();
    // One layer can never overrun these; two can, all but the first.
    assert!(Exact::default().solve(&contract::problem(&[group], &limits)).is_ok());
    let refused = Exact::default().solve(&contract::problem(&[group, group], &limits)).unwrap_err();
    assert_eq!(refused.to_string(), "exact failed: 299 limits can bind, it handles 256; use another solver");
}

#[test]
fn costs_beyond_63_bits_are_exact_or_refused() {
    let half = 1 << 63;
    let group: &[contract::Written<'_>] = &[(2, 2.0, &[0]), (3, 1.0, &[half])];
    // A limit that cannot bind, one that allows a single unit less than both, and one below what a group may have.
    let solve = |limit: i128| Exact::default().solve(&contract::problem(&[group, group], &[limit]));
    assert_eq!(solve(1 << 64).unwrap().picks, [1, 1]);
    let refused = solve((1 << 64) - 1).unwrap_err().to_string();
    assert!(refused.ends_with("spans more than 2^63 units between its ends; use a coarser unit"), "{refused}");
    assert_eq!(solve((1 << 63) - 1).unwrap().picks, [0, 0]);
}

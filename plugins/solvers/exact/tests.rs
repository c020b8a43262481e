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
    contract::stops_honestly(|seconds| {
        Box::new(Exact { time_limit_s: Some(Seconds::new(seconds).unwrap()), ..Exact::default() })
    });
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
                costs: (0..rows).map(|row| (row, random.random_range(0..=6))).collect(),
            })
            .collect(),
    });
    let groups: Vec<Group> = groups.collect();
    let most = 6 * groups.len() as i128;
    let row = |row: usize| Row::new(format!("row{row}"), random.random_range(-1..=most));
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
                    let keeping = Exact::default().solve_keeping(&problem, Beside::default(), keep_after).unwrap();
                    assert_eq!(
                        keeping.picks, ours.picks,
                        "seed {seed}: another answer where rows are kept: {problem:?}"
                    );
                }
                for near in [vec![0; problem.groups.len()], vec![9; problem.groups.len()], vec![]] {
                    let beside = Beside { near: Some(&near), ..Beside::default() };
                    let again = Exact::default().solve_beside(&problem, beside).unwrap();
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
        choices.for_each(|choice| choice.costs = choice.costs.iter().map(|(row, cost)| (row, cost % 4)).collect());
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
                    let keeping = Exact::default().solve_keeping(&problem, Beside::default(), keep_after).unwrap();
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

/// More limits than there is code for. Two layers that may both have the costly option overrun all but the first.
#[test]
fn more_limits_than_there_is_code_for() {
    let costs: Vec<u64> = (0..300).collect();
    let none = vec![0; 300];
    let group: &[contract::Written<'_>] = &[(2, 2.0, &none), (3, 1.0, &costs)];
    let limits: Vec<i128> = (0..300).collect();
    assert_eq!(Exact::default().solve(&contract::problem(&[group], &limits)).unwrap().picks, [1]);
    let answer = Exact::default().solve(&contract::problem(&[group, group], &limits)).unwrap();
    assert_eq!((answer.status, answer.picks), (Status::Optimal, vec![0, 1]), "the first of two that tie");
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

/// Many rows: some know all groups, most a few that lie together, and some of these count what the first row counts, too.
/// Losses are eighths, so that policies tie.
fn many_rows(seed: u64) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows = random.random_range(33..=90);
    let (wide, reach) = (random.random_range(0..=2), random.random_range(1..=3));
    let based = seed.is_multiple_of(3);
    let mut problem = contract::problem(&[], &[]);
    let count = random.random_range(1..=9);
    let most = if count > 6 { 2 } else { 4 };
    let first: Vec<usize> = (0..rows).map(|_| random.random_range(0..count)).collect();
    for group in 0..count {
        let knows = |row: usize| row < wide || (first[row]..first[row] + reach).contains(&group);
        // Costs rise with the bits and losses fall, more or less.
        let scale: Vec<u64> = (0..rows).map(|row| if knows(row) { random.random_range(0..=3) } else { 0 }).collect();
        let choices = (0..if count > 6 { most } else { random.random_range(1..=most) }).map(|_| {
            let bits = random.random_range(2..=4);
            Choice {
                bits: vec![Precision::uniform(bits).unwrap()],
                loss: f64::from(random.random_range(0..=4) + 3 * (4 - bits as u32)) / 8.0,
                costs: scale
                    .iter()
                    .map(|scale| scale * bits + random.random_range(0..=1) * scale.min(&1))
                    .enumerate()
                    .collect(),
            }
        });
        problem.groups.push(Group { layers: vec![format!("layer{group}")], choices: choices.collect() });
    }
    for row in 0..rows {
        let base = (based && wide > 0 && row >= wide && row % 2 == 0).then_some(0);
        problem.rows.push(Row { base, ..Row::new(format!("row{row}"), 0) });
    }
    let ease = random.random_range(2..=8);
    for (row, span) in problem.spans().into_iter().enumerate() {
        let share = random.random_range(ease..=10);
        problem.rows[row].limit = span.least + (span.most - span.least) * share / 10;
    }
    problem
}

#[test]
fn many_rows_are_kept_as_by_trying_everything() {
    let (mut solved, mut refused) = (0, 0);
    for seed in 0..3000 {
        let problem = many_rows(seed);
        match (Exact::default().solve(&problem), BruteForce::default().solve(&problem)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &theirs.picks), "seed {seed}: {problem:?}");
                let near = vec![0; problem.groups.len()];
                let beside = Beside { near: Some(&near), ..Beside::default() };
                let again = Exact::default().solve_beside(&problem, beside).unwrap();
                assert_eq!(again.picks, ours.picks, "seed {seed}: another answer near the first options");
                solved += 1;
            }
            (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved > 1000 && refused > 100, "{solved} solved, {refused} refused");
}

/// All rows at once, without the rounds that let them in: states for the narrow ones, prices and a beam for the wide ones.
#[test]
fn chains_are_solved_as_by_trying_everything() {
    let limits = Limits { nodes: u64::MAX, deadline: Deadline::NEVER };
    let (mut solved, mut refused) = ([0, 0], 0);
    for seed in 0..3000 {
        let problem = many_rows(seed);
        if problem.rows.iter().any(|row| row.base.is_some()) {
            continue;
        }
        let Some(ours) = chain::solve(&problem, &limits) else { continue };
        match (ours, BruteForce::default().solve(&problem)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &theirs.picks), "seed {seed}: {problem:?}");
                let varies = |row: usize, group: &Group| {
                    group.choices.iter().any(|choice| choice.costs.of(row) != group.choices[0].costs.of(row))
                };
                let members = |row| problem.groups.iter().filter(|group| varies(row, group)).count();
                let wide = (0..problem.rows.len()).any(|row| members(row) > chain::MOST_MEMBERS);
                solved[usize::from(wide)] += 1;
            }
            (Err(SolverError::Infeasible), Err(SolverError::Infeasible)) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved.iter().all(|solved| *solved > 20) && refused > 10, "{solved:?} solved, {refused} refused");
}

/// Whatever ends a search of many rows, its policy keeps all of them and its bound holds.
#[test]
fn many_rows_stop_honestly() {
    let mut stopped = 0;
    for seed in 0..300 {
        let problem = many_rows(seed);
        let Ok(best) = BruteForce::default().solve(&problem) else { continue };
        let optimum = problem.objective(&best.picks);
        for nodes in [1, 3, 10] {
            let limited = Exact { node_limit: NonZeroU64::new(nodes).unwrap(), time_limit_s: None };
            match limited.solve(&problem) {
                Ok(answer) if answer.status == Status::Optimal => assert_eq!(answer.picks, best.picks, "seed {seed}"),
                Ok(answer) => {
                    assert!(problem.feasible(&answer.picks), "seed {seed}, {nodes} nodes");
                    assert!(answer.bound.unwrap() <= optimum + 1e-9, "seed {seed}, {nodes} nodes: {answer:?}");
                    stopped += 1;
                }
                Err(error) => assert!(matches!(error, SolverError::NothingFound { .. }), "seed {seed}: {error}"),
            }
        }
    }
    assert!(stopped > 0, "{stopped} stopped");
}

/// A limit of nodes ends the search at the same place every time, and more nodes prove no less.
#[test]
fn a_limit_of_nodes_gives_the_same_answer_every_time() {
    let problem = contract::correlated(1, 60, 25);
    let solve = |nodes| Exact { node_limit: NonZeroU64::new(nodes).unwrap(), time_limit_s: None }.solve(&problem);
    let mut before: Option<Answer> = None;
    for nodes in [1000, 100_000] {
        let answer = solve(nodes).unwrap();
        assert_eq!(answer, solve(nodes).unwrap(), "{nodes} nodes");
        assert_eq!(answer.status, Status::Stopped);
        assert!(answer.bound.unwrap() < problem.objective(&answer.picks));
        if let Some(before) = before {
            assert!(before.bound <= answer.bound && before.nodes < answer.nodes);
            assert!(problem.objective(&before.picks) >= problem.objective(&answer.picks));
        }
        before = Some(answer);
    }
}

/// Losses beyond what fixed point holds at once: what the large ones leave open, the small ones decide.
#[test]
fn tiny_losses_beside_large_ones_decide_what_is_left() {
    let large: &[contract::Written<'_>] = &[(2, 1.0, &[1]), (4, 0.0, &[3])];
    let tiny: &[contract::Written<'_>] = &[(2, 3e-288, &[1]), (3, 2e-288, &[2]), (4, 1e-288, &[3])];
    for (limit, best) in [(10, 2e-288), (8, 3e-288), (7, 4e-288), (6, 5e-288), (4, 1.0)] {
        let problem = contract::problem(&[large, tiny, tiny], &[limit]);
        let answer = Exact::default().solve(&problem).unwrap();
        let objective = problem.objective(&answer.picks);
        assert_eq!(answer.status, Status::Optimal, "{limit}");
        assert!((objective - best).abs() <= 1e-12 * best, "{limit}: {objective}");
    }
    // Every size there is, one beside another.
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for seed in 0..500 {
        let mut problem = small(seed);
        for choice in problem.groups.iter_mut().flat_map(|group| &mut group.choices) {
            choice.loss = random.random_range(1.0..10.0) * 10f64.powf(random.random_range(-300.0..290.0));
        }
        let (Ok(ours), Ok(theirs)) = (Exact::default().solve(&problem), BruteForce::default().solve(&problem)) else {
            continue;
        };
        let (ours, theirs) = (problem.objective(&ours.picks), problem.objective(&theirs.picks));
        assert!((ours - theirs).abs() <= 1e-12 * theirs, "seed {seed}: {ours} and {theirs}");
    }
}

//! Problems of dozens of rows.

use super::{generated::many_rows, oracle::oracle};
use crate::{Error, Group, Limits, Status, layered, solve, solve_from};

#[test]
fn many_rows_are_kept_as_by_trying_everything() {
    let (mut solved, mut refused) = (0, 0);
    for seed in 0..3000 {
        let problem = many_rows(seed);
        match (solve(&problem, &Limits::default()), oracle(&problem)) {
            (Ok(ours), Some(best)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &best), "seed {seed}: {problem:?}");
                let start = vec![0; problem.groups.len()];
                let again = solve_from(&problem, &start, &Limits::default()).unwrap();
                assert_eq!(again.picks, ours.picks, "seed {seed}: another answer from the first options");
                solved += 1;
            }
            (Err(Error::Infeasible), None) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved > 1000 && refused > 100, "{solved} solved, {refused} refused");
}

/// All rows at once, without the rounds that let them in: states for the narrow ones, multipliers and a beam for the
/// wide ones.
#[test]
fn layered_graphs_are_solved_as_by_trying_everything() {
    let limits = Limits { nodes: u64::MAX, deadline: None };
    let (mut solved, mut refused) = ([0, 0], 0);
    for seed in 0..3000 {
        let problem = many_rows(seed);
        if problem.rows.iter().any(|row| row.base.is_some()) {
            continue;
        }
        let Some(ours) = layered::solve(&problem, &limits) else { continue };
        match (ours, oracle(&problem)) {
            (Ok(ours), Some(best)) => {
                assert_eq!((ours.status, &ours.picks), (Status::Optimal, &best), "seed {seed}: {problem:?}");
                let varies = |row: usize, group: &Group| {
                    group.choices.iter().any(|choice| choice.costs.of(row) != group.choices[0].costs.of(row))
                };
                let members = |row| problem.groups.iter().filter(|group| varies(row, group)).count();
                let wide = (0..problem.rows.len()).any(|row| members(row) > layered::MOST_MEMBERS);
                solved[usize::from(wide)] += 1;
            }
            (Err(Error::Infeasible), None) => refused += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(solved.iter().all(|solved| *solved > 20) && refused > 10, "{solved:?} solved, {refused} refused");
}

/// Whatever ends a search of many rows, its solution keeps all of them and its bound holds.
#[test]
fn many_rows_stop_honestly() {
    let mut stopped = 0;
    for seed in 0..300 {
        let problem = many_rows(seed);
        let Some(best) = oracle(&problem) else { continue };
        let optimum = problem.objective(&best);
        for nodes in [1, 3, 10] {
            match solve(&problem, &Limits { nodes, deadline: None }) {
                Ok(ours) if ours.status == Status::Optimal => assert_eq!(ours.picks, best, "seed {seed}"),
                Ok(ours) => {
                    assert!(problem.feasible(&ours.picks), "seed {seed}, {nodes} nodes");
                    assert!(ours.bound <= optimum + 1e-9, "seed {seed}, {nodes} nodes: {ours:?}");
                    stopped += 1;
                }
                Err(error) => assert!(error.is_limit(), "seed {seed}: {error}"),
            }
        }
    }
    assert!(stopped > 0, "{stopped} stopped");
}

//! The contract of every solver, as tests: results equal the oracle's, are exactly within budgets, are reproducible;
//! infeasibility is proven.

use super::BruteForce;
use limpq_core::search::{Choice, Group, NamedSolver, Precision, Problem, Proof, Row, Solver, SolverError, Status};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// (bits, loss, costs) of a choice.
pub(super) type Written<'a> = (u64, f64, &'a [u64]);

/// A problem written down by hand.
pub(super) fn problem(groups: &[&[Written<'_>]], limits: &[i128]) -> Problem {
    let choice = |&(bits, loss, costs): &Written<'_>| Choice {
        bits: vec![Precision::uniform(bits).unwrap()],
        loss,
        costs: costs.to_vec().into(),
    };
    let group = |(index, choices): (usize, &&[Written<'_>])| Group {
        layers: vec![format!("layer{index}")],
        choices: choices.iter().map(choice).collect(),
    };
    Problem { groups: groups.iter().enumerate().map(group).collect(), rows: rows(limits) }
}

fn rows(limits: &[i128]) -> Vec<Row> {
    limits.iter().enumerate().map(|(index, &limit)| Row::new(format!("row{index}"), limit)).collect()
}

/// Losses and costs drawn evenly and independently; limits between the least and the most that is possible.
pub(super) fn random(seed: u64, groups: usize, choices: usize, budgets: usize, largest: u64) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut group = |index: usize| Group {
        layers: vec![format!("layer{index}")],
        choices: (0..choices)
            .map(|_| Choice {
                bits: vec![Precision::uniform(random.random_range(2..=8)).unwrap()],
                loss: random.random_range(0.0..1.0),
                costs: (0..budgets).map(|row| (row, random.random_range(1..=largest))).collect(),
            })
            .collect(),
    };
    let groups: Vec<Group> = (0..groups).map(&mut group).collect();
    limited(groups, budgets, |_| random.random_range(0.05..0.7))
}

/// Two budgets whose costs are almost the negated loss: the instances that no method solves quickly.
pub(super) fn correlated(seed: u64, groups: usize, choices: usize) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut group = |index: usize| Group {
        layers: vec![format!("layer{index}")],
        choices: (0..choices)
            .map(|_| {
                let costs: Vec<u64> = (0..2).map(|_| random.random_range(100_000..=1_000_000)).collect();
                let noise: f64 = random.random_range(0.0..1000.0);
                let loss = (2_200_000.0 - costs.iter().sum::<u64>() as f64 + noise) * 1e-6;
                Choice { bits: vec![Precision::uniform(4).unwrap()], loss, costs: costs.into() }
            })
            .collect(),
    };
    let groups: Vec<Group> = (0..groups).map(&mut group).collect();
    limited(groups, 2, |_| 0.4)
}

/// Adds limits at a fraction of the range of possible costs.
fn limited(groups: Vec<Group>, budgets: usize, mut share: impl FnMut(usize) -> f64) -> Problem {
    let mut problem = Problem { groups, rows: rows(&vec![0; budgets]) };
    for row in 0..budgets {
        let costs = |group: &Group| group.choices.iter().map(|c| i128::from(c.costs.of(row))).max().unwrap();
        let (least, most): (i128, i128) = (problem.least(row), problem.groups.iter().map(costs).sum());
        problem.rows[row].limit = least + ((most - least) as f64 * share(row)) as i128;
    }
    problem
}

/// Solves and checks; returns the policy, its objective and the proof.
fn solve(name: &str, solver: &dyn Solver, problem: &Problem) -> Result<(Vec<usize>, f64, Proof), SolverError> {
    limpq_core::search::solve(NamedSolver::new(name, solver), problem, None)
        .map(|solved| (solved.picks, solved.objective, solved.proof))
}

/// Whether two objectives are equal up to a relative error of 1e-9.
pub(super) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Runs all tests below, for a solver with enough time.
pub(super) fn check(solver: &dyn Solver) {
    equals_the_oracle(solver);
    meets_budgets_exactly(solver);
    proves_infeasibility(solver);
    handles_the_edges(solver);
}

fn equals_the_oracle(solver: &dyn Solver) {
    for seed in 0..40 {
        // From costs with many ties to costs far beyond what a tolerance of 1e-9 tells apart.
        let largest = [9, 1000, 1_000_000, 1_000_000_000_000][seed as usize % 4];
        let (groups, choices) = [(2, 9), (4, 5), (6, 4), (9, 3)][seed as usize / 4 % 4];
        let mut problem = random(seed, groups, choices, 1 + seed as usize % 3, largest);
        if seed % 5 == 0 {
            // Losses over ten orders of magnitude, of which an optimum takes the small ones.
            let all = problem.groups.iter_mut().flat_map(|group| &mut group.choices);
            all.for_each(|choice| choice.loss = choice.loss.powi(12));
        }
        let ours = solve("solver", solver, &problem);
        match solve("oracle", &BruteForce::default(), &problem) {
            Ok((_, objective, _)) => {
                let (picks, found, proof) = ours.unwrap();
                assert!(problem.feasible(&picks), "seed {seed}");
                assert_eq!(proof.status, Status::Optimal, "seed {seed}");
                assert!(same(found, objective), "seed {seed}: found {found}, the oracle {objective}");
                assert_eq!(solve("solver", solver, &problem).unwrap().0, picks, "seed {seed}: another answer");
            }
            Err(_) => assert!(matches!(ours, Err(SolverError::Infeasible)), "seed {seed}: {ours:?}"),
        }
    }
}

/// The limit is what one policy costs, to the unit; one unit less excludes it.
fn meets_budgets_exactly(solver: &dyn Solver) {
    for seed in 0..20 {
        let mut problem = random(seed, 6, 4, 1, [50, 1_000_000_000][seed as usize % 2]);
        let (best, ..) = solve("oracle", &BruteForce::default(), &problem).unwrap();
        let used = problem.used(&best, 0);
        for limit in [used, used - 1] {
            problem.rows[0].limit = limit;
            let (_, objective, _) = solve("oracle", &BruteForce::default(), &problem).unwrap();
            let (picks, found, _) = solve("solver", solver, &problem).unwrap();
            assert!(same(found, objective) && problem.feasible(&picks), "seed {seed}");
        }
        problem.rows[0].limit = problem.least(0);
        let (picks, ..) = solve("solver", solver, &problem).unwrap();
        assert_eq!(problem.used(&picks, 0), problem.rows[0].limit, "seed {seed}");
    }
}

fn proves_infeasibility(solver: &dyn Solver) {
    // Each budget can be kept alone, but not both.
    let group: &[Written<'_>] = &[(2, 0.0, &[1, 5]), (3, 1.0, &[5, 1])];
    let problems = [
        problem(&[group], &[0, 9]),
        problem(&[group], &[-3, 9]),
        problem(&[group], &[4, 4]),
        problem(&[group, group, group], &[6, 6]),
        problem(&[], &[-1]),
    ];
    for problem in &problems {
        let answer = solver.solve(problem);
        assert!(matches!(answer, Err(SolverError::Infeasible)), "{answer:?}");
    }
    // The same where rounding is not enough: eleven layers, ten units apart at best.
    let group: &[Written<'_>] = &[(2, 0.0, &[10, 30]), (3, 0.5, &[20, 20]), (4, 1.0, &[30, 10])];
    let answer = solver.solve(&problem(&[group; 11], &[219, 220]));
    assert!(matches!(answer, Err(SolverError::Infeasible)), "{answer:?}");
    assert!(solver.solve(&problem(&[group; 11], &[220, 220])).is_ok());
}

fn handles_the_edges(solver: &dyn Solver) {
    // No layers; no budgets; costs of nothing; a limit beyond every sum.
    assert_eq!(solver.solve(&problem(&[], &[0])).unwrap().picks, [0; 0]);
    let group: &[Written<'_>] = &[(2, 3.0, &[0]), (3, -1.0, &[0]), (4, 2.0, &[7])];
    let unlimited: &[Written<'_>] = &[(2, 3.0, &[]), (3, -1.0, &[]), (4, 2.0, &[])];
    assert_eq!(solver.solve(&problem(&[unlimited, unlimited], &[])).unwrap().picks, [1, 1]);
    assert_eq!(solver.solve(&problem(&[group, group], &[0])).unwrap().picks, [1, 1]);
    assert_eq!(solver.solve(&problem(&[group, group], &[i128::MAX])).unwrap().picks, [1, 1]);
    // Losses far from 1 are told apart.
    for scale in [1e-12, 1e12] {
        let group: &[Written<'_>] = &[(2, 3.0 * scale, &[1]), (3, 2.0 * scale, &[2]), (4, 1.99 * scale, &[3])];
        assert_eq!(solver.solve(&problem(&[group, group], &[5])).unwrap().picks.iter().sum::<usize>(), 3);
    }
}

/// Whatever the time limit: an answer called optimal is optimal, every answer is within the budgets, every bound holds.
pub(super) fn stops_honestly(limited: impl Fn(f64) -> Box<dyn Solver>) {
    // Too hard to be solved in time, but small enough for the oracle.
    let large = correlated(1, 60, 25);
    for seconds in [1e-6, 0.01, 0.5] {
        let answer = solve("solver", &*limited(seconds), &large);
        match answer {
            Ok((picks, objective, proof)) => {
                assert!(large.feasible(&picks), "{seconds} s");
                assert_eq!(proof.status, Status::Stopped, "{seconds} s");
                assert!(proof.bound <= objective && proof.gap >= 0.0, "{seconds} s");
            }
            Err(error) => assert!(matches!(error, SolverError::NothingFound { .. }), "{seconds} s: {error}"),
        }
    }
    for seed in 0..20 {
        let small = correlated(seed, 5, 8);
        let (_, optimum, _) = solve("oracle", &BruteForce::default(), &small).unwrap();
        for seconds in [1e-6, 0.001, 0.01] {
            let Ok((_, objective, proof)) = solve("solver", &*limited(seconds), &small) else { continue };
            assert!(proof.status == Status::Stopped || same(objective, optimum), "seed {seed}, {seconds} s");
            assert!(proof.bound <= optimum * (1.0 + 1e-9), "seed {seed}, {seconds} s: bound {}", proof.bound);
        }
    }
}

/// The bound of a library's relaxation is below the optimum, and not by much.
#[cfg(any(feature = "highs", feature = "cbc"))]
pub(super) fn bounds(solver: &dyn Solver, relaxed: impl Fn(&super::integer_program::Program<'_>) -> Option<f64>) {
    let mut bounded = 0;
    for seed in 0..40 {
        let problem = random(seed, 6, 6, 1 + seed as usize % 2, 1000);
        let Ok(program) = super::integer_program::Program::new(&problem, f64::INFINITY) else { continue };
        let Ok((_, optimum, _)) = solve("solver", solver, &problem) else { continue };
        let bound = relaxed(&program).unwrap();
        assert!(bound <= optimum + 1e-12 && bound > 0.5 * optimum, "seed {seed}: {bound} against {optimum}");
        bounded += 1;
    }
    assert!(bounded > 20);
}

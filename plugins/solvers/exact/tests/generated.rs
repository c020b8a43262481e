//! Problems drawn at random.

use crate::{Choice, Group, Problem, Row};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Losses are eighths and costs small numbers, so that many solutions tie exactly and budgets are often just met.
pub(crate) fn small(seed: u64) -> Problem<'static> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows = random.random_range(0..=3);
    let groups = (0..random.random_range(0..=5)).map(|_| -> Group {
        (0..random.random_range(1..=5))
            .map(|_| Choice {
                tiebreak: random.random_range(2..=4) + random.random_range(2..=4),
                loss: f64::from(random.random_range(0..=10)) / 8.0 * [1.0, 0.0, 1e-9, 1e9][seed as usize % 16 / 4],
                costs: (0..rows).map(|row| (row, random.random_range(0..=6))).collect(),
            })
            .collect()
    });
    let groups: Vec<Group> = groups.collect();
    let most = 6 * groups.len() as i128;
    let rows = (0..rows).map(|_| Row::new(random.random_range(-1..=most))).collect();
    Problem::new(groups, rows).unwrap()
}

/// Losses and costs drawn evenly and independently; limits between the least and the most that is possible.
pub(crate) fn random(seed: u64, groups: usize, choices: usize, budgets: usize, largest: u64) -> Problem<'static> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut group = || -> Group {
        (0..choices)
            .map(|_| Choice {
                tiebreak: 2 * random.random_range(2..=8),
                loss: random.random_range(0.0..1.0),
                costs: (0..budgets).map(|row| (row, random.random_range(1..=largest))).collect(),
            })
            .collect()
    };
    let groups: Vec<Group> = (0..groups).map(|_| group()).collect();
    limited(groups, budgets, |_| random.random_range(0.05..0.7))
}

/// Two budgets whose costs are almost the negated loss: the instances that no method solves quickly.
pub(crate) fn correlated(seed: u64, groups: usize, choices: usize) -> Problem<'static> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut group = || -> Group {
        (0..choices)
            .map(|_| {
                let costs: Vec<u64> = (0..2).map(|_| random.random_range(100_000..=1_000_000)).collect();
                let noise: f64 = random.random_range(0.0..1000.0);
                let loss = (2_200_000.0 - costs.iter().sum::<u64>() as f64 + noise) * 1e-6;
                Choice { loss, tiebreak: 8, costs: costs.into() }
            })
            .collect()
    };
    let groups: Vec<Group> = (0..groups).map(|_| group()).collect();
    limited(groups, 2, |_| 0.4)
}

/// Too large to try everything: more groups, one to three budgets, costs that tie often or never. Among them costs of 0
/// to 3, groups of one option, and limits that are exactly what some solution costs.
pub(crate) fn large(seed: u64) -> Problem<'static> {
    let (groups, rows) = (6 + seed as usize % 13, 1 + seed as usize % 3);
    let mut problem = self::random(seed, groups, 6, rows, [20, 1000, 1_000_000_000][seed as usize / 3 % 3]);
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
        let uses = problem.uses(&picks);
        problem.rows.iter_mut().zip(uses).for_each(|(row, used)| row.limit = used);
    }
    problem
}

/// Adds limits at a share of the way from the least to the most that the costs can be.
fn limited(groups: Vec<Group<'static>>, budgets: usize, mut share: impl FnMut(usize) -> f64) -> Problem<'static> {
    let mut problem = Problem::new(groups, vec![Row::new(0); budgets]).unwrap();
    for (row, span) in problem.spans().into_iter().enumerate() {
        problem.rows[row].limit = span.least + ((span.most - span.least) as f64 * share(row)) as i128;
    }
    problem
}

/// Many rows: some know all groups, most a few that lie together, and some of these count what the first row counts,
/// too. Losses are eighths, so that solutions tie.
pub(crate) fn many_rows(seed: u64) -> Problem<'static> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows = random.random_range(33..=90);
    let (wide, reach) = (random.random_range(0..=2), random.random_range(1..=3));
    let based = seed.is_multiple_of(3);
    let count = random.random_range(1..=9);
    let most = if count > 6 { 2 } else { 4 };
    let first: Vec<usize> = (0..rows).map(|_| random.random_range(0..count)).collect();
    let mut groups: Vec<Group> = vec![];
    for group in 0..count {
        let knows = |row: usize| row < wide || (first[row]..first[row] + reach).contains(&group);
        // Costs rise with the size of an option and losses fall, more or less.
        let scale: Vec<u64> = (0..rows).map(|row| if knows(row) { random.random_range(0..=3) } else { 0 }).collect();
        let choices = (0..if count > 6 { most } else { random.random_range(1..=most) }).map(|_| {
            let size: u64 = random.random_range(2..=4);
            Choice {
                tiebreak: 2 * size,
                loss: f64::from(random.random_range(0..=4) + 3 * (4 - size as u32)) / 8.0,
                costs: scale
                    .iter()
                    .map(|scale| scale * size + random.random_range(0..=1) * scale.min(&1))
                    .enumerate()
                    .collect(),
            }
        });
        groups.push(choices.collect());
    }
    let base = |row: usize| (based && wide > 0 && row >= wide && row.is_multiple_of(2)).then_some(0);
    let rows = (0..rows).map(|row| Row { limit: 0, base: base(row) }).collect();
    let mut problem = Problem::new(groups, rows).unwrap();
    let ease = random.random_range(2..=8);
    for (row, span) in problem.spans().into_iter().enumerate() {
        let share = random.random_range(ease..=10);
        problem.rows[row].limit = span.least + (span.most - span.least) * share / 10;
    }
    problem
}

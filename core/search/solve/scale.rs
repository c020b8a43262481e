//! Losses brought to a size that solvers compute well with. Multiplying all losses by a power of two changes no policy's rank,
//! and no bit of a loss either; near the ends of what a float holds, a solver's sums, products and roundings would.

use crate::search::{Answer, Beside, Problem, Solver, SolverError, Status};

/// Losses up to 2^ORDINARY and down to its inverse are left as they are, bit for bit.
const ORDINARY: i32 = 256;
/// Losses that differ by more than a factor 2^WIDE are too far apart for sums in which both count.
const WIDE: i32 = 80;

/// Solves a problem whose losses may be of any size.
pub(super) fn solve_scaled(solver: &dyn Solver, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
    let answer = solve_in_range(solver, problem, beside)?;
    // Choices that cost more than the whole answer set the scale that all others were lost in. No better policy has them.
    let Some((smaller, kept)) = without_hopeless(problem, &answer) else { return Ok(answer) };
    let place = |(kept, pick): (&Vec<usize>, &usize)| kept.iter().position(|choice| choice == pick).unwrap_or(0);
    let picks: Vec<usize> = kept.iter().zip(&answer.picks).map(place).collect();
    let better = solve_in_range(solver, &smaller, Beside { near: Some(&picks), ..beside })?;
    let picks = kept.iter().zip(&better.picks).map(|(kept, &pick)| kept[pick]).collect();
    Ok(Answer { picks, nodes: answer.nodes.zip(better.nodes).map(|(one, other)| one + other), ..better })
}

fn solve_in_range(solver: &dyn Solver, problem: &Problem, beside: Beside) -> Result<Answer, SolverError> {
    let Some((_, largest)) = exponents(problem).filter(|(_, largest)| largest.abs() > ORDINARY) else {
        return solver.solve_beside(problem, beside);
    };
    let mut scaled = problem.clone();
    for choice in scaled.groups.iter_mut().flat_map(|group| &mut group.choices) {
        choice.loss = times_power_of_two(choice.loss, -largest);
    }
    let answer = solver.solve_beside(&scaled, beside)?;
    Ok(Answer { bound: answer.bound.map(|bound| times_power_of_two(bound, largest)), ..answer })
}

/// The problem without choices that are in no policy as good as the answer, and which choices it has left; `None` if that
/// would not bring the others closer together.
fn without_hopeless(problem: &Problem, answer: &Answer) -> Option<(Problem, Vec<Vec<usize>>)> {
    let (least, most) = exponents(problem)?;
    if most - least <= WIDE || answer.status == Status::Stopped {
        return None;
    }
    let found = problem.objective(&answer.picks);
    let least_loss = |group: &crate::search::Group| group.choices.iter().map(|c| c.loss).fold(f64::INFINITY, f64::min);
    let bottom: f64 = problem.groups.iter().map(least_loss).sum();
    // Whatever a choice loses above its group's least, it loses above the bottom; twice, so that no rounding drops a good one.
    let room = 2.0 * (found - bottom) + f64::EPSILON * found.abs();
    let keep = |group: &crate::search::Group| -> Vec<usize> {
        let least = least_loss(group);
        (0..group.choices.len()).filter(|&choice| group.choices[choice].loss - least <= room).collect()
    };
    let kept: Vec<Vec<usize>> = problem.groups.iter().map(keep).collect();
    let mut smaller = problem.clone();
    for (group, kept) in smaller.groups.iter_mut().zip(&kept) {
        group.choices = kept.iter().map(|&choice| group.choices[choice].clone()).collect();
    }
    let (_, most_left) = exponents(&smaller)?;
    (most_left + WIDE / 2 < most).then_some((smaller, kept))
}

/// Binary exponents of the smallest and of the largest loss that is not 0.
fn exponents(problem: &Problem) -> Option<(i32, i32)> {
    let losses = problem.groups.iter().flat_map(|group| &group.choices).map(|choice| choice.loss.abs());
    let ends = losses.filter(|&loss| loss > 0.0).fold(None, |ends: Option<(f64, f64)>, loss| {
        Some(ends.map_or((loss, loss), |(low, high)| (low.min(loss), high.max(loss))))
    });
    ends.map(|(low, high)| (exponent(low), exponent(high)))
}

/// The whole number e with 2^e <= value < 2^(e+1), of a positive finite value.
fn exponent(value: f64) -> i32 {
    let bits = value.to_bits();
    match (bits >> 52) as i32 {
        0 => 63 - bits.leading_zeros() as i32 - 1074,
        biased => biased - 1023,
    }
}

/// In steps, as 2^power itself need not be a float.
fn times_power_of_two(mut value: f64, mut power: i32) -> f64 {
    while power != 0 {
        let step = power.clamp(-512, 512);
        value *= 2f64.powi(step);
        power -= step;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Choice, Group, Row};

    #[test]
    fn exponents_of_all_sizes() {
        for (value, wanted) in
            [(1.0, 0), (1.99, 0), (0.5, -1), (1e300, 996), (f64::MIN_POSITIVE, -1022), (5e-324, -1074)]
        {
            assert_eq!(exponent(value), wanted, "{value}");
        }
        assert_eq!(times_power_of_two(5e-324, 1074), 1.0);
        assert_eq!(times_power_of_two(f64::MAX, -2200), 0.0);
    }

    /// Keeps losses as a solver sees them.
    struct Sees(std::sync::Mutex<Vec<Vec<f64>>>);

    impl Solver for Sees {
        fn solve(&self, problem: &Problem) -> Result<Answer, SolverError> {
            let losses = problem.groups.iter().flat_map(|group| group.choices.iter().map(|choice| choice.loss));
            self.0.lock().unwrap().push(losses.collect());
            let picks = vec![problem.groups[0].choices.len() - 1; problem.groups.len()];
            Ok(Answer { picks, status: Status::Optimal, bound: Some(0.75), nodes: None })
        }
    }

    fn one_group(losses: &[f64]) -> Problem {
        let choice = |&loss: &f64| Choice { bits: vec!["w2a2".parse().unwrap()], loss, costs: vec![1].into() };
        let group = Group { layers: vec!["a".into()], choices: losses.iter().map(choice).collect() };
        Problem { groups: vec![group], rows: vec![Row::new("r", 1)] }
    }

    fn seen(losses: &[f64]) -> (Vec<Vec<f64>>, Answer) {
        let solver = Sees(std::sync::Mutex::default());
        let answer = solve_scaled(&solver, &one_group(losses), Beside::default()).unwrap();
        (solver.0.into_inner().unwrap(), answer)
    }

    #[test]
    fn ordinary_losses_stay_as_they_are() {
        assert_eq!(seen(&[0.1, 1e-9]).0, [[0.1, 1e-9]]);
    }

    #[test]
    fn tiny_and_huge_ones_are_scaled_by_powers_of_two() {
        let power = times_power_of_two(1.0, -1000);
        let (losses, answer) = seen(&[0.75 * power, 1.5 * power]);
        assert_eq!(losses, [[0.75, 1.5]]);
        assert_eq!(answer.bound, Some(0.75 * power));
    }

    /// The first solve sees 1e-300 of the largest. Its answer, 2, rules the largest out, and the second sees the rest as it is.
    #[test]
    fn what_is_out_of_the_question_does_not_set_the_scale() {
        let (losses, answer) = seen(&[1e300, 1.0, 2.0]);
        assert_eq!(losses.len(), 2);
        assert_eq!(losses[1], [1.0, 2.0]);
        assert_eq!(answer.picks, [2]);
    }
}

//! Losses as exact integers, and rounding errors of float sums.

use crate::Problem;

/// Rounding error of a sum over this many groups, of this magnitude. Bounds are floats: nothing is cut within this
/// allowance.
pub(crate) fn float_error(groups: usize, size: f64) -> f64 {
    4.0 * f64::EPSILON * (groups + 8) as f64 * size
}

/// Losses as integer numbers of quanta.
pub(crate) struct Fixed {
    /// One for each option of each group.
    pub losses: Vec<i128>,
    /// Value of one quantum, in the unit of [`Self::scale`].
    pub quantum: f64,
    /// Binary exponent of the largest loss. Floats count in this unit, so that the largest is about one.
    pub scale: i32,
    /// Largest rounding error of a loss, in the problem's unit; zero if all are exact.
    pub rounding: f64,
}

/// Every loss as a whole number of quanta. Exact while all losses fit into 126 bits, which 1e-9 and 1e9 together
/// do; beyond that losses are rounded to 2^-100 of the largest.
pub(crate) fn fixed_point(problem: &Problem) -> Fixed {
    let losses = || problem.groups.iter().flat_map(|group| &group.choices).map(|choice| choice.loss);
    let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
    for loss in losses().filter(|&loss| loss != 0.0) {
        let (mantissa, exponent) = parts(loss);
        lowest = lowest.min(exponent + mantissa.trailing_zeros() as i32);
        highest = highest.max(exponent + 128 - mantissa.leading_zeros() as i32);
    }
    if lowest > highest {
        return Fixed { losses: losses().map(|_| 0).collect(), quantum: 1.0, scale: 0, rounding: 0.0 };
    }
    let room = 126 - (problem.groups.len() as f64).log2().ceil() as i32;
    let exact = highest - lowest <= room;
    let quantum = if exact { lowest } else { highest - room.min(100) };
    let fixed = |loss: f64| {
        if loss == 0.0 {
            return 0;
        }
        let (mantissa, exponent) = parts(loss);
        let shift = exponent - quantum;
        let size = match shift {
            0.. => mantissa << shift,
            -126..0 => (mantissa + (1 << (-shift - 1))) >> -shift,
            _ => 0,
        };
        if loss < 0.0 { -size } else { size }
    };
    Fixed {
        losses: losses().map(fixed).collect(),
        quantum: 2f64.powi(quantum - highest),
        scale: highest,
        rounding: if exact { 0.0 } else { scaled(1.0, quantum) },
    }
}

/// A number times a power of two, of which both factors and the product are floats though the power alone may be none.
pub(crate) fn scaled(number: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    number * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// |loss| = mantissa * 2^exponent.
fn parts(loss: f64) -> (i128, i32) {
    let tiebreak = loss.to_bits();
    let exponent = (tiebreak >> 52 & 0x7ff) as i32;
    let mantissa = i128::from(tiebreak & ((1 << 52) - 1));
    if exponent == 0 { (mantissa, -1074) } else { (mantissa | 1 << 52, exponent - 1075) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::problem;

    #[test]
    fn losses_are_exact_over_a_huge_range() {
        let problem = problem(&[&[(2, 1e9, &[1]), (3, 1e-9, &[2])], &[(2, 0.1, &[1]), (3, -0.0, &[2])]], &[3]);
        let Fixed { losses, quantum, scale, rounding } = fixed_point(&problem);
        let back: Vec<f64> = losses.iter().map(|&loss| scaled(loss as f64 * quantum, scale)).collect();
        assert_eq!((back, rounding), (vec![1e9, 1e-9, 0.1, 0.0], 0.0));
    }

    #[test]
    fn losses_near_the_ends_of_floats_are_exact() {
        for size in [5e-324, 3e-310, 1e-300, 1e300] {
            let problem = problem(&[&[(2, size, &[1]), (3, 3.0 * size, &[2])]], &[3]);
            let Fixed { losses, quantum, scale, rounding } = fixed_point(&problem);
            let back: Vec<f64> = losses.iter().map(|&loss| scaled(loss as f64 * quantum, scale)).collect();
            assert_eq!((back, rounding), (vec![size, 3.0 * size], 0.0));
        }
        let Fixed { losses, rounding, .. } = fixed_point(&problem(&[&[(2, 1.0, &[1]), (3, 1e-288, &[2])]], &[3]));
        assert!(losses[0] == 1 << 99 && losses[1] == 0 && (1e-31..1e-29).contains(&rounding), "{rounding}");
    }
}

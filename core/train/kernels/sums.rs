//! Vectorised sums: many partial sums in 32 bits, added up in 64.

/// With fewer values than this, other threads would finish before they have begun.
pub(super) const PARALLEL: usize = 1 << 17;
/// Number of independent partial sums, a few registers.
const LANES: usize = 32;

/// The sum of `each` over the values.
#[inline(always)]
pub(super) fn sum(values: &[f32], each: impl Fn(f32) -> f32) -> f64 {
    let [sum, _] = two(values, values, |value, _| [each(value), 0.0]);
    sum
}

/// The two sums of `each` over pairs of values.
#[inline(always)]
pub(super) fn two(values: &[f32], others: &[f32], each: impl Fn(f32, f32) -> [f32; 2]) -> [f64; 2] {
    let mut sums = [[0f32; LANES]; 2];
    let [first, second] = &mut sums;
    let mut lanes = |values: &[f32], others: &[f32]| {
        for (((value, other), first), second) in values.iter().zip(others).zip(&mut *first).zip(&mut *second) {
            let [one, two] = each(*value, *other);
            *first += one;
            *second += two;
        }
    };
    let (values, last_values) = values.as_chunks::<LANES>();
    let (others, last_others) = others.as_chunks::<LANES>();
    for (values, others) in values.iter().zip(others) {
        lanes(values, others);
    }
    lanes(last_values, last_others);
    sums.map(|lanes| lanes.into_iter().map(f64::from).sum())
}

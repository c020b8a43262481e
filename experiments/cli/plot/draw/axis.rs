//! A vertical axis, linear or logarithmic, with round numbers at its ticks.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// The axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// With about `ticks` ticks. An empty range, or one that includes 0 on a logarithmic axis, is replaced by 0 to 1.
    pub fn new(range: Range<f64>, log: bool, ticks: u32) -> Self {
        let sound = range.start < range.end && (range.end - range.start).is_finite() && !(log && range.start <= 0.0);
        let (range, log) = if sound { (range, log) } else { (0.0..1.0, false) };
        let ticks = if log { log_ticks(&range) } else { linear_ticks(&range, ticks) };
        Self { range, log, ticks }
    }

    /// A tick's label: three digits, or as many as distinguish it from its neighbours.
    pub fn figure(&self, value: f64) -> String {
        figure(value, self.range.end - self.range.start)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    /// Values beyond the axis are drawn at its end.
    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let scale = |value: f64| if self.log { value.ln() } else { value };
        let (start, end) = (scale(self.range.start), scale(self.range.end));
        let share = (scale(value.clamp(self.range.start, self.range.end)) - start) / (end - start);
        low + (f64::from(high - low) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// At most `most` ticks: multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(range: &Range<f64>, most: u32) -> Vec<f64> {
    let least = (range.end - range.start) / f64::from(most);
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|&step| step >= least);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
    (first..=last).map(|place| place as f64 * step).collect()
}

/// Three or more, about evenly spaced on a logarithmic axis; on a short one, those of a linear axis.
fn log_ticks(range: &Range<f64>) -> Vec<f64> {
    let (first, last) = (range.start.log10().floor() as i32, range.end.log10().ceil() as i32);
    // If there is no room for all powers, some of them.
    let powers = (first..=last).step_by(1 + (last - first) as usize / 12);
    let of = |digits: &[i32]| -> Vec<f64> {
        let all =
            powers.clone().flat_map(|power| digits.iter().map(move |&digit| f64::from(digit) * 10f64.powi(power)));
        all.filter(|tick| range.contains(tick)).collect()
    };
    let enough = [&[1][..], &[1, 3], &[1, 2, 5]].into_iter().map(of).find(|ticks| ticks.len() > 2);
    enough.unwrap_or_else(|| linear_ticks(range, 4))
}

fn figure(value: f64, span: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (2.0 - size.log10().floor()).max(1.0 - span.log10().floor()).clamp(0.0, 6.0) as usize;
    let rounded = format!("{value:.decimals$}");
    match rounded.contains('.') {
        true => rounded.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_but_tell_ticks_apart() {
        let shown: Vec<_> = [0.0, 0.01234, 0.1, 1.25, 12.5, 1234.5, 0.0001234, 120000.0].map(|v| figure(v, 1.0)).into();
        assert_eq!(shown, ["0", "0.0123", "0.1", "1.25", "12.5", "1234.5", "1.2e-4", "1.2e5"]);
        assert_eq!([2.302, 2.304].map(|v| figure(v, 0.01)), ["2.302", "2.304"]);
    }

    #[test]
    fn ticks_are_round() {
        let shown = |range: Range<f64>, log| {
            let axis = Axis::new(range, log, 4);
            axis.ticks.iter().map(|&tick| axis.figure(tick)).collect::<Vec<_>>()
        };
        assert_eq!(shown(0.0..1.0, false), ["0", "0.5", "1"]);
        assert_eq!(shown(-0.37..2.6, false), ["0", "1", "2"]);
        assert_eq!(shown(0.013..0.34, true), ["0.03", "0.1", "0.3"]);
        assert_eq!(shown(0.11..0.62, true), ["0.2", "0.4", "0.6"]);
        assert_eq!(shown(0.009..60.0, true), ["0.01", "0.1", "1", "10"]);
        assert_eq!(shown(0.09..0.6, true), ["0.1", "0.2", "0.5"]);
    }

    #[test]
    fn no_range_has_ticks_without_end() {
        for log in [false, true] {
            for (start, end) in [
                (1.0, 1.0 + f64::EPSILON),
                (1e16, 1e16 + 2.0),
                (1e300, 1.7e308),
                (5e-324, 1.7e308),
                (-1.7e308, 1.7e308),
                (0.0, f64::INFINITY),
                (f64::NAN, f64::NAN),
                (2.0, 1.0),
                (0.0, 0.0),
            ] {
                let axis = Axis::new(start..end, log, 9);
                assert!(axis.ticks.len() < 50, "{start} to {end}: {} ticks", axis.ticks.len());
                axis.ticks.iter().for_each(|&tick| assert!(axis.figure(tick).len() < 30));
                for value in [-f64::MAX, 0.0, start, f64::MAX] {
                    let place = axis.map(&value, (200, 0));
                    assert!((0..=200).contains(&place), "{value} of {start} to {end} at {place}");
                }
            }
        }
    }

    #[test]
    fn values_lie_where_they_belong() {
        let place = |log, value| Axis::new(1.0..100.0, log, 4).map(&value, (200, 0));
        assert_eq!([1.0, 50.5, 100.0, 1e9].map(|value| place(false, value)), [200, 100, 0, 0]);
        assert_eq!([0.0, 1.0, 10.0, 100.0].map(|value| place(true, value)), [200, 200, 100, 0]);
    }
}

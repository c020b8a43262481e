//! The one deadline of a command: whatever it solves on the way to its answer, it ends by then with what it has.

use std::time::{Duration, Instant};

/// When to stop; by default never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self(None);

    /// One that is so many seconds from now. What is too far for a clock is never; so are infinity and NaN.
    pub fn after(seconds: f64) -> Self {
        let wait = Duration::try_from_secs_f64(seconds.max(0.0)).ok().filter(|_| !seconds.is_nan());
        Self(wait.and_then(|wait| Instant::now().checked_add(wait)))
    }

    /// Whether it is over.
    pub fn passed(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// Seconds until then, zero if it is over; `None` when there is no end.
    pub fn left_s(self) -> Option<f64> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// When it is; `None` for never.
    pub fn end(self) -> Option<Instant> {
        self.0
    }

    /// The earlier of two.
    pub fn or(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_clock_can_count_is_never() {
        for seconds in [1e300, f64::MAX, f64::INFINITY, f64::NAN, 1e19] {
            assert!(Deadline::after(seconds).left_s().is_none() && !Deadline::after(seconds).passed(), "{seconds}");
        }
        assert!(Deadline::after(0.0).passed() && Deadline::after(-1.0).passed() && !Deadline::NEVER.passed());
        let (soon, late) = (Deadline::after(0.0), Deadline::after(1e6));
        assert!(late.or(soon).passed() && soon.or(Deadline::NEVER).passed() && !late.or(Deadline::NEVER).passed());
    }
}

//! A duration that a user gives in seconds: positive and finite, `0.5` or `10`.

use serde::{Deserialize, Serialize};

/// Seconds; positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
pub struct Seconds(f64);

/// A number that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a time limit is a positive number of seconds, got {0}")]
pub struct SecondsError(f64);

impl Seconds {
    /// A duration of more than nothing and less than forever.
    ///
    /// # Errors
    /// Zero, negative numbers, infinity and NaN.
    pub fn new(seconds: f64) -> Result<Self, SecondsError> {
        if seconds > 0.0 && seconds.is_finite() { Ok(Self(seconds)) } else { Err(SecondsError(seconds)) }
    }

    /// The number of seconds.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = SecondsError;

    fn try_from(seconds: f64) -> Result<Self, SecondsError> {
        Self::new(seconds)
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> f64 {
        seconds.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_finite_numbers_are_durations() {
        assert_eq!(Seconds::new(0.5).unwrap().get(), 0.5);
        for wrong in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let error = Seconds::new(wrong).unwrap_err().to_string();
            assert!(error.starts_with("a time limit is a positive number of seconds, got "), "{error}");
        }
    }
}

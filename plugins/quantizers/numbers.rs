//! Values in the options and the indicators of quantizers.

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a positive number.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(D::Error::custom(format!("must be a positive number, got {value}"))),
    }
}

/// Reads 0 or a positive number.
pub(super) fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match value.is_finite() && value >= 0.0 {
        true => Ok(value),
        false => Err(D::Error::custom(format!("must be 0 or a positive number, got {value}"))),
    }
}

/// Mean over channels.
pub(super) fn mean(channels: &[f32]) -> f64 {
    channels.iter().map(|&value| f64::from(value)).sum::<f64>() / channels.len() as f64
}

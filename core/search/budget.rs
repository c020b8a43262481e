//! Budgets as people write them: `bitops=w3a4`, `size=12.2x`, `size=8MiB`, `average_weight_bits=3`.

use super::{CostTable, Precision};
use std::{fmt, str::FromStr};

/// What is wrong with a budget.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BudgetError {
    /// No `=`.
    #[error("cannot read budget {0:?}: expected NAME=LIMIT, for example bitops=w3a4 or size=12.2x")]
    NoEquals(String),
    /// The limit cannot be read.
    #[error("budget {name}: cannot read limit {limit:?}; allowed here: {allowed}")]
    Limit {
        /// Which budget.
        name: String,
        /// What was given.
        limit: String,
        /// What can be given.
        allowed: String,
    },
    /// Zero, negative or not finite.
    #[error("budget {name}: the limit must be a positive number, got {limit:?}")]
    NotPositive {
        /// Which budget.
        name: String,
        /// What was given.
        limit: String,
    },
}

/// A budget's name (a cost model's) and limit, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetText {
    /// Name of the cost model.
    pub name: String,
    /// The limit as written.
    pub limit: String,
}

impl FromStr for BudgetText {
    type Err = BudgetError;
    fn from_str(text: &str) -> Result<Self, BudgetError> {
        match text.split_once('=') {
            Some((name, limit)) if !name.trim().is_empty() && !limit.trim().is_empty() => {
                Ok(Self { name: name.trim().to_owned(), limit: limit.trim().to_owned() })
            }
            _ => Err(BudgetError::NoEquals(text.to_owned())),
        }
    }
}

impl fmt::Display for BudgetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.limit)
    }
}

impl BudgetText {
    /// The bits of a `w3a4` limit.
    pub fn precision(&self) -> Option<Precision> {
        self.limit.parse().ok()
    }

    /// The limit for the whole network in the table's integer unit. The table must know [`Self::precision`].
    ///
    /// Fractions are rounded down: a budget is never overrun by rounding.
    pub fn limit(&self, table: &CostTable) -> Result<u64, BudgetError> {
        if let Some(bits) = self.precision() {
            return Ok(table.uniform(bits));
        }
        let (digits, ticks) = self.split(table)?;
        let number: f64 = digits.parse().map_err(|_| self.unreadable(table))?;
        if !(number.is_finite() && number > 0.0) {
            return Err(self.not_positive());
        }
        Ok(match ticks {
            Scale::Times(ticks) => floor_forgivingly(number * ticks as f64),
            Scale::Compression => floor_forgivingly(table.at_32_bits() as f64 / number),
        })
    }

    fn split(&self, table: &CostTable) -> Result<(&str, Scale), BudgetError> {
        if let Some(ratio) = self.limit.strip_suffix('x') {
            return Ok((ratio.trim(), Scale::Compression));
        }
        // Longest suffix first, so that "MiB" is not read as "B".
        let mut suffixes = table.unit.suffixes().to_vec();
        suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        for (suffix, ticks) in suffixes {
            if let Some(number) = self.limit.strip_suffix(suffix) {
                return Ok((number.trim(), Scale::Times(ticks)));
            }
        }
        match table.unit.suffixes() {
            [] => Ok((&self.limit, Scale::Times(table.divisor))),
            _ if self.limit.parse().is_ok_and(|number: f64| number.is_nan() || number <= 0.0) => {
                Err(self.not_positive())
            }
            _ => Err(self.unreadable(table)), // 48 what? G and M are both plausible
        }
    }

    fn not_positive(&self) -> BudgetError {
        BudgetError::NotPositive { name: self.name.clone(), limit: self.limit.clone() }
    }

    fn unreadable(&self, table: &CostTable) -> BudgetError {
        let suffixes: Vec<String> = table.unit.suffixes().iter().map(|(suffix, _)| format!("8{suffix}")).collect();
        let numbers = if suffixes.is_empty() { "a number such as 3.5".into() } else { suffixes.join(", ") };
        BudgetError::Limit {
            name: self.name.clone(),
            limit: self.limit.clone(),
            allowed: format!("{numbers}, 12.2x (compression against 32 bits), w3a4 (that of a uniform policy)"),
        }
    }
}

enum Scale {
    Times(u64),
    Compression,
}

/// Floor, except that a product of decimals a hair below an integer (48.3 * 1e9 = 48299999999.999996) is that integer.
fn floor_forgivingly(value: f64) -> u64 {
    let nearest = value.round();
    if (value - nearest).abs() <= nearest * 4.0 * f64::EPSILON { nearest as u64 } else { value.floor() as u64 }
}

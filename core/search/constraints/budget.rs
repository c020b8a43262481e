//! Budgets as people write them: `bitops=w3a4`, `size=12.2x`, `size=8MiB`, `average_weight_bits=3`, and ranges such as
//! `size=6MiB..8MiB` or `bitops=w3a3..`.

use crate::search::{CostTable, Precision};
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
    /// A limit that compares with a cost that is not known.
    #[error(
        "budget {name}: {limit:?} needs the cost of every layer at {bits}, and {name} does not know it for all of them"
    )]
    Unknown {
        /// Which budget.
        name: String,
        /// What was given.
        limit: String,
        /// At which bits.
        bits: Precision,
    },
    /// A range whose ends are the wrong way round.
    #[error("budget {name}: the range {limit:?} is empty, its lower end is above its upper end")]
    Reversed {
        /// Which budget.
        name: String,
        /// What was given.
        limit: String,
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

/// Ends of a budget in its cost's integer unit, for the whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least that must be used, if anything must.
    pub least: Option<u64>,
    /// The most that may be used, if it is limited.
    pub most: Option<u64>,
}

impl BudgetText {
    /// The bits that the limit speaks of: those of `w3a4`, or of the ends of a range.
    pub fn precisions(&self) -> impl Iterator<Item = Precision> {
        self.ends().into_iter().flatten().filter_map(|end| end.parse().ok())
    }

    /// Whether the limit is written as a range.
    pub fn is_range(&self) -> bool {
        self.limit.contains("..")
    }

    /// The upper end of a range that has both ends, as a budget of its own.
    pub fn upper(&self) -> Option<Self> {
        match self.ends() {
            [Some(_), Some(most)] => Some(Self { name: self.name.clone(), limit: most.to_owned() }),
            _ => None,
        }
    }

    /// Lower and upper end as written; one that is not a range has an upper end only.
    fn ends(&self) -> [Option<&str>; 2] {
        let given = |end: &'_ str| (!end.is_empty()).then_some(());
        match self.limit.split_once("..") {
            None => [None, Some(self.limit.as_str())],
            Some((least, most)) => {
                let (least, most) = (least.trim(), most.trim());
                [given(least).map(|()| least), given(most).map(|()| most)]
            }
        }
    }

    /// The limits for the whole network in the table's integer unit. The table must have been made for
    /// [`Self::precisions`].
    ///
    /// Fractions are rounded towards keeping: down for the upper end, up for the lower.
    ///
    /// # Errors
    /// What cannot be read, is not positive, or compares with a cost that is not known.
    pub fn limits(&self, table: &CostTable) -> Result<Limits, BudgetError> {
        let [least, most] = self.ends();
        if least.is_none() && most.is_none() {
            return Err(self.unreadable(table));
        }
        let least = least.map(|end| self.end(end, table, ceil_forgivingly)).transpose()?;
        let most = most.map(|end| self.end(end, table, floor_forgivingly)).transpose()?;
        match (least, most) {
            (Some(least), Some(most)) if least > most => {
                Err(BudgetError::Reversed { name: self.name.clone(), limit: self.limit.clone() })
            }
            _ => Ok(Limits { least, most }),
        }
    }

    fn end(&self, end: &str, table: &CostTable, round: fn(f64) -> u64) -> Result<u64, BudgetError> {
        let unknown = |bits| BudgetError::Unknown { name: self.name.clone(), limit: self.limit.clone(), bits };
        if let Ok(bits) = end.parse::<Precision>() {
            return table.uniform(bits).ok_or_else(|| unknown(bits));
        }
        let (digits, scale) = self.split(end, table)?;
        let number: f64 = digits.parse().map_err(|_| self.unreadable(table))?;
        if !(number.is_finite() && number > 0.0) {
            return Err(self.not_positive());
        }
        Ok(match scale {
            Scale::Times(ticks) => round(number * ticks as f64),
            Scale::Compression => {
                let full = Precision::uniform(32).expect("32 is a bit-width");
                round(table.at_32_bits().ok_or_else(|| unknown(full))? as f64 / number)
            }
        })
    }

    fn split<'t>(&self, end: &'t str, table: &CostTable) -> Result<(&'t str, Scale), BudgetError> {
        if let Some(ratio) = end.strip_suffix('x') {
            return Ok((ratio.trim(), Scale::Compression));
        }
        // Longest suffix first, so that "MiB" is not read as "B".
        let mut suffixes = table.unit.suffixes().to_vec();
        suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        for (suffix, ticks) in suffixes {
            if let Some(number) = end.strip_suffix(suffix) {
                return Ok((number.trim(), Scale::Times(ticks)));
            }
        }
        match table.unit.suffixes() {
            [] => Ok((end, Scale::Times(table.unit.bare(table.divisor)))),
            _ if end.parse().is_ok_and(|number: f64| number.is_nan() || number <= 0.0) => Err(self.not_positive()),
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
            allowed: format!(
                "{numbers}, 12.2x (compression against 32 bits), w3a4 (that of a uniform policy), or a range such as w2a2..w3a4"
            ),
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

/// Ceiling, with the same forgiveness.
fn ceil_forgivingly(value: f64) -> u64 {
    let nearest = value.round();
    if (value - nearest).abs() <= nearest * 4.0 * f64::EPSILON { nearest as u64 } else { value.ceil() as u64 }
}

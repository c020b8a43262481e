//! LIMPQ's rule against indicators that rise with the bits: more bits should not make a layer more sensitive. Where they seem
//! to, its search may not choose the lower of the two bit-widths.

use crate::search::{Accounting, BitWidth};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What becomes of a bit-width whose indicator is below that of the next higher one.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RisingIndicators {
    /// It may be chosen like any other.
    #[default]
    Allow,
    /// It may not be chosen, as in LIMPQ's published search. Compared is with the next higher bit-width that the *file* has,
    /// whether or not that is a candidate. A tensor that a rule holds at one bit-width is exempt.
    Forbid,
}

impl RisingIndicators {
    /// What goes with an accounting when nothing else is asked for: LIMPQ's rule with LIMPQ's way to count.
    pub fn with(accounting: Accounting) -> Self {
        match accounting {
            Accounting::Exact => Self::Allow,
            Accounting::Limpq => Self::Forbid,
        }
    }

    /// Whether these bits may not be chosen, given all indicators of the tensor.
    pub(in crate::search) fn forbids(self, values: &BTreeMap<BitWidth, f64>, bits: BitWidth) -> bool {
        let higher = || values.range(bits..).find(|&(&other, _)| other > bits).map(|(_, &value)| value);
        self == Self::Forbid && values.get(&bits).is_some_and(|&value| higher().is_some_and(|higher| value < higher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 bits look worse than 4: 4 may not be chosen, whether or not 5 could be.
    #[test]
    fn neighbours_are_those_of_the_file() {
        let bits = |bits: u64| BitWidth::new(bits).unwrap();
        let values: BTreeMap<BitWidth, f64> =
            [(6, 0.1), (5, 0.4), (4, 0.3), (2, 0.3)].map(|(b, value)| (bits(b), value)).into();
        let forbidden = |rule: RisingIndicators| -> Vec<u64> {
            [6, 5, 4, 3, 2].into_iter().filter(|&b| rule.forbids(&values, bits(b))).collect()
        };
        assert_eq!(forbidden(RisingIndicators::Forbid), [4]);
        assert_eq!(forbidden(RisingIndicators::Allow), [0; 0]);
    }
}

//! Bit-widths: of one tensor, of one layer, and the candidates a search chooses from.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What is wrong with a bit-width or a list of candidates.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BitsError {
    /// Out of range.
    #[error("bit-width must be 1..=32, got {0}")]
    Range(u64),
    /// Not a number.
    #[error("cannot read {0:?} as a bit-width: expected a whole number 1..=32")]
    Text(String),
    /// No candidates.
    #[error("the list of candidate bit-widths is empty; give for example 6,5,4,3,2")]
    NoCandidates,
    /// A candidate twice.
    #[error("bit-width {0} is given twice among the candidates")]
    Twice(BitWidth),
    /// Not `w3a4`.
    #[error("cannot read {0:?} as a precision: expected weight and activation bits such as w3a4")]
    PrecisionText(String),
}

/// Number of bits of one tensor's integers, 1..=32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct BitWidth(u8);

impl BitWidth {
    /// A bit-width in 1..=32.
    pub fn new(bits: u64) -> Result<Self, BitsError> {
        match bits {
            1..=32 => Ok(Self(bits as u8)),
            _ => Err(BitsError::Range(bits)),
        }
    }

    /// The number of bits.
    pub fn get(self) -> u64 {
        self.0.into()
    }
}

impl TryFrom<u64> for BitWidth {
    type Error = BitsError;
    fn try_from(bits: u64) -> Result<Self, BitsError> {
        Self::new(bits)
    }
}

impl From<BitWidth> for u64 {
    fn from(bits: BitWidth) -> u64 {
        bits.get()
    }
}

impl fmt::Display for BitWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BitWidth {
    type Err = BitsError;
    fn from_str(text: &str) -> Result<Self, BitsError> {
        Self::new(text.trim().parse().map_err(|_| BitsError::Text(text.to_owned()))?)
    }
}

/// Weight and activation bits of one layer; written `w3a4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Precision {
    /// Bits of the weights.
    pub weight: BitWidth,
    /// Bits of the input activations.
    pub act: BitWidth,
}

impl Precision {
    /// The same bits for weights and activations, in 1..=32.
    pub fn uniform(bits: u64) -> Result<Self, BitsError> {
        let bits = BitWidth::new(bits)?;
        Ok(Self { weight: bits, act: bits })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("w{}a{}", self.weight, self.act))
    }
}

impl FromStr for Precision {
    type Err = BitsError;
    fn from_str(text: &str) -> Result<Self, BitsError> {
        let wrong = || BitsError::PrecisionText(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (weight, act) = lower.strip_prefix('w').and_then(|rest| rest.split_once('a')).ok_or_else(wrong)?;
        let bits = |part: &str| BitWidth::new(part.parse().map_err(|_| wrong())?);
        Ok(Self { weight: bits(weight)?, act: bits(act)? })
    }
}

/// The bit-widths a search chooses from: at least one, each once, kept in descending order (the order of the joint
/// training's passes) however they were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<BitWidth>", into = "Vec<BitWidth>")]
pub struct Candidates(Vec<BitWidth>);

impl Candidates {
    /// From a list in any order.
    pub fn new(mut bits: Vec<BitWidth>) -> Result<Self, BitsError> {
        bits.sort_unstable_by(|a, b| b.cmp(a));
        if bits.is_empty() {
            return Err(BitsError::NoCandidates);
        }
        match bits.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(BitsError::Twice(pair[0])),
            None => Ok(Self(bits)),
        }
    }

    /// From numbers in any order.
    pub fn of(bits: &[u64]) -> Result<Self, BitsError> {
        Self::new(bits.iter().map(|&b| BitWidth::new(b)).collect::<Result<_, _>>()?)
    }

    /// In descending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BitWidth> + '_ {
        self.0.iter().copied()
    }

    /// How many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is always a candidate")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Place of a bit-width in descending order.
    pub fn position(&self, bits: BitWidth) -> Option<usize> {
        self.0.iter().position(|&b| b == bits)
    }

    /// Every (weight, activation) pair, highest weight bits first.
    pub fn pairs(&self) -> impl Iterator<Item = Precision> + '_ {
        self.iter().flat_map(|weight| self.iter().map(move |act| Precision { weight, act }))
    }
}

impl TryFrom<Vec<BitWidth>> for Candidates {
    type Error = BitsError;
    fn try_from(bits: Vec<BitWidth>) -> Result<Self, BitsError> {
        Self::new(bits)
    }
}

impl From<Candidates> for Vec<BitWidth> {
    fn from(candidates: Candidates) -> Self {
        candidates.0
    }
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.0.iter().map(BitWidth::to_string).collect();
        f.write_str(&list.join(","))
    }
}

impl FromStr for Candidates {
    type Err = BitsError;
    fn from_str(text: &str) -> Result<Self, BitsError> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        Self::new(parts.map(str::parse).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_width_is_checked_once() {
        assert_eq!(BitWidth::new(0).unwrap_err().to_string(), "bit-width must be 1..=32, got 0");
        assert_eq!(BitWidth::new(33).unwrap_err().to_string(), "bit-width must be 1..=32, got 33");
        assert_eq!(serde_json::from_str::<BitWidth>("8").unwrap().get(), 8);
        assert!(serde_json::from_str::<BitWidth>("0").unwrap_err().to_string().contains("got 0"));
    }

    #[test]
    fn precision_reads_what_it_writes() {
        let precision: Precision = "w3a4".parse().unwrap();
        assert_eq!(precision.to_string(), "w3a4");
        assert_eq!("W3A4".parse::<Precision>().unwrap(), precision);
        for wrong in ["", "3", "w3", "a3w4", "w3a", "w0a4"] {
            wrong.parse::<Precision>().unwrap_err();
        }
    }

    #[test]
    fn candidates_are_ordered_and_distinct() {
        assert_eq!("2,8,4".parse::<Candidates>().unwrap().to_string(), "8,4,2");
        assert_eq!("".parse::<Candidates>().unwrap_err(), BitsError::NoCandidates);
        assert_eq!(Candidates::of(&[4, 4]).unwrap_err().to_string(), "bit-width 4 is given twice among the candidates");
        assert_eq!(
            Candidates::of(&[3, 2]).unwrap().pairs().map(|p| p.to_string()).collect::<Vec<_>>(),
            ["w3a3", "w3a2", "w2a3", "w2a2"]
        );
    }
}

//! Rules on single layers: which bits they may have, and which layers share theirs.
//!
//! A rule is `GLOB=BITS`, with bits such as `w8a8` (both fixed), `w4,3,2` (weights only, a set) or `w4,3a8`. All rules that
//! match a layer hold together. A share is `[weights:|acts:]WHAT`, where WHAT is a glob or one of the sets that the graph
//! gives: `@residual`, `@concat`, `@depthwise`, `@inputs`.

use crate::search::{BitWidth, Candidates};
use glob::Pattern;
use std::{fmt, str::FromStr};

/// What is wrong with a rule or a share.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// A rule that cannot be read.
    #[error(
        "cannot read the rule {0:?}: expected LAYERS=BITS, for example layer1.0.conv1=w8a8, layer4.*=w4,3,2 or *=a8"
    )]
    Rule(String),
    /// A share that cannot be read.
    #[error(
        "cannot read the share {0:?}: expected [weights:|acts:]LAYERS, where LAYERS is a glob such as layer1.* or one of \
         @residual, @concat, @depthwise, @inputs"
    )]
    Share(String),
    /// A pattern that is none.
    #[error("{pattern:?} is not a pattern of layer names: {why}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What the parser said.
        why: String,
    },
    /// A bit-width that cannot be read or stands twice.
    #[error("rule {rule:?}: {why}")]
    Bits {
        /// The rule as written.
        rule: String,
        /// What is wrong.
        why: crate::search::BitsError,
    },
    /// No searchable layer matches.
    #[error("{rule:?} matches no searchable layer of {model}{hint}")]
    MatchesNothing {
        /// The rule or share as written.
        rule: String,
        /// The model.
        model: String,
        /// The nearest name or another explanation, in words; may be empty.
        hint: String,
    },
    /// Rules on layers that share bits contradict each other.
    #[error("layers {layers} share their {tensor} bits, but the rules on them have no bit-width in common")]
    NothingShared {
        /// The layers that rules speak of.
        layers: String,
        /// `weight` or `activation`.
        tensor: &'static str,
    },
    /// A share of one layer.
    #[error("the share {share:?} joins fewer than two layers of {model}, so it would do nothing")]
    SharesNothing {
        /// The share as written.
        share: String,
        /// The model.
        model: String,
    },
    /// Rules that leave a layer nothing.
    #[error("the rules leave layer {layer:?} no {tensor} bits: {rules}. Drop or widen one of them")]
    Contradiction {
        /// The layer.
        layer: String,
        /// `weight` or `activation`.
        tensor: &'static str,
        /// The rules that speak of it, in words.
        rules: String,
    },
}

/// Bits that layers may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The layers, as a glob.
    pub layers: Pattern,
    /// What their weights may have; `None` leaves them alone.
    pub weight: Option<Vec<BitWidth>>,
    /// What their input activations may have; `None` leaves them alone.
    pub act: Option<Vec<BitWidth>>,
}

/// Bits that layers have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Of their weights.
    pub weight: bool,
    /// Of their input activations.
    pub act: bool,
    /// Which layers.
    pub layers: Joined,
}

/// Layers that share bits.
#[derive(Clone, Debug, PartialEq)]
pub enum Joined {
    /// All that match.
    Matching(Pattern),
    /// The layers whose outputs additions sum, traced back through batch-norm, activation functions and the additions before,
    /// so that identity shortcuts join all layers that write to one residual stream. A pooling ends the trace, as it makes
    /// a new tensor.
    Residual,
    /// The layers whose outputs one concatenation joins, traced back in the same way, but to an addition only.
    Concat,
    /// A depthwise convolution and the layers that read its output.
    Depthwise,
    /// Layers that read the same tensor.
    Inputs,
}

/// All rules and shares of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Which bits layers may have.
    pub rules: Vec<Rule>,
    /// Which layers have bits in common.
    pub shares: Vec<Share>,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Rule(text.to_owned());
        let (layers, bits) = text.rsplit_once('=').ok_or_else(wrong)?;
        let bits = bits.trim().to_ascii_lowercase();
        let (weight, act) = match bits.split_once('a') {
            Some((weight, act)) => (weight, Some(act)),
            None => (bits.as_str(), None),
        };
        let weight = match weight {
            "" => None,
            weight => Some(weight.strip_prefix('w').ok_or_else(wrong)?),
        };
        if (weight.is_none() && act.is_none()) || layers.trim().is_empty() {
            return Err(wrong());
        }
        let list = |bits: &str| match bits.parse::<Candidates>() {
            Ok(bits) => Ok(bits.iter().collect()),
            Err(why) => Err(RuleError::Bits { rule: text.to_owned(), why }),
        };
        Ok(Self { layers: pattern(layers)?, weight: weight.map(list).transpose()?, act: act.map(list).transpose()? })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |bits: &[BitWidth]| bits.iter().map(BitWidth::to_string).collect::<Vec<_>>().join(",");
        let part = |letter: &str, bits: &Option<Vec<BitWidth>>| {
            bits.as_ref().map_or(String::new(), |bits| format!("{letter}{}", list(bits)))
        };
        write!(f, "{}={}{}", self.layers, part("w", &self.weight), part("a", &self.act))
    }
}

impl FromStr for Share {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (weight, act, layers) = match text.split_once(':') {
            Some(("weights", layers)) => (true, false, layers),
            Some(("acts", layers)) => (false, true, layers),
            Some(_) => return Err(RuleError::Share(text.to_owned())),
            None => (true, true, text),
        };
        let layers = match layers.trim() {
            "@residual" => Joined::Residual,
            "@concat" => Joined::Concat,
            "@depthwise" => Joined::Depthwise,
            "@inputs" => Joined::Inputs,
            other if other.is_empty() || other.starts_with('@') => return Err(RuleError::Share(text.to_owned())),
            glob => Joined::Matching(pattern(glob)?),
        };
        Ok(Self { weight, act, layers })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.weight, self.act) {
            (true, false) => "weights:",
            (false, true) => "acts:",
            _ => "",
        })?;
        match &self.layers {
            Joined::Matching(glob) => glob.fmt(f),
            Joined::Residual => f.write_str("@residual"),
            Joined::Concat => f.write_str("@concat"),
            Joined::Depthwise => f.write_str("@depthwise"),
            Joined::Inputs => f.write_str("@inputs"),
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, RuleError> {
    Pattern::new(text.trim()).map_err(|error| RuleError::Pattern { pattern: text.to_owned(), why: error.to_string() })
}

//! Rules on single layers: which bits they may have, and which layers share theirs.
//!
//! A rule is `GLOB=BITS`, with bits such as `w8a8` (both fixed), `w4,3,2` (weights only, a set) or `w4,3a8`. All rules that
//! match a layer hold together. A share is `[weights:|acts:]WHAT`, where WHAT is a glob or one of the sets that the graph
//! gives: `@residual`, `@concat`, `@depthwise`, `@inputs`.

use super::{BitWidth, Candidates, Precision};
use crate::{
    graph::{Graph, Layer, NodeId, Op},
    registry::nearest,
};
use glob::Pattern;
use std::{collections::BTreeMap, fmt, str::FromStr};

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
        why: super::BitsError,
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
    /// The layers whose outputs one addition sums, traced back through batch-norm and activation functions; another
    /// addition or a pooling ends the trace, as it makes a new tensor.
    Residual,
    /// The layers whose outputs one concatenation joins, traced back in the same way.
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

/// What one layer may have once all rules are applied; each list in descending order.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// Its name.
    pub layer: String,
    /// Bits for its weights.
    pub weight: Vec<BitWidth>,
    /// Bits for its input activations.
    pub act: Vec<BitWidth>,
    /// Whether a rule leaves exactly one bit-width for its weights.
    pub weight_pinned: bool,
    /// Whether a rule leaves exactly one bit-width for its input activations.
    pub act_pinned: bool,
}

impl Allowed {
    /// Every (weight, activation) pair, highest weight bits first.
    pub fn pairs(&self) -> impl Iterator<Item = Precision> + '_ {
        self.weight.iter().flat_map(|&weight| self.act.iter().map(move |&act| Precision { weight, act }))
    }
}

/// Layers (by place among the searchable ones) of which one tensor has the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whether it is their weights; else their input activations.
    pub weight: bool,
    /// The layers, ascending; at least two.
    pub members: Vec<usize>,
}

impl Rules {
    /// What each searchable layer may have, in graph order.
    ///
    /// # Errors
    /// Rules that match nothing or contradict each other.
    pub fn allowed(&self, graph: &Graph, candidates: &Candidates) -> Result<Vec<Allowed>, RuleError> {
        let layers = graph.searchable();
        for rule in &self.rules {
            if !layers.iter().any(|layer| rule.layers.matches(&layer.name)) {
                return Err(matches_nothing(graph, &rule.to_string(), &rule.layers));
            }
        }
        layers.iter().map(|layer| self.allowed_for(&layer.name, candidates)).collect()
    }

    fn allowed_for(&self, layer: &str, candidates: &Candidates) -> Result<Allowed, RuleError> {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.layers.matches(layer)).collect();
        let narrow = |of: fn(&Rule) -> Option<&Vec<BitWidth>>, tensor: &'static str| {
            let mut sets = rules.iter().filter_map(|rule| of(rule));
            // A rule may name bits that are no candidates, so that a layer can be kept at 8 bits in a search over 6 to 2.
            let Some(first) = sets.next() else { return Ok((candidates.iter().collect(), false)) };
            let mut bits = first.clone();
            sets.for_each(|set| bits.retain(|bit| set.contains(bit)));
            match bits.is_empty() {
                true => {
                    let speaking = rules.iter().filter(|rule| of(rule).is_some());
                    let rules = speaking.map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                    Err(RuleError::Contradiction { layer: layer.to_owned(), tensor, rules })
                }
                false => {
                    let pinned = bits.len() == 1;
                    Ok((bits, pinned))
                }
            }
        };
        let (weight, weight_pinned) = narrow(|rule| rule.weight.as_ref(), "weight")?;
        let (act, act_pinned) = narrow(|rule| rule.act.as_ref(), "activation")?;
        Ok(Allowed { layer: layer.to_owned(), weight, act, weight_pinned, act_pinned })
    }

    /// Which layers have bits in common: classes of weights and of input activations, no layer in two classes of one kind.
    ///
    /// # Errors
    /// Shares that join nothing.
    pub fn classes(&self, graph: &Graph) -> Result<Vec<Class>, RuleError> {
        let layers = graph.searchable();
        let place: BTreeMap<NodeId, usize> =
            layers.iter().enumerate().map(|(place, layer)| (layer.node, place)).collect();
        // Least layer that each is joined with, through any number of shares: weights and activations apart.
        let mut roots: [Vec<usize>; 2] = [(0..layers.len()).collect(), (0..layers.len()).collect()];
        for share in &self.shares {
            let sets = joined(graph, &layers, &place, &share.layers);
            if let Joined::Matching(glob) = &share.layers
                && sets.iter().all(Vec::is_empty)
            {
                return Err(matches_nothing(graph, &share.to_string(), glob));
            }
            if sets.iter().all(|set| set.len() < 2) {
                return Err(RuleError::SharesNothing { share: share.to_string(), model: graph.model.clone() });
            }
            for (roots, _) in roots.iter_mut().zip([share.weight, share.act]).filter(|(_, shared)| *shared) {
                for set in &sets {
                    for pair in set.windows(2) {
                        let (a, b) = (roots[pair[0]], roots[pair[1]]);
                        let (low, high) = (a.min(b), a.max(b));
                        roots.iter_mut().filter(|root| **root == high).for_each(|root| *root = low);
                    }
                }
            }
        }
        let mut classes = vec![];
        for (roots, weight) in roots.iter().zip([true, false]) {
            for root in 0..layers.len() {
                let members: Vec<usize> = (0..layers.len()).filter(|&layer| roots[layer] == root).collect();
                if members.len() > 1 {
                    classes.push(Class { weight, members });
                }
            }
        }
        Ok(classes)
    }
}

/// The sets of layers that a share joins.
fn joined(graph: &Graph, layers: &[Layer], place: &BTreeMap<NodeId, usize>, which: &Joined) -> Vec<Vec<usize>> {
    let reads = |layer: &Layer| graph.nodes[layer.node].inputs[0];
    match which {
        Joined::Matching(glob) => {
            vec![(0..layers.len()).filter(|&layer| glob.matches(&layers[layer].name)).collect()]
        }
        Joined::Residual | Joined::Concat => {
            let op = if *which == Joined::Residual { Op::Add } else { Op::Concat };
            let sums = graph.nodes.iter().filter(|node| node.op == op);
            let producers = |inputs: &[NodeId]| {
                let mut set: Vec<usize> =
                    inputs.iter().filter_map(|&input| place.get(&producer(graph, input)).copied()).collect();
                set.sort_unstable();
                set.dedup();
                set
            };
            sums.map(|node| producers(&node.inputs)).collect()
        }
        Joined::Depthwise => {
            let depthwise = |layer: &Layer| layer.groups > 1 && layer.groups == layer.in_shape.channels;
            let with_readers = |(index, layer): (usize, &Layer)| {
                let readers = (0..layers.len()).filter(|&other| producer(graph, reads(&layers[other])) == layer.node);
                std::iter::once(index).chain(readers).collect()
            };
            layers.iter().enumerate().filter(|(_, layer)| depthwise(layer)).map(with_readers).collect()
        }
        Joined::Inputs => {
            let mut by_tensor: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
            for (index, layer) in layers.iter().enumerate() {
                by_tensor.entry(reads(layer)).or_default().push(index);
            }
            by_tensor.into_values().collect()
        }
    }
}

/// The node that makes a tensor, seen through batch-norm and activation functions.
fn producer(graph: &Graph, mut node: NodeId) -> NodeId {
    while matches!(graph.nodes[node].op, Op::BatchNorm | Op::Relu) {
        node = graph.nodes[node].inputs[0];
    }
    node
}

fn matches_nothing(graph: &Graph, rule: &str, glob: &Pattern) -> RuleError {
    let searchable = graph.searchable();
    let fixed = graph.fixed().into_iter().find(|layer| glob.matches(&layer.name));
    let near = nearest(glob.as_str(), searchable.iter().map(|layer| layer.name.as_str()));
    let hint = match (fixed, near) {
        (Some(layer), _) => format!("; {} keeps its fixed 8 bits", layer.name),
        (None, Some(near)) => format!("; nearest: {near}"),
        (None, None) => String::new(),
    };
    RuleError::MatchesNothing { rule: rule.to_owned(), model: graph.model.clone(), hint }
}

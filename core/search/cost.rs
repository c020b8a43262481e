//! What layers cost at given bits, in exact integers, and under which accounting.

use super::{BitWidth, Precision};
use crate::graph::{FIXED_BITS, Graph, Layer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How published numbers are counted; printed next to every number.
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
pub enum Accounting {
    /// Output sides floored on each axis; stem and classifier count at their fixed 8x8 bits.
    #[default]
    Exact,
    /// As LIMPQ's published search: the output area is the truncated product of unfloored sides (stride-2 layers are
    /// over-counted), and BitOPs are those of the searched layers.
    Limpq,
}

impl Accounting {
    /// Multiply-accumulates of a layer for one image.
    pub fn macs(self, layer: &Layer) -> u64 {
        match self {
            Self::Exact => layer.macs,
            Self::Limpq => layer.limpq_macs,
        }
    }
}

/// What a cost counts, and how its numbers are read and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bit operations: multiply-accumulates times weight bits times activation bits. Printed in units of 1e9.
    BitOps,
    /// Bits of storage. Printed in MiB (2^20 bytes).
    Bits,
    /// A mean number of bits over elements.
    MeanBits,
    /// Time in nanoseconds. Printed in microseconds.
    Nanoseconds,
    /// Energy in picojoules. Printed in microjoules.
    Picojoules,
}

/// What is wrong between a cost model and a network; each cost model has errors of its own.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CostError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// What a layer at given bits adds to a sum.
pub type Added<'a> = Box<dyn Fn(&Layer, Precision) -> u64 + 'a>;

/// One moment of a cost that is a peak: what is counted then. See [`CostModel::steps`].
pub struct Step<'a> {
    /// What happens at that moment, for reports.
    pub name: String,
    /// What is counted whatever the policy.
    pub constant: u64,
    /// What a layer adds at these bits; layers outside the search are asked at their fixed bits.
    pub cost: Added<'a>,
}

/// A cost that adds up over layers, or the largest of several such sums.
///
/// ```
/// # use limpq_core::{graph::Layer, search::{Accounting, CostModel, Precision, Unit}};
/// /// Bits moved to fetch each weight once.
/// struct WeightTraffic;
/// impl CostModel for WeightTraffic {
///     fn unit(&self) -> Unit {
///         Unit::Bits
///     }
///     fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
///         layer.weights * bits.weight.get()
///     }
/// }
/// ```
pub trait CostModel: Send + Sync {
    /// What it counts.
    fn unit(&self) -> Unit;

    /// Cost of one layer at these bits. Formulas must not fall when bits rise.
    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64;

    /// Whether the layers outside the search (stem, classifier) count too, at their fixed bits.
    fn counts_fixed_layers(&self, _accounting: Accounting) -> bool {
        true
    }

    /// What a layer contributes to the divisor of a mean; 0 for plain sums.
    fn elements(&self, _layer: &Layer) -> u64 {
        0
    }

    /// Whether [`Self::cost`] knows this layer at these bits. Formulas know all; measured tables may not.
    fn covers(&self, _layer: &Layer, _bits: Precision) -> bool {
        true
    }

    /// Whether this cost fits the network at all.
    ///
    /// # Errors
    /// What does not fit, by name: for example a measured layer that the network does not have.
    fn check(&self, _graph: &Graph) -> Result<(), CostError> {
        Ok(())
    }

    /// The moments of a cost that is a peak, such as memory in use: its value is the largest of their sums, so a budget
    /// becomes one row of the integer program for each, which is exact. Empty for a cost that is one sum of
    /// [`Self::cost`].
    fn steps<'a>(&'a self, _graph: &'a Graph) -> Vec<Step<'a>> {
        vec![]
    }
}

/// A cost worked out for one graph: integers that no longer need the graph.
#[derive(Clone, Debug)]
pub struct CostTable {
    /// Name of the cost model or of the budget on it.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// Sum of elements for a mean, else 1.
    pub divisor: u64,
    /// The sums whose largest is the cost; one for most costs.
    pub sums: Vec<Sum>,
    /// Layers outside the search that count, but whose cost at their fixed bits is not known.
    pub unknown: Vec<String>,
}

/// One sum over layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// The moment that it stands for; empty when there is only one.
    pub name: String,
    /// What the layers outside the search cost, and whatever does not depend on the policy.
    pub fixed: u64,
    /// The same at 32 bits; `None` when the cost model does not know it.
    pub fixed_at_32: Option<u64>,
    /// For each searchable layer in graph order, its cost at the precisions that the cost model knows.
    pub layers: Vec<BTreeMap<Precision, u64>>,
}

impl CostTable {
    /// Works out a cost for all searchable layers of a graph at the given precisions (and at 32 bits).
    pub fn new(
        name: &str,
        model: &dyn CostModel,
        graph: &Graph,
        precisions: impl IntoIterator<Item = Precision>,
        accounting: Accounting,
    ) -> Self {
        let mut precisions: Vec<_> = precisions.into_iter().chain([full()]).collect();
        precisions.sort_unstable();
        precisions.dedup();
        let searchable = graph.searchable();
        let fixed = if model.counts_fixed_layers(accounting) { graph.fixed() } else { vec![] };
        let sum = |name: String, constant: u64, cost: &dyn Fn(&Layer, Precision) -> u64| {
            let known = |layer: &Layer, bits| model.covers(layer, bits).then(|| cost(layer, bits));
            let all_fixed = |bits| fixed.iter().map(|layer| known(layer, bits)).sum::<Option<u64>>();
            let at = |layer: &Layer| precisions.iter().filter_map(|&bits| Some((bits, known(layer, bits)?))).collect();
            Sum {
                name,
                fixed: constant + all_fixed(eight()).unwrap_or_default(),
                fixed_at_32: all_fixed(full()).map(|fixed| constant + fixed),
                layers: searchable.iter().map(at).collect(),
            }
        };
        let sums = match model.steps(graph) {
            steps if steps.is_empty() => {
                vec![sum(String::new(), 0, &|layer, bits| model.cost(layer, bits, accounting))]
            }
            steps => undominated(steps.into_iter().map(|s| sum(s.name, s.constant, &*s.cost)).collect()),
        };
        let elements: u64 = searchable.iter().map(|layer| model.elements(layer)).sum();
        let unknown = fixed.iter().filter(|layer| !model.covers(layer, eight())).map(|layer| layer.name.clone());
        let unknown = unknown.collect();
        Self { name: name.to_owned(), unit: model.unit(), divisor: elements.max(1), sums, unknown }
    }

    /// Whether it is one sum over the layers, and no peak.
    pub fn adds_up(&self) -> bool {
        matches!(&self.sums[..], [sum] if sum.name.is_empty())
    }

    /// Whether the cost of one searchable layer (by place in graph order) is known at these bits.
    pub fn covers(&self, layer: usize, bits: Precision) -> bool {
        self.sums[0].layers[layer].contains_key(&bits)
    }

    /// Whole-network cost of a policy, given as bits in graph order; `None` when one of them is not known.
    pub fn total(&self, bits: impl Iterator<Item = Precision> + Clone) -> Option<u64> {
        let of = |sum: &Sum| {
            let layers = sum.layers.iter().zip(bits.clone()).map(|(costs, bits)| costs.get(&bits)).sum::<Option<u64>>();
            layers.map(|layers| sum.fixed + layers)
        };
        self.sums.iter().map(of).try_fold(0, |most, total| Some(most.max(total?)))
    }

    /// Whole-network cost when every searchable layer has these bits.
    pub fn uniform(&self, bits: Precision) -> Option<u64> {
        self.total(std::iter::repeat(bits))
    }

    /// Whole-network cost at 32 bits, stem and classifier too.
    pub fn at_32_bits(&self) -> Option<u64> {
        let of = |sum: &Sum| {
            let layers = sum.layers.iter().map(|costs| costs.get(&full())).sum::<Option<u64>>();
            Some(sum.fixed_at_32? + layers?)
        };
        self.sums.iter().map(of).try_fold(0, |most, total| Some(most.max(total?)))
    }

    /// An integer cost in the unit it is printed in.
    pub fn printed(&self, cost: u64) -> f64 {
        cost as f64 / self.unit.scale(self.divisor)
    }
}

fn eight() -> Precision {
    Precision::uniform(FIXED_BITS.into()).expect("8 is a bit-width")
}

fn full() -> Precision {
    Precision::uniform(32).expect("32 is a bit-width")
}

/// Leaves out sums that can never be the largest: another one is at least as large in every part. Of equal ones the
/// first stays.
fn undominated(sums: Vec<Sum>) -> Vec<Sum> {
    let covers = |big: &Sum, small: &Sum| {
        big.fixed >= small.fixed
            && big.fixed_at_32 >= small.fixed_at_32
            && big
                .layers
                .iter()
                .zip(&small.layers)
                .all(|(big, small)| small.iter().all(|(bits, cost)| big[bits] >= *cost))
    };
    let mut kept: Vec<Sum> = vec![];
    for sum in sums {
        if !kept.iter().any(|other| covers(other, &sum)) {
            kept.retain(|other| !covers(&sum, other));
            kept.push(sum);
        }
    }
    kept
}

impl Unit {
    /// The symbol of the unit that numbers are printed in.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::BitOps => "GBitOPs",
            Self::Bits => "MiB",
            Self::MeanBits => "bits",
            Self::Nanoseconds => "us",
            Self::Picojoules => "uJ",
        }
    }

    /// How many integer ticks one printed unit is.
    fn scale(self, divisor: u64) -> f64 {
        match self {
            Self::BitOps => 1e9,
            Self::Bits => (8 << 20) as f64,
            Self::MeanBits => divisor as f64,
            Self::Nanoseconds => 1e3,
            Self::Picojoules => 1e6,
        }
    }

    /// Suffixes that a budget may carry, with the ticks each stands for.
    pub(super) fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::BitOps => &[
                ("K", 1_000),
                ("M", 1_000_000),
                ("G", 1_000_000_000),
                ("GBitOPs", 1_000_000_000),
                ("T", 1_000_000_000_000),
            ],
            Self::Bits => &[
                ("KiB", 8 << 10),
                ("MiB", 8 << 20),
                ("GiB", 8 << 30),
                ("kB", 8_000),
                ("MB", 8_000_000),
                ("GB", 8_000_000_000),
                ("bits", 1),
                ("B", 8),
            ],
            Self::MeanBits => &[],
            Self::Nanoseconds => &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)],
            Self::Picojoules => &[("pJ", 1), ("nJ", 1_000), ("uJ", 1_000_000), ("mJ", 1_000_000_000)],
        }
    }
}

/// Uniform policies worth comparing with: every candidate for weights and activations alike.
pub fn uniform_precisions(bits: impl IntoIterator<Item = BitWidth>) -> impl Iterator<Item = Precision> {
    bits.into_iter().map(|bits| Precision { weight: bits, act: bits })
}

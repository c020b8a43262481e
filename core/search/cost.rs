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
    /// over-counted), BitOPs are those of the searched layers, and a bit-width whose indicator is smaller than that
    /// of the next higher one is forbidden.
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

    /// Whether a bit-width may not be chosen, given its indicator and that of the next higher candidate (if there
    /// is one).
    pub fn forbids(self, indicator: f64, one_bit_higher: Option<f64>) -> bool {
        self == Self::Limpq && one_bit_higher.is_some_and(|higher| indicator < higher)
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
}

/// A cost that adds up over layers.
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

    /// Cost of one layer at these bits; must not fall when bits rise.
    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64;

    /// Whether the layers outside the search (stem, classifier) count too, at their fixed bits.
    fn counts_fixed_layers(&self, _accounting: Accounting) -> bool {
        true
    }

    /// What a layer contributes to the divisor of a mean; 0 for plain sums.
    fn elements(&self, _layer: &Layer) -> u64 {
        0
    }
}

/// A cost worked out for one graph: a table of integers that no longer needs the graph.
#[derive(Clone, Debug)]
pub struct CostTable {
    /// Name of the cost model or of the budget on it.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// Cost of the layers outside the search.
    pub fixed: u64,
    /// The same at 32 bits for weights and activations: what compression ratios compare against.
    pub fixed_at_32: u64,
    /// Sum of elements for a mean, else 1.
    pub divisor: u64,
    layers: Vec<(Layer, BTreeMap<Precision, u64>)>,
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
        let eight = Precision::uniform(FIXED_BITS.into()).expect("8 is a bit-width");
        let full = Precision::uniform(32).expect("32 is a bit-width");
        let precisions: Vec<_> = precisions.into_iter().chain([full]).collect();
        let layers: Vec<_> = graph
            .searchable()
            .into_iter()
            .map(|layer| {
                let costs = precisions.iter().map(|&bits| (bits, model.cost(&layer, bits, accounting))).collect();
                (layer, costs)
            })
            .collect();
        let fixed = if model.counts_fixed_layers(accounting) { graph.fixed() } else { vec![] };
        let sum = |bits| fixed.iter().map(|layer| model.cost(layer, bits, accounting)).sum();
        let elements: u64 = layers.iter().map(|(layer, _)| model.elements(layer)).sum();
        Self {
            name: name.to_owned(),
            unit: model.unit(),
            fixed: sum(eight),
            fixed_at_32: sum(full),
            divisor: elements.max(1),
            layers,
        }
    }

    /// Cost of one searchable layer (by place in graph order) at one of the precisions the table was made for.
    pub fn of(&self, layer: usize, bits: Precision) -> u64 {
        self.layers[layer].1[&bits]
    }

    /// Whole-network cost when every searchable layer has these bits.
    pub fn uniform(&self, bits: Precision) -> u64 {
        self.fixed + self.layers.iter().map(|(_, costs)| costs[&bits]).sum::<u64>()
    }

    /// Whole-network cost at 32 bits, stem and classifier too.
    pub fn at_32_bits(&self) -> u64 {
        let full = Precision::uniform(32).expect("32 is a bit-width");
        self.fixed_at_32 + self.layers.iter().map(|(_, costs)| costs[&full]).sum::<u64>()
    }

    /// An integer cost in the unit it is printed in.
    pub fn printed(&self, cost: u64) -> f64 {
        cost as f64 / self.unit.scale(self.divisor)
    }
}

impl Unit {
    /// The symbol of the unit that numbers are printed in.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::BitOps => "GBitOPs",
            Self::Bits => "MiB",
            Self::MeanBits => "bits",
        }
    }

    /// How many integer ticks one printed unit is.
    fn scale(self, divisor: u64) -> f64 {
        match self {
            Self::BitOps => 1e9,
            Self::Bits => (8 << 20) as f64,
            Self::MeanBits => divisor as f64,
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
        }
    }
}

/// Uniform policies worth comparing with: every candidate for weights and activations alike.
pub fn uniform_precisions(bits: impl IntoIterator<Item = BitWidth>) -> impl Iterator<Item = Precision> {
    bits.into_iter().map(|bits| Precision { weight: bits, act: bits })
}

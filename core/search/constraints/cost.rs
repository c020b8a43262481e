//! What layers cost at given bits, in exact integers, and under which accounting.

use crate::graph::{Graph, Layer, Second};
use crate::search::{BitWidth, Precision};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

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
    /// Output sides floored on each axis; fixed layers count at the bits that they keep.
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
            Self::Limpq => match layer.second {
                Second::Weights => layer.weights * layer.window.truncated_area(layer.in_shape),
                Second::Activations { .. } => layer.macs,
            },
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
    /// A unit of the cost's own, such as clock cycles or DSP slices:
    ///
    /// ```
    /// # use limpq_core::search::Unit;
    /// const CYCLES: Unit = Unit::Own {
    ///     symbol: "kcycles",
    ///     parts: 1_000,
    ///     suffixes: &[("cycles", 1), ("kcycles", 1_000), ("Mcycles", 1_000_000)],
    /// };
    /// ```
    Own {
        /// The symbol of the unit that numbers are printed in.
        symbol: &'static str,
        /// How many whole numbers of the cost one printed unit is; not zero.
        parts: u64,
        /// Suffixes that a budget may carry, and what each stands for. Without any, a budget is a bare number of printed units.
        suffixes: &'static [(&'static str, u64)],
    },
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
    /// State-dict names of the layers that add something then: few, in a network of hundreds.
    pub layers: Vec<String>,
    /// What one of these layers adds at these bits; layers outside the search are asked at their fixed bits.
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

    /// What a layer adds at every moment of a peak, beside the [`Self::steps`]: its weights, say.
    fn at_every_step(&self, _layer: &Layer, _bits: Precision) -> u64 {
        0
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
    /// What each searchable layer adds to every sum, in graph order, at the precisions that the cost model knows: all of
    /// its cost unless it is a peak.
    pub layers: Vec<BTreeMap<Precision, u64>>,
    /// The sums whose largest is the cost; one for most costs.
    pub sums: Vec<Sum>,
    /// Layers outside the search that count, but whose cost at their fixed bits is not known, in words.
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
    /// What searchable layers, by place in graph order, add to this sum alone; most add nothing.
    pub layers: BTreeMap<usize, BTreeMap<Precision, u64>>,
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
        let steps = model.steps(graph);
        let cost = |layer: &Layer, bits| match steps.is_empty() {
            true => model.cost(layer, bits, accounting),
            false => model.at_every_step(layer, bits),
        };
        let known = |layer: &Layer, bits| model.covers(layer, bits).then(|| cost(layer, bits));
        let of_fixed = |bits: &dyn Fn(&Layer) -> Precision| {
            fixed.iter().map(|layer| known(layer, bits(layer))).sum::<Option<u64>>()
        };
        let own = of_fixed(&|layer| layer.fixed_bits).unwrap_or_default();
        let fixed_at_32 = of_fixed(&|_| full());
        let at = |layer: &Layer| precisions.iter().filter_map(|&bits| Some((bits, known(layer, bits)?))).collect();
        let layers = searchable.iter().map(at).collect();
        let sums = match steps.is_empty() {
            true => vec![Sum { name: String::new(), fixed: own, fixed_at_32, layers: BTreeMap::new() }],
            false => {
                let places = Places::new(&searchable, &fixed);
                let sum = |step: Step| places.sum(step, &precisions, own, fixed_at_32);
                undominated(steps.into_iter().map(sum).collect())
            }
        };
        let elements: u64 = searchable.iter().map(|layer| model.elements(layer)).sum();
        let unknown = fixed
            .iter()
            .filter(|layer| !model.covers(layer, layer.fixed_bits))
            .map(|layer| format!("{} at its fixed {}", layer.name, layer.fixed_text()));
        let unknown = unknown.collect();
        Self { name: name.to_owned(), unit: model.unit(), divisor: elements.max(1), layers, sums, unknown }
    }

    /// Whether it is one sum over the layers, and no peak.
    pub fn adds_up(&self) -> bool {
        matches!(&self.sums[..], [sum] if sum.name.is_empty())
    }

    /// Whether the cost of one searchable layer (by place in graph order) is known at these bits.
    pub fn covers(&self, layer: usize, bits: Precision) -> bool {
        self.layers[layer].contains_key(&bits)
    }

    /// Whole-network cost of a policy, given as bits in graph order; `None` when one of them is not known.
    pub fn total(&self, bits: impl Iterator<Item = Precision> + Clone) -> Option<u64> {
        let bits: Vec<Precision> = bits.take(self.layers.len()).collect();
        let at_all = self.layers.iter().zip(&bits).map(|(costs, bits)| costs.get(bits)).sum::<Option<u64>>()?;
        let of = |sum: &Sum| {
            let layers = sum.layers.iter().map(|(&layer, costs)| costs.get(&bits[layer])).sum::<Option<u64>>();
            Some(sum.fixed + layers?)
        };
        Some(at_all + self.sums.iter().map(of).try_fold(0, |most, total| Some(most.max(total?)))?)
    }

    /// Whole-network cost when every searchable layer has these bits.
    pub fn uniform(&self, bits: Precision) -> Option<u64> {
        self.total(std::iter::repeat(bits))
    }

    /// Whole-network cost at 32 bits, stem and classifier too.
    pub fn at_32_bits(&self) -> Option<u64> {
        let at_all = self.layers.iter().map(|costs| costs.get(&full())).sum::<Option<u64>>()?;
        let of = |sum: &Sum| {
            let layers = sum.layers.values().map(|costs| costs.get(&full())).sum::<Option<u64>>();
            Some(sum.fixed_at_32? + layers?)
        };
        Some(at_all + self.sums.iter().map(of).try_fold(0, |most, total| Some(most.max(total?)))?)
    }

    /// An integer cost in the unit it is printed in.
    pub fn printed(&self, cost: u64) -> f64 {
        cost as f64 / self.unit.scale(self.divisor)
    }
}

/// Where the layers are that steps name.
struct Places<'a> {
    searchable: HashMap<&'a str, (usize, &'a Layer)>,
    fixed: HashMap<&'a str, &'a Layer>,
}

impl<'a> Places<'a> {
    fn new(searchable: &'a [Layer], fixed: &'a [Layer]) -> Self {
        Self {
            searchable: searchable.iter().enumerate().map(|(place, layer)| (&*layer.name, (place, layer))).collect(),
            fixed: fixed.iter().map(|layer| (&*layer.name, layer)).collect(),
        }
    }

    /// A step worked out, beside what all steps count of the fixed layers.
    fn sum(&self, step: Step, precisions: &[Precision], fixed: u64, fixed_at_32: Option<u64>) -> Sum {
        let at = |bits: &dyn Fn(&Layer) -> Precision| {
            let fixed = step.layers.iter().filter_map(|name| self.fixed.get(&**name));
            step.constant + fixed.map(|layer| (step.cost)(layer, bits(layer))).sum::<u64>()
        };
        let layer = |&(place, layer): &(usize, &Layer)| {
            (place, precisions.iter().map(|&bits| (bits, (step.cost)(layer, bits))).collect())
        };
        let layers = step.layers.iter().filter_map(|name| self.searchable.get(&**name)).map(layer).collect();
        Sum {
            fixed: fixed + at(&|layer| layer.fixed_bits),
            fixed_at_32: fixed_at_32.map(|fixed| fixed + at(&|_| full())),
            layers,
            name: step.name,
        }
    }
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
            && small.layers.iter().all(|(layer, small)| {
                let big = big.layers.get(layer);
                small.iter().all(|(bits, &cost)| cost <= big.map_or(0, |big| big[bits]))
            })
    };
    // A sum is covered only by such that know all of its layers, so those of one of them are looked at.
    let mut knowing: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, sum) in sums.iter().enumerate() {
        sum.layers.keys().for_each(|&layer| knowing.entry(layer).or_default().push(index));
    }
    let all: Vec<usize> = (0..sums.len()).collect();
    let others = |sum: &Sum| {
        let few = sum.layers.keys().map(|layer| &knowing[layer]).min_by_key(|knowing| knowing.len());
        few.unwrap_or(&all)
    };
    let goes = |index: usize| {
        let replaced = |&other: &usize| {
            let back = || covers(&sums[index], &sums[other]);
            other != index && covers(&sums[other], &sums[index]) && (other < index || !back())
        };
        others(&sums[index]).iter().any(replaced)
    };
    let stays: Vec<bool> = all.iter().map(|&index| !goes(index)).collect();
    sums.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(sum, _)| sum).collect()
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
            Self::Own { symbol, .. } => symbol,
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
            Self::Own { parts, .. } => parts.max(1) as f64,
        }
    }

    /// What a bare number stands for, of a unit without suffixes.
    pub(super) fn bare(self, divisor: u64) -> u64 {
        match self {
            Self::Own { parts, .. } => parts.max(1),
            _ => divisor,
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
            Self::Own { suffixes, .. } => suffixes,
        }
    }
}

/// Uniform policies worth comparing with: every candidate for weights and activations alike.
pub fn uniform_precisions(bits: impl IntoIterator<Item = BitWidth>) -> impl Iterator<Item = Precision> {
    bits.into_iter().map(|bits| Precision { weight: bits, act: bits })
}

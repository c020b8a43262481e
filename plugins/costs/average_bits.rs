//! Average bit-width, the usual label of mixed-precision results in tables: `Σ n·b / Σ n`, where n is a layer's number
//! of weights and b their bit-width, or n is the number of elements of its input for one image and b the bit-width of
//! activations.
//!
//! The mean is over searched layers only. Stem and classifier keep 8 bits whatever the policy, and are excluded: with
//! them, uniform 3 bits would not average 3.

use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which tensors are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Weights, each counted once.
    #[default]
    Weights,
    /// Input activations of each layer for one image; a tensor that two layers read counts twice, since each layer
    /// quantizes it to its own bits. A product of two activations has both as its input.
    Activations,
}

/// Mean bits over the weights or the input activations of searched layers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AverageBits {
    /// Which tensors are averaged: "weights" or "activations".
    pub of: Of,
}

impl CostModel for AverageBits {
    fn unit(&self) -> Unit {
        Unit::MeanBits
    }

    fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
        match self.of {
            Of::Weights => layer.weights * bits.weight.get(),
            Of::Activations => {
                layer.in_shape.elements() as u64 * bits.act.get() + layer.second_activations() * bits.weight.get()
            }
        }
    }

    fn counts_fixed_layers(&self, _: Accounting) -> bool {
        false
    }

    fn elements(&self, layer: &Layer) -> u64 {
        match self.of {
            Of::Weights => layer.weights,
            Of::Activations => layer.in_shape.elements() as u64 + layer.second_activations(),
        }
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "average_bits",
    "mean bits over the weights or the input activations of searched layers",
    AverageBits,
    ("average_weight_bits", "of", "weights"),
    ("average_act_bits", "of", "activations"),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::published;
    use limpq_core::graph::{Builder, Conv, Graph, Shape};
    use limpq_core::ops::Matmul;
    use limpq_core::registry;
    use limpq_core::search::CostTable;

    /// Two searched layers: 8 weights on 2x4x4 activations, then 36 weights on 4x2x2.
    fn tiny() -> Graph {
        let (mut b, x) = Builder::new("tiny", Shape::new(2, 4, 4).unwrap(), 3);
        let x = b.conv("a", x, Conv::new(4, 1).stride(2));
        let x = b.conv("b", x, Conv::new(4, 3).groups(4));
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    #[test]
    fn means_by_hand() {
        let [high, low] = ["w4a2", "w2a8"].map(|bits| bits.parse().unwrap());
        let mean = |of| {
            let table = CostTable::new("mean", &AverageBits { of }, &tiny(), [high, low], Accounting::Exact);
            table.printed(table.total([high, low].into_iter()).unwrap())
        };
        assert_eq!(mean(Of::Weights), (8.0 * 4.0 + 36.0 * 2.0) / 44.0);
        assert_eq!(mean(Of::Activations), (32.0 * 2.0 + 16.0 * 8.0) / 48.0);
    }

    #[test]
    fn both_operands_of_a_product_are_activations() {
        // Two 4x4 matrices times themselves, transposed: 32 values at the activation's bits and 32 at those called weight.
        let (mut b, x) = Builder::new("tiny", Shape::new(2, 4, 4).unwrap(), 3);
        let x = b.apply("square", Matmul { transpose: true, ..Matmul::default() }, &[x, x]);
        b.classifier("fc", x);
        let graph = b.finish().unwrap();
        let w2a8: Precision = "w2a8".parse().unwrap();
        let mean = |of| {
            let table = CostTable::new("mean", &AverageBits { of }, &graph, [w2a8], Accounting::Exact);
            table.printed(table.uniform(w2a8).unwrap())
        };
        assert_eq!(mean(Of::Activations), (32.0 * 8.0 + 32.0 * 2.0) / 64.0);
        assert_eq!(mean(Of::Weights), 0.0, "it has no weights");
    }

    #[test]
    fn a_uniform_policy_averages_its_own_bits() {
        let w3a4 = "w3a4".parse().unwrap();
        for (name, bits) in [("average_bits", 3.0), ("average_weight_bits", 3.0), ("average_act_bits", 4.0)] {
            let model = registry::build::<dyn CostModel>(name, &Default::default()).unwrap();
            let table = CostTable::new(name, &*model, &tiny(), [w3a4], Accounting::Exact);
            assert_eq!(table.printed(table.uniform(w3a4).unwrap()), bits, "{name}");
            assert_eq!(table.printed(table.at_32_bits().unwrap()), 32.0, "{name}");
        }
    }

    #[test]
    fn limpq_s_published_policy() {
        let (table, policy) = published::cost(&AverageBits { of: Of::Weights }, Accounting::Limpq);
        // Its size without the 8-bit stem and classifier, over the weights of the searched layers.
        assert_eq!((policy, table.divisor), (66_876_928 - 8 * 2_057_408, 25_502_912 - 2_057_408));
    }
}

//! Bit operations: the product of a w-bit and an a-bit integer takes w·a of them, so a layer takes `BitOPs = MACs·w·a`
//! (Zhou et al., DoReFa-Net, arXiv:1606.06160, sec. 2.1, count bitwise products this way; LIMPQ, Tang et al., ECCV
//! 2022, uses them as budget).
//!
//! MACs depend on the accounting. `exact` floors output sides and counts stem and classifier at their fixed 8x8 bits;
//! `limpq` counts the searched layers only, as the paper's published search does.

use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Multiply-accumulates times weight bits times activation bits.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BitOps {}

impl CostModel for BitOps {
    fn unit(&self) -> Unit {
        Unit::BitOps
    }

    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64 {
        accounting.macs(layer) * bits.weight.get() * bits.act.get()
    }

    fn counts_fixed_layers(&self, accounting: Accounting) -> bool {
        accounting == Accounting::Exact
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "bitops",
    "bit operations for one image: multiply-accumulates times weight bits times activation bits",
    BitOps
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::{Size, published};
    use limpq_core::graph::{Builder, Conv, Shape};
    use limpq_core::ops::Matmul;
    use limpq_core::search::CostTable;

    #[test]
    fn a_small_network_by_hand() {
        let (mut b, x) = Builder::new("tiny", Shape::new(1, 4, 4).unwrap(), 3);
        let x = b.fixed_conv("stem", x, Conv::new(2, 1));
        let x = b.conv("body", x, Conv::new(5, 3).stride(2));
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        let graph = b.finish().unwrap();
        let w2a3 = "w2a3".parse().unwrap();
        let total = |accounting| {
            CostTable::new("bitops", &BitOps::default(), &graph, [w2a3], accounting).uniform(w2a3).unwrap()
        };
        // Stem 16 pixels of 2 weights, body 4 pixels of 2*5*9 weights, classifier 15 weights.
        assert_eq!(total(Accounting::Exact), (32 + 15) * 64 + 4 * 90 * 6);
        // Unfloored, the body's sides are (4 + 2 - 3)/2 + 1 = 2.5, their product 6.25.
        assert_eq!(total(Accounting::Limpq), 6 * 90 * 6);
    }

    /// Both products of one head's attention of 3 tokens of dim 2 take 3*3*2 multiply-accumulates; both operands have bits.
    #[test]
    fn products_of_activations_by_hand() {
        let (mut b, x) = Builder::new("attention", Shape::new(1, 3, 2).unwrap(), 3);
        let y = b.apply("qk", Matmul { transpose: true, ..Matmul::default() }, &[x, x]);
        let x = b.apply("av", Matmul::default(), &[y, x]);
        b.classifier("fc", x);
        let graph = b.finish().unwrap();
        let w2a3 = "w2a3".parse().unwrap();
        let total = |model: &dyn CostModel, accounting| {
            CostTable::new("", model, &graph, [w2a3], accounting).uniform(w2a3).unwrap()
        };
        // The classifier reads 6 values.
        assert_eq!(total(&BitOps::default(), Accounting::Exact), 2 * 18 * 6 + 18 * 64);
        assert_eq!(total(&BitOps::default(), Accounting::Limpq), 2 * 18 * 6);
        assert_eq!(total(&Size::default(), Accounting::Exact), 18 * 8, "products have no weights");
    }

    #[test]
    fn resnet50_as_limpq_counts_it() {
        let (table, policy) = published::cost(&BitOps::default(), Accounting::Limpq);
        assert_eq!(table.uniform("w3a4".parse().unwrap()), Some(48_284_565_504));
        assert_eq!(policy, 48_283_189_248);
    }
}

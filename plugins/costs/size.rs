//! Size of the stored weights: `Σ weights·w` bits over convolutions and fully connected layers, stem and classifier at
//! their fixed 8 bits (LIMPQ, Tang et al., ECCV 2022, compare compression ratios computed this way).
//!
//! Biases, batch norms and step sizes stay in full precision and do not depend on the policy; they are not included.

use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bits that the weights take.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Size {}

impl CostModel for Size {
    fn unit(&self) -> Unit {
        Unit::Bits
    }

    fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
        layer.weights * bits.weight.get()
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "size",
    "storage of the weights: weight count times weight bits, stem and classifier at 8 bits",
    Size
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::published;

    #[test]
    fn resnet50_compressed_as_published() {
        for accounting in [Accounting::Exact, Accounting::Limpq] {
            let (table, policy) = published::cost(&Size::default(), accounting);
            assert_eq!(policy, 66_876_928);
            assert_eq!(table.at_32_bits(), Some(25_502_912 * 32));
            assert_eq!(
                format!("{:.3} of {:.3}", table.printed(policy), table.printed(25_502_912 * 32)),
                "7.972 of 97.286"
            );
            // Stem 64*3*49 and classifier 2048*1000 weights.
            assert_eq!(table.sums[0].fixed, (9_408 + 2_048_000) * 8);
        }
    }
}

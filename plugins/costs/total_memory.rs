//! Total memory: all weights at their bits plus the activations of the step that holds most, `Σ weights·w + max over
//! steps of Σ elements·bits`: what a device without paging needs.
//!
//! Weights are counted as `size` does (no biases or batch norms, stem and classifier at 8 bits), activations as
//! `activation_memory` does.

use super::{ActivationMemory, memory::Held};
use limpq_core::graph::{Graph, Layer};
use limpq_core::search::{Accounting, BitWidth, CostError, CostModel, Precision, Step, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bits of all weights and of the activations that are alive at one time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TotalMemory {
    /// Minimum bits of a tensor that an addition or an average reads, such as the shortcut of a residual block.
    #[schemars(with = "u64")]
    pub residual_bits: BitWidth,
}

impl Default for TotalMemory {
    fn default() -> Self {
        Self { residual_bits: ActivationMemory::default().residual_bits }
    }
}

impl TotalMemory {
    fn activations(&self) -> ActivationMemory {
        ActivationMemory { residual_bits: self.residual_bits }
    }
}

fn weights(layer: &Layer, bits: Precision) -> u64 {
    layer.weights * bits.weight.get()
}

impl CostModel for TotalMemory {
    fn unit(&self) -> Unit {
        Unit::Bits
    }

    /// Only the layer's weights and its input.
    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64 {
        weights(layer, bits) + self.activations().cost(layer, bits, accounting)
    }

    fn check(&self, graph: &Graph) -> Result<(), CostError> {
        self.activations().check(graph)
    }

    fn steps<'a>(&'a self, graph: &'a Graph) -> Vec<Step<'a>> {
        let residual = self.residual_bits;
        let step = |held: Held| Step {
            name: held.name.clone(),
            constant: held.constant * residual.get(),
            layers: held.by_layer.keys().cloned().collect(),
            cost: Box::new(move |layer, bits| held.bits(layer, bits, residual)),
        };
        self.activations().sums(graph).into_iter().map(step).collect()
    }

    fn at_every_step(&self, layer: &Layer, bits: Precision) -> u64 {
        weights(layer, bits)
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "total_memory",
    "peak memory for one image: all weights, and all activations that are alive at one time",
    TotalMemory
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::Size;
    use crate::models::{ResNet18, reference::imagenet};
    use limpq_core::search::CostTable;

    #[test]
    fn it_is_size_and_activation_memory_together() {
        let graph = imagenet(&ResNet18::default());
        let precisions = ["w8a8", "w4a6", "w3a2"].map(|bits| bits.parse::<Precision>().unwrap());
        let table = |model: &dyn CostModel| CostTable::new("", model, &graph, precisions, Accounting::Exact);
        let tables = [&TotalMemory::default() as &dyn CostModel, &Size::default(), &ActivationMemory::default()];
        let [total, size, activations] = tables.map(table);
        let mixed = (0..graph.searchable().len()).map(|layer| precisions[layer % 3]);
        let sum = size.total(mixed.clone()).unwrap() + activations.total(mixed.clone()).unwrap();
        assert_eq!(total.total(mixed), Some(sum));
        // 11 678 912 weights and the max pool's 64*(112*112 + 56*56) activations, a byte each.
        assert_eq!(total.uniform(precisions[0]), Some(8 * (11_678_912 + 1_003_520)));
    }
}

//! ResNet-34 (He et al., CVPR 2016, table 1): a stem, four stages of 3, 4, 6 and 3 basic blocks with 64, 128, 256 and
//! 512 channels, a global average pool and one fully connected layer. Names as in torchvision's `resnet34`.

use super::residual::{Block, Stem, resnet};
use limpq_core::graph::{Graph, GraphError, Model, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ResNet-34.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet34 {
    /// How the network begins: "imagenet" (7x7 stride 2 and a max pool) or "small" (3x3 stride 1, for small images).
    pub stem: Stem,
}

impl Model for ResNet34 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        resnet("resnet34", input, classes, self.stem, Block::Basic, [3, 4, 6, 3])
    }
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "resnet34",
    "ResNet-34: 32 basic convolutions in four stages (He et al., 2016)",
    ResNet34
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{imagenet, macs, trainable};

    #[test]
    fn counts_match_torchvision() {
        let graph = imagenet(&ResNet34::default());
        assert_eq!(trainable(&graph), 21_797_672);
        assert_eq!(macs(&graph), 3_663_761_408);
        // 16 blocks of two, and a projection in each stage but the first.
        assert_eq!(graph.searchable().len(), 35);
    }
}

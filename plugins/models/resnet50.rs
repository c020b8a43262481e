//! ResNet-50 (He et al., CVPR 2016, table 1): a stem, four stages of 3, 4, 6 and 3 bottleneck blocks with 64, 128, 256
//! and 512 channels (four times that at a block's end), a global average pool and one fully connected layer. Names as
//! in torchvision's `resnet50`.

use super::residual::{Block, Stem, resnet};
use limpq_core::graph::{Graph, GraphError, Model, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ResNet-50.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet50 {
    /// How the network begins: "imagenet" (7x7 stride 2 and a max pool) or "small" (3x3 stride 1, for small images).
    pub stem: Stem,
}

impl Model for ResNet50 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        resnet("resnet50", input, classes, self.stem, Block::Bottleneck, [3, 4, 6, 3])
    }
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "resnet50",
    "ResNet-50: bottleneck blocks with the stride in the 3x3 (He et al., 2016; torchvision)",
    ResNet50
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{gbitops, imagenet, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let graph = imagenet(&ResNet50::default());
        assert_eq!(trainable(&graph), 25_557_032);
        assert_eq!(gbitops(&graph, "w3a4"), 55.313);
    }

    #[test]
    fn searched_layers_stand_in_the_order_of_limpq_s_published_lists() {
        let layers = imagenet(&ResNet50::default()).searchable();
        let names = names(&layers);
        assert_eq!(names.len(), 52);
        assert_eq!(
            names[..5],
            ["layer1.0.conv1", "layer1.0.conv2", "layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv1"]
        );
        assert_eq!(names[51], "layer4.2.conv3");
    }
}

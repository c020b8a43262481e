//! ResNet-18 (He et al., CVPR 2016, table 1): a stem, four stages of 2, 2, 2 and 2 basic blocks with 64, 128, 256 and
//! 512 channels, a global average pool and one fully connected layer. Names as in torchvision's `resnet18`.

use super::residual::{Block, Stem, resnet};
use limpq_core::graph::{Graph, GraphError, Model, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ResNet-18.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet18 {
    /// How the network begins: "imagenet" (7x7 stride 2 and a max pool) or "small" (3x3 stride 1, for small images).
    pub stem: Stem,
}

impl Model for ResNet18 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        resnet("resnet18", input, classes, self.stem, Block::Basic, [2, 2, 2, 2])
    }
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "resnet18",
    "ResNet-18: 16 basic convolutions in four stages (He et al., 2016)",
    ResNet18
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{gbitops, gbitops_at_32_bits, imagenet, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let graph = imagenet(&ResNet18::default());
        assert_eq!(trainable(&graph), 11_689_512);
        assert_eq!(gbitops(&graph, "w3a3"), 22.846);
        assert_eq!(gbitops(&graph, "w4a4"), 34.714);
        assert_eq!((gbitops_at_32_bits(&graph) * 10.0).round() / 10.0, 1857.6);
    }

    #[test]
    fn layers_are_torchvision_s_in_its_order() {
        let layers = imagenet(&ResNet18::default()).layers();
        let names = names(&layers);
        assert_eq!(names.len(), 21);
        assert_eq!(names[..5], ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"]);
        assert_eq!(names[5..8], ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"]);
        assert_eq!(names[20], "fc");
    }

    #[test]
    fn the_small_stem_keeps_the_sides() {
        let graph = ResNet18 { stem: Stem::Small }.graph("3x32x32".parse().unwrap(), 10).unwrap();
        assert_eq!(graph.layers()[1].in_shape.to_string(), "64x32x32");
        assert_eq!(graph.layers()[19].out_shape.to_string(), "512x4x4");
    }
}

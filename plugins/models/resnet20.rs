//! ResNet-20 for small images (He et al., CVPR 2016, sec. 4.2): a 3x3 stem, three stages of n basic blocks with w, 2w
//! and 4w channels at full, half and quarter side, a global average pool and one fully connected layer; 6n + 2 layers,
//! with n = 3 and w = 16 in the paper.
//!
//! Where the shape changes the paper pads the identity with zero channels (type A). Here it is a 1x1 convolution with
//! batch norm (type B), so that the layers are those of the larger networks; this adds 2752 parameters at w = 16.

use super::residual::{Block, stage, stem};
use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Far beyond any network of this family (the paper's deepest has 200 blocks in a stage), and far from overflow.
const WIDTHS: RangeInclusive<usize> = 1..=4096;
const BLOCKS: RangeInclusive<usize> = 1..=1000;

/// ResNet-20, narrower, wider or deeper if asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet20 {
    /// Channels of the stem and the first stage; each further stage has twice as many.
    pub width: usize,
    /// Blocks in each of the three stages; 3 gives 20 layers, n gives 6n + 2.
    pub blocks: usize,
}

impl Default for ResNet20 {
    fn default() -> Self {
        Self { width: 16, blocks: 3 }
    }
}

impl Model for ResNet20 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        within("width", self.width, WIDTHS)?;
        within("blocks", self.blocks, BLOCKS)?;
        let (mut b, x) = Builder::new("resnet20", input, classes);
        let mut x = stem(&mut b, x, Conv::new(self.width, 3));
        for (name, factor, stride) in [("layer1", 1, 1), ("layer2", 2, 2), ("layer3", 4, 2)] {
            x = stage(&mut b, name, x, Block::Basic, self.blocks, factor * self.width, stride);
        }
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        b.finish()
    }
}

fn within(name: &'static str, value: usize, allowed: RangeInclusive<usize>) -> Result<(), GraphError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(GraphError::Option { name, why: format!("must be {}..={}, got {value}", allowed.start(), allowed.end()) })
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "resnet20",
    "ResNet-20 for small images, with width and depth to choose (He et al., 2016, sec. 4.2)",
    ResNet20
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{macs, names, trainable};

    fn graph(options: &ResNet20, input: &str) -> Graph {
        options.graph(input.parse().unwrap(), 10).unwrap()
    }

    #[test]
    fn counts_on_cifar_10_match_a_calculation_by_hand() {
        let graph = graph(&ResNet20::default(), "3x32x32");
        assert_eq!(trainable(&graph), 272_474);
        // Stem; stage 1; stages 2 and 3, each a strided convolution, five more and a projection; classifier.
        let stage = 1_179_648 + 5 * 2_359_296 + 131_072;
        assert_eq!(macs(&graph), 442_368 + 6 * 2_359_296 + 2 * stage + 640);
    }

    #[test]
    fn layers_are_named_as_in_the_larger_networks() {
        let layers = graph(&ResNet20::default(), "3x32x32").layers();
        let names = names(&layers);
        assert_eq!(names.len(), 22, "20 layers and two projections");
        assert_eq!(names[..3], ["conv1", "layer1.0.conv1", "layer1.0.conv2"]);
        assert_eq!(names[7..10], ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"]);
    }

    #[test]
    fn takes_small_and_grey_images() {
        for (input, last) in [("1x8x8", "64x2x2"), ("1x28x28", "64x7x7"), ("3x32x32", "64x8x8"), ("1x1x1", "64x1x1")] {
            let layers = graph(&ResNet20::default(), input).searchable();
            assert_eq!(layers.last().unwrap().out_shape.to_string(), last);
        }
    }

    #[test]
    fn width_and_blocks_scale_it() {
        let layers = graph(&ResNet20 { width: 4, blocks: 1 }, "1x8x8").layers();
        assert_eq!(layers.len(), 10, "6n + 2 and two projections");
        assert_eq!(layers[9].in_shape.to_string(), "16x1x1");
    }

    #[test]
    fn refuses_options_out_of_range() {
        let error = |options: ResNet20| options.graph("3x32x32".parse().unwrap(), 10).unwrap_err().to_string();
        assert_eq!(error(ResNet20 { width: 0, blocks: 3 }), "option width: must be 1..=4096, got 0");
        assert_eq!(error(ResNet20 { width: 16, blocks: 0 }), "option blocks: must be 1..=1000, got 0");
        assert!(error(ResNet20 { width: usize::MAX, blocks: 3 }).starts_with("option width"));
    }
}

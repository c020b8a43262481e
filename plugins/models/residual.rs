//! What the residual networks share (He et al., CVPR 2016): `y = relu(F(x) + s(x))`, where F is two 3x3 convolutions
//! (basic block, fig. 5 left) or 1x1, 3x3, 1x1 (bottleneck, fig. 5 right), and s the identity, or a 1x1 convolution
//! with batch norm where the shape changes (shortcuts of type B).
//!
//! The bottleneck strides in its 3x3 convolution, as torchvision does; the paper strides in the first 1x1, which costs
//! less and scores lower. Layers are described in the order of torchvision's modules, a block's `downsample` last.

use limpq_core::graph::{Builder, Conv, Graph, GraphError, NodeId, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the network begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 7x7 convolution with stride 2, then a 3x3 max pool with stride 2: an image loses three quarters of each side.
    #[default]
    Imagenet,
    /// 3x3 convolution with stride 1, no pool: for images of some 64 pixels and less.
    Small,
}

/// The two forms of F.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1; the last has four times the channels of the others.
    Bottleneck,
}

impl Block {
    /// One block; `channels` are those of its 3x3 convolutions.
    fn describe(self, b: &mut Builder, name: &str, x: NodeId, channels: usize, stride: usize) -> NodeId {
        let three = Conv::new(channels, 3);
        let convs = match self {
            Self::Basic => vec![three.stride(stride), three],
            Self::Bottleneck => vec![Conv::new(channels, 1), three.stride(stride), Conv::new(4 * channels, 1)],
        };
        let mut y = x;
        for (i, &conv) in convs.iter().enumerate() {
            // Between convolutions only: the last one's rectifier follows the sum.
            if i > 0 {
                y = b.relu(y);
            }
            y = b.conv(&format!("{name}.conv{}", i + 1), y, conv);
            y = b.batch_norm(&format!("{name}.bn{}", i + 1), y);
        }
        let out = b.channels(y);
        let shortcut = if stride == 1 && b.channels(x) == out {
            x
        } else {
            let projected = b.conv(&format!("{name}.downsample.0"), x, Conv::new(out, 1).stride(stride));
            b.batch_norm(&format!("{name}.downsample.1"), projected)
        };
        let sum = b.add(y, shortcut);
        b.relu(sum)
    }
}

/// Blocks of one width; the first has the stride.
pub(super) fn stage(
    b: &mut Builder,
    name: &str,
    mut x: NodeId,
    block: Block,
    blocks: usize,
    channels: usize,
    stride: usize,
) -> NodeId {
    for i in 0..blocks {
        x = block.describe(b, &format!("{name}.{i}"), x, channels, if i == 0 { stride } else { 1 });
    }
    x
}

/// The first convolution with its batch norm and rectifier; it stays out of the search.
pub(super) fn stem(b: &mut Builder, x: NodeId, conv: Conv) -> NodeId {
    let x = b.fixed_conv("conv1", x, conv);
    let x = b.batch_norm("bn1", x);
    b.relu(x)
}

/// A residual network for ImageNet: table 1 of the paper with this many blocks in its four stages.
pub(super) fn resnet(
    model: &str,
    input: Shape,
    classes: usize,
    kind: Stem,
    block: Block,
    blocks: [usize; 4],
) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(model, input, classes);
    let mut x = match kind {
        Stem::Imagenet => {
            let x = stem(&mut b, x, Conv::new(64, 7).stride(2));
            b.max_pool(x, 3, 2, 1)
        }
        Stem::Small => stem(&mut b, x, Conv::new(64, 3)),
    };
    for (i, &blocks) in blocks.iter().enumerate() {
        let stride = if i == 0 { 1 } else { 2 };
        x = stage(&mut b, &format!("layer{}", i + 1), x, block, blocks, 64 << i, stride);
    }
    let x = b.global_avg_pool(x);
    b.classifier("fc", x);
    b.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_block(block: Block, channels: usize, stride: usize) -> Graph {
        let (mut b, x) = Builder::new("block", Shape::new(4, 8, 8).unwrap(), 2);
        stage(&mut b, "s", x, block, 1, channels, stride);
        b.finish().unwrap()
    }

    #[test]
    fn the_shortcut_is_projected_only_where_the_shape_changes() {
        let projected = |block, channels, stride| {
            one_block(block, channels, stride).layers().iter().any(|layer| layer.name == "s.0.downsample.0")
        };
        assert!(!projected(Block::Basic, 4, 1));
        assert!(projected(Block::Basic, 4, 2));
        assert!(projected(Block::Basic, 8, 1));
        assert!(!projected(Block::Bottleneck, 1, 1));
        assert!(projected(Block::Bottleneck, 4, 1));
    }

    #[test]
    fn the_bottleneck_strides_in_its_3x3() {
        let sides: Vec<_> =
            one_block(Block::Bottleneck, 4, 2).layers().iter().map(|layer| layer.out_shape.to_string()).collect();
        assert_eq!(sides, ["4x8x8", "4x4x4", "16x4x4", "16x4x4"]);
    }

    #[test]
    fn a_block_ends_with_sum_and_rectifier() {
        let graph = one_block(Block::Basic, 4, 1);
        let ops: Vec<_> = graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(ops[1..], ["conv", "batch_norm", "relu", "conv", "batch_norm", "add", "relu"]);
        assert_eq!(graph.nodes[6].inputs, [5, 0], "the sum reads the last batch norm and the block's input");
    }
}

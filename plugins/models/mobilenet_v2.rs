//! MobileNetV2 (Sandler et al., CVPR 2018, table 2): inverted residual blocks with linear bottlenecks. A block widens its input
//! t times, filters it depthwise and narrows it without an activation function, which would destroy information in few channels
//! (sec. 3.2); the narrow ends are what is added. Names as in torchvision's `mobilenet_v2`; its dropout before the classifier does
//! nothing at inference, and is left out.

use super::mobile::{check_width, normalised, residual, stem, thinned};
use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, NodeId, Shape};
use limpq_core::ops::BatchNorm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Channels of the first and of the last convolution.
const ENDS: [usize; 2] = [32, 1280];
/// Expansion t, channels c, blocks n and stride of the first block s: table 2.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// MobileNetV2.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MobileNetV2 {
    /// Multiplier on the channels of every layer, above 0 and at most 16; the last convolution never has fewer than 1280. The
    /// paper has 0.35, 0.5, 0.75, 1.0 and 1.4.
    pub width: f64,
}

impl Default for MobileNetV2 {
    fn default() -> Self {
        Self { width: 1.0 }
    }
}

impl Model for MobileNetV2 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        check_width(self.width)?;
        let norm = BatchNorm::default();
        let (mut b, x) = Builder::new("mobilenet_v2", input, classes);
        let first = Conv::new(thinned(ENDS[0], self.width), 3).stride(2);
        let x = stem(&mut b, x, ["features.0.0", "features.0.1"], first, &norm);
        let mut x = b.named("", "relu6", &[x]);
        let mut place = 1;
        for (expansion, channels, blocks, stride) in STAGES {
            for i in 0..blocks {
                let stride = if i == 0 { stride } else { 1 };
                x = block(&mut b, &format!("features.{place}"), x, expansion, thinned(channels, self.width), stride);
                place += 1;
            }
        }
        let last = Conv::new(thinned(ENDS[1], self.width.max(1.0)), 1);
        let names = [format!("features.{place}.0"), format!("features.{place}.1")];
        let x = normalised(&mut b, x, names.each_ref().map(String::as_str), last, &norm);
        let x = b.named("", "relu6", &[x]);
        let x = b.global_avg_pool(x);
        b.classifier("classifier.1", x);
        b.finish()
    }
}

/// One inverted residual block.
fn block(b: &mut Builder, name: &str, x: NodeId, expansion: usize, channels: usize, stride: usize) -> NodeId {
    let wide = expansion * b.channels(x);
    let depthwise = Conv::new(wide, 3).stride(stride).groups(wide);
    let filters = if expansion == 1 { vec![depthwise] } else { vec![Conv::new(wide, 1), depthwise] };
    let mut y = x;
    for (i, &filter) in filters.iter().enumerate() {
        let names = [format!("{name}.conv.{i}.0"), format!("{name}.conv.{i}.1")];
        y = normalised(b, y, names.each_ref().map(String::as_str), filter, &BatchNorm::default());
        y = b.named("", "relu6", &[y]);
    }
    let names = [0, 1].map(|i| format!("{name}.conv.{}", filters.len() + i));
    let y = normalised(b, y, names.each_ref().map(String::as_str), Conv::new(channels, 1), &BatchNorm::default());
    residual(b, x, y)
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "mobilenet_v2",
    "MobileNetV2: inverted residual blocks, any width (Sandler et al., 2018)",
    MobileNetV2
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{imagenet, macs, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let graph = imagenet(&MobileNetV2::default());
        assert_eq!(trainable(&graph), 3_504_872, "torchvision's num_params");
        // 300 M in the paper's table 4.
        assert_eq!(macs(&graph), 300_774_272);
        let graph = imagenet(&MobileNetV2 { width: 1.4 });
        assert_eq!(
            (trainable(&graph) + 50_000) / 100_000,
            61,
            "6.1 M; the paper's table 4 has 6.9 M for wider last layers"
        );
        assert_eq!(graph.layers().last().unwrap().in_shape.channels, 1792);
        assert_eq!(imagenet(&MobileNetV2 { width: 0.5 }).layers().last().unwrap().in_shape.channels, 1280);
    }

    #[test]
    fn layers_are_torchvision_s_in_its_order() {
        let layers = imagenet(&MobileNetV2::default()).layers();
        let names = names(&layers);
        assert_eq!(names.len(), 53);
        assert_eq!(names[..4], ["features.0.0", "features.1.conv.0.0", "features.1.conv.1", "features.2.conv.0.0"]);
        assert_eq!(names[50..], ["features.17.conv.2", "features.18.0", "classifier.1"][..]);
        assert_eq!(layers[51].out_shape.to_string(), "1280x7x7");
    }

    #[test]
    fn blocks_of_one_shape_are_residual() {
        let graph = imagenet(&MobileNetV2::default());
        // All but the first of each stage: 1 + 2 + 3 + 2 + 2.
        assert_eq!(graph.nodes.iter().filter(|node| node.op.name() == "add").count(), 10);
        let narrow = |node: &&limpq_core::graph::Node| node.op.name() == "add" && graph.can_be_negative(node.inputs[0]);
        assert_eq!(graph.nodes.iter().filter(narrow).count(), 10, "bottlenecks are linear");
    }
}

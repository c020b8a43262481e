//! MobileNetV3 (Howard et al., ICCV 2019, tables 1 and 2): MobileNetV2's blocks, chosen by architecture search, with gates of
//! squeeze-and-excitation (Hu et al., CVPR 2018) and hard swish, `x min(max(x + 3, 0), 6) / 6`, where it pays; the last stage is
//! moved behind the average pool (sec. 5.1). Names as in torchvision's `mobilenet_v3_small` and `mobilenet_v3_large`, whose
//! batch-norms are TensorFlow's. Dropout is left out.
//!
//! A gate averages each channel and passes it through two fully connected layers, which torchvision writes as 1x1 convolutions;
//! they are searched like all others.

use super::mobile::{TENSORFLOW, check_width, normalised, residual, stem, thinned};
use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, NodeId, Shape};
use limpq_core::ops::{Linear, Mul};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Channels of the stem.
const STEM: usize = 16;

/// A line of the tables.
struct Line {
    kernel: usize,
    expanded: usize,
    out: usize,
    gated: bool,
    activation: &'static str,
    stride: usize,
}

/// Kernel, expanded channels, output channels, whether it has a gate, activation, stride.
const fn line(kernel: usize, expanded: usize, out: usize, gated: bool, hard_swish: bool, stride: usize) -> Line {
    let activation = if hard_swish { "hard_swish" } else { "relu" };
    Line { kernel, expanded, out, gated, activation, stride }
}

const LARGE: [Line; 15] = [
    line(3, 16, 16, false, false, 1),
    line(3, 64, 24, false, false, 2),
    line(3, 72, 24, false, false, 1),
    line(5, 72, 40, true, false, 2),
    line(5, 120, 40, true, false, 1),
    line(5, 120, 40, true, false, 1),
    line(3, 240, 80, false, true, 2),
    line(3, 200, 80, false, true, 1),
    line(3, 184, 80, false, true, 1),
    line(3, 184, 80, false, true, 1),
    line(3, 480, 112, true, true, 1),
    line(3, 672, 112, true, true, 1),
    line(5, 672, 160, true, true, 2),
    line(5, 960, 160, true, true, 1),
    line(5, 960, 160, true, true, 1),
];

const SMALL: [Line; 11] = [
    line(3, 16, 16, true, false, 2),
    line(3, 72, 24, false, false, 2),
    line(3, 88, 24, false, false, 1),
    line(5, 96, 40, true, true, 2),
    line(5, 240, 40, true, true, 1),
    line(5, 240, 40, true, true, 1),
    line(5, 120, 48, true, true, 1),
    line(5, 144, 48, true, true, 1),
    line(5, 288, 96, true, true, 2),
    line(5, 576, 96, true, true, 1),
    line(5, 576, 96, true, true, 1),
];

/// MobileNetV3-Large.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MobileNetV3Large {
    /// Multiplier on the channels of every layer, above 0 and at most 16; the paper has 0.35, 0.5, 0.75, 1.0 and 1.25.
    pub width: f64,
}

/// MobileNetV3-Small.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MobileNetV3Small {
    /// Multiplier on the channels of every layer, above 0 and at most 16; the paper has 0.35, 0.5, 0.75, 1.0 and 1.25.
    pub width: f64,
}

impl Default for MobileNetV3Large {
    fn default() -> Self {
        Self { width: 1.0 }
    }
}

impl Default for MobileNetV3Small {
    fn default() -> Self {
        Self { width: 1.0 }
    }
}

impl Model for MobileNetV3Large {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        mobilenet_v3("mobilenet_v3_large", &LARGE, 1280, self.width, input, classes)
    }
}

impl Model for MobileNetV3Small {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        mobilenet_v3("mobilenet_v3_small", &SMALL, 1024, self.width, input, classes)
    }
}

/// The network of these lines, with so many channels before the classifier.
fn mobilenet_v3(
    model: &str,
    lines: &[Line],
    hidden: usize,
    width: f64,
    input: Shape,
    classes: usize,
) -> Result<Graph, GraphError> {
    check_width(width)?;
    let (mut b, x) = Builder::new(model, input, classes);
    let first = Conv::new(thinned(STEM, width), 3).stride(2);
    let x = stem(&mut b, x, ["features.0.0", "features.0.1"], first, &TENSORFLOW);
    let mut x = b.named("", "hard_swish", &[x]);
    for (i, line) in lines.iter().enumerate() {
        x = line.describe(&mut b, &format!("features.{}", i + 1), x, width);
    }
    let last = Conv::new(6 * b.channels(x), 1);
    let names = [0, 1].map(|part| format!("features.{}.{part}", lines.len() + 1));
    let x = normalised(&mut b, x, names.each_ref().map(String::as_str), last, &TENSORFLOW);
    let x = b.named("", "hard_swish", &[x]);
    let x = b.global_avg_pool(x);
    let x = b.linear("classifier.0", x, Linear { out: thinned(hidden, width), bias: true });
    let x = b.named("", "hard_swish", &[x]);
    b.classifier("classifier.3", x);
    b.finish()
}

impl Line {
    /// One block.
    fn describe(&self, b: &mut Builder, name: &str, x: NodeId, width: f64) -> NodeId {
        let wide = thinned(self.expanded, width);
        let mut parts = (0..).map(|i| format!("{name}.block.{i}"));
        let mut part = || parts.next().expect("they are endless");
        let mut y = x;
        if wide != b.channels(x) {
            y = unit(b, y, &part(), Conv::new(wide, 1));
            y = b.named("", self.activation, &[y]);
        }
        y = unit(b, y, &part(), Conv::new(wide, self.kernel).stride(self.stride).groups(wide));
        y = b.named("", self.activation, &[y]);
        if self.gated {
            y = gated(b, y, &part());
        }
        y = unit(b, y, &part(), Conv::new(thinned(self.out, width), 1));
        residual(b, x, y)
    }
}

/// A convolution and its batch-norm, by torchvision's names.
fn unit(b: &mut Builder, x: NodeId, name: &str, conv: Conv) -> NodeId {
    let names = [format!("{name}.0"), format!("{name}.1")];
    normalised(b, x, names.each_ref().map(String::as_str), conv, &TENSORFLOW)
}

/// Each channel times a factor in 0..=1, which a small network finds from the means of all.
fn gated(b: &mut Builder, x: NodeId, name: &str) -> NodeId {
    let channels = b.channels(x);
    let gate = b.global_avg_pool(x);
    let gate = b.conv(&format!("{name}.fc1"), gate, Conv::new(thinned(channels / 4, 1.0), 1).bias(true));
    let gate = b.relu(gate);
    let gate = b.conv(&format!("{name}.fc2"), gate, Conv::new(channels, 1).bias(true));
    let gate = b.named("", "hard_sigmoid", &[gate]);
    b.apply("", Mul {}, &[x, gate])
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "mobilenet_v3_large",
    "MobileNetV3-Large: searched inverted residual blocks, gates and hard swish, any width (Howard et al., 2019)",
    MobileNetV3Large
);

limpq_core::plugin!(
    limpq_core::graph::Model,
    "mobilenet_v3_small",
    "MobileNetV3-Small: searched inverted residual blocks, gates and hard swish, any width (Howard et al., 2019)",
    MobileNetV3Small
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{imagenet, macs, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let [large, small] = [imagenet(&MobileNetV3Large::default()), imagenet(&MobileNetV3Small::default())];
        assert_eq!([&large, &small].map(trainable), [5_483_032, 2_542_856], "torchvision's num_params");
        // 217 M and 57 M in torchvision's documentation; 219 M and 56 M in the paper's tables 3 and 4.
        assert_eq!([&large, &small].map(macs), [216_589_760, 56_510_400]);
    }

    #[test]
    fn layers_are_torchvision_s_in_its_order() {
        let small = imagenet(&MobileNetV3Small::default()).layers();
        let names = names(&small);
        let first = ["0.0", "1.block.0.0", "1.block.1.fc1", "1.block.1.fc2", "1.block.2.0", "2.block.0.0"];
        assert_eq!(names[..6], first.map(|name| format!("features.{name}")));
        assert_eq!(names[names.len() - 3..], ["features.12.0", "classifier.0", "classifier.3"]);
        let fixed: Vec<_> = small.iter().filter(|layer| layer.fixed).map(|layer| layer.name.as_str()).collect();
        assert_eq!(fixed, ["features.0.0", "classifier.3"]);
    }

    #[test]
    fn gates_and_narrow_ends_have_the_right_signs() {
        let layers = imagenet(&MobileNetV3Large::default()).layers();
        let signed = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap().signed_input;
        assert!(!signed("features.4.block.2.fc1") && !signed("features.4.block.3.0"), "behind rectifiers and a gate");
        assert!(signed("features.12.block.2.fc1") && signed("features.12.block.3.0"), "behind hard swish");
        assert!(signed("features.2.block.0.0"), "ends are linear");
    }
}

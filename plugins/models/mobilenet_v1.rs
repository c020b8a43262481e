//! MobileNetV1 (Howard et al., arXiv:1704.04861, table 1): a convolution is factored into a depthwise 3x3 and a
//! pointwise 1x1 one, which costs `1/c_out + 1/9` of it (sec. 3.1). A multiplier α thins every layer to αc channels
//! (sec. 3.3), here rounded to a multiple of 8 as timm rounds. Names as in timm's `mobilenetv1_100`.
//!
//! LIMPQ's code names layers in its own way, `features.stage1.unit1.dw_conv.conv`; indicators and policies with these names are
//! read.
//!
//! A stage's stride belongs to its first block alone: the paper's table prints "s2" for the last depthwise layer too,
//! but its 7x7 output shows stride 1. Rectifiers are plain ReLUs as in the paper; timm's clip at 6, for which there is the
//! option `activation`.

use super::mobile::{check_width, thinned};
use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, NodeId, Shape};
use limpq_core::ops::Op;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Channels of the stem.
const STEM: usize = 32;
/// Blocks, stride of the first block, and channels of each stage.
const STAGES: [(usize, usize, usize); 5] = [(1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024)];

/// MobileNetV1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MobileNetV1 {
    /// Multiplier on the channels of every layer, above 0 and at most 16; the paper has 1.0, 0.75, 0.5 and 0.25.
    pub width: f64,
    /// The operator after each batch-norm (see `limpq list operator`): "relu" as in the paper, or "relu6" for weights of timm.
    pub activation: String,
}

impl Default for MobileNetV1 {
    fn default() -> Self {
        Self { width: 1.0, activation: "relu".to_owned() }
    }
}

impl Model for MobileNetV1 {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        check_width(self.width)?;
        let activation = Op::named(&self.activation, &toml::Table::new()).map_err(Box::new)?;
        let keeps_shape = activation.output(&[input]).is_ok_and(|output| output == input);
        if !(keeps_shape && activation.is_elementwise() && activation.parameters(&[input]).is_empty()) {
            let why = format!("must be an activation function without parameters, got {:?}", self.activation);
            return Err(GraphError::Option { name: "activation", why });
        }
        let (mut b, x) = Builder::new("mobilenet_v1", input, classes);
        let stem = Conv::new(thinned(STEM, self.width), 3).stride(2);
        let x = b.fixed_conv("conv_stem", x, stem);
        let x = b.batch_norm("bn1", x);
        let mut x = b.named("", &self.activation, &[x]);
        for (stage, &(blocks, stride, channels)) in STAGES.iter().enumerate() {
            for i in 0..blocks {
                let stride = if i == 0 { stride } else { 1 };
                let (own, limpq) =
                    (format!("blocks.{stage}.{i}"), format!("features.stage{}.unit{}", stage + 1, i + 1));
                let block = Separable { name: &own, limpq: &limpq, activation: &self.activation, stride };
                x = block.describe(&mut b, x, thinned(channels, self.width));
            }
        }
        let x = b.global_avg_pool(x);
        b.classifier("classifier", x);
        b.finish()
    }

    fn weights_remark(&self) -> Option<String> {
        let remark = "mobilenet_v1 has plain ReLUs, and timm's MobileNetV1 clips them at 6 (ReLU6): weights that timm trained \
                      fit by name and shape, but compute something else here and may be far less accurate. For such weights \
                      set activation = \"relu6\" in [model]";
        (self.activation == "relu").then(|| remark.to_owned())
    }
}

/// Depthwise 3x3, then pointwise 1x1, each with batch norm and activation (fig. 3); under its own name and LIMPQ's.
struct Separable<'a> {
    name: &'a str,
    limpq: &'a str,
    activation: &'a str,
    stride: usize,
}

impl Separable<'_> {
    fn describe(&self, b: &mut Builder, x: NodeId, channels: usize) -> NodeId {
        let Self { name, limpq, activation, stride } = *self;
        let depth = b.channels(x);
        let x = b.conv(&format!("{name}.conv_dw"), x, Conv::new(depth, 3).stride(stride).groups(depth));
        b.alias(x, &format!("{limpq}.dw_conv.conv"));
        let x = b.batch_norm(&format!("{name}.bn1"), x);
        let x = b.named("", activation, &[x]);
        let x = b.conv(&format!("{name}.conv_pw"), x, Conv::new(channels, 1));
        b.alias(x, &format!("{limpq}.pw_conv.conv"));
        let x = b.batch_norm(&format!("{name}.bn2"), x);
        b.named("", activation, &[x])
    }
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "mobilenet_v1",
    "MobileNetV1: depthwise separable convolutions, any width, plain ReLUs where timm's clip at 6 (Howard et al., 2017)",
    MobileNetV1
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{gbitops, imagenet, macs, names, trainable, weights};

    #[test]
    fn counts_match_the_reference() {
        let graph = imagenet(&MobileNetV1::default());
        assert_eq!(trainable(&graph), 4_231_976);
        assert_eq!(weights(&graph), 4_209_088);
        let classifier = 1024 * 1000;
        assert_eq!((macs(&graph) - classifier + 50_000) / 100_000, 5_677, "567.7 M in convolutions");
        assert_eq!(gbitops(&graph, "w4a4"), 9.669);
    }

    #[test]
    fn layers_are_timm_s_in_its_order() {
        let layers = imagenet(&MobileNetV1::default()).layers();
        let names = names(&layers);
        assert_eq!(names.len(), 28);
        assert_eq!(names[..4], ["conv_stem", "blocks.0.0.conv_dw", "blocks.0.0.conv_pw", "blocks.1.0.conv_dw"]);
        assert_eq!(names[25..], ["blocks.4.1.conv_dw", "blocks.4.1.conv_pw", "classifier"]);
        assert_eq!(layers[25].out_shape.to_string(), "1024x7x7", "only a stage's first block strides");
        assert_eq!(layers[27].in_shape.to_string(), "1024x1x1", "the pool precedes the classifier");
    }

    /// Names from the module tree of quantization_search/models/model.py in github.com/1hunters/LIMPQ.
    #[test]
    fn limpq_s_names_are_known_for_every_searched_layer() {
        let graph = imagenet(&MobileNetV1::default());
        assert_eq!(graph.own_name("features.stage1.unit1.dw_conv.conv"), "blocks.0.0.conv_dw");
        assert_eq!(graph.own_name("features.stage4.unit6.pw_conv.conv"), "blocks.3.5.conv_pw");
        assert_eq!(graph.own_name("features.stage5.unit2.pw_conv.conv"), "blocks.4.1.conv_pw");
        assert_eq!(graph.own_name("classifier"), "classifier");
        let mut own: Vec<&String> = graph.aliases.values().collect();
        let layers = graph.searchable();
        let mut searched: Vec<&String> = layers.iter().map(|layer| &layer.name).collect();
        own.sort();
        searched.sort();
        assert_eq!(own, searched);
    }

    #[test]
    fn the_width_thins_every_layer() {
        let graph =
            MobileNetV1 { width: 0.25, ..MobileNetV1::default() }.graph("1x28x28".parse().unwrap(), 10).unwrap();
        assert_eq!(graph.layers().last().unwrap().in_shape.to_string(), "256x1x1");
    }

    #[test]
    fn activations_are_any_registered_operator() {
        let graph = |activation: &str| {
            MobileNetV1 { activation: activation.to_owned(), ..MobileNetV1::default() }
                .graph("3x32x32".parse().unwrap(), 10)
        };
        let kinds = |activation: &str| {
            let graph = graph(activation).unwrap();
            graph.nodes.iter().filter(|node| node.op.name() == "clip").count()
        };
        assert_eq!((kinds("relu"), kinds("relu6")), (0, 27));
        let clip = graph("relu6").unwrap().nodes.into_iter().find(|node| node.op.name() == "clip").unwrap();
        assert_eq!(clip.op.attributes(), &"min = 0.0\nmax = 6.0".parse().unwrap());
        for name in ["conv", "add", "prelu", "batch_norm"] {
            let error = graph(name).unwrap_err().to_string();
            assert!(error.starts_with("option activation: must be an activation function"), "{error}");
        }
        let error = graph("relu7").unwrap_err().to_string();
        assert!(
            error.contains("no operator is called \"relu7\"") && error.contains("did you mean \"relu\""),
            "{error}"
        );
        let relu6 = MobileNetV1 { activation: "relu6".to_owned(), ..MobileNetV1::default() };
        assert!(MobileNetV1::default().weights_remark().is_some() && relu6.weights_remark().is_none());
    }

    #[test]
    fn refuses_widths_that_are_none() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let error = MobileNetV1 { width, ..MobileNetV1::default() }
                .graph("3x224x224".parse().unwrap(), 1000)
                .unwrap_err()
                .to_string();
            assert_eq!(error, format!("option width: must be above 0 and at most 16, got {width}"));
        }
    }
}

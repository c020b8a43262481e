//! VGG (Simonyan and Zisserman, ICLR 2015, table 1, columns A and D) with batch-norm: 3x3 convolutions in five stages, each with a
//! max pool behind it, then three fully connected layers. Names as in torchvision's `vgg11_bn` and `vgg16_bn`. Dropout is left out.
//!
//! torchvision brings every image to 7x7 before the fully connected layers. Here maps whose sides are a multiple of 7 are averaged
//! to that, as there, and others stay as they are: of a 32x32 image a single pixel is left, and `classifier.0` has 512 inputs.
//!
//! The hidden fully connected layers are searched like convolutions. They hold 90 % of the weights at 224x224.

use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, Shape};
use limpq_core::ops::{AvgPool, Flatten, Linear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Convolutions in each of the five stages.
const VGG11: [usize; 5] = [1, 1, 2, 2, 2];
const VGG16: [usize; 5] = [2, 2, 3, 3, 3];
/// Channels of each stage.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];
/// Sides of the map before the fully connected layers of torchvision's.
const MAP: usize = 7;

/// VGG-11 with batch-norm.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vgg11Bn {
    /// Channels of the two hidden fully connected layers: 4096 for ImageNet, fewer for small images.
    pub hidden: u16,
}

/// VGG-16 with batch-norm.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vgg16Bn {
    /// Channels of the two hidden fully connected layers: 4096 for ImageNet, fewer for small images.
    pub hidden: u16,
}

impl Default for Vgg11Bn {
    fn default() -> Self {
        Self { hidden: 4096 }
    }
}

impl Default for Vgg16Bn {
    fn default() -> Self {
        Self { hidden: 4096 }
    }
}

impl Model for Vgg11Bn {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        vgg("vgg11_bn", VGG11, self.hidden, input, classes)
    }
}

impl Model for Vgg16Bn {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        vgg("vgg16_bn", VGG16, self.hidden, input, classes)
    }
}

/// The network with so many convolutions in its stages.
fn vgg(model: &str, stages: [usize; 5], hidden: u16, input: Shape, classes: usize) -> Result<Graph, GraphError> {
    let (mut b, mut x) = Builder::new(model, input, classes);
    // torchvision counts convolutions, batch-norms, rectifiers and pools.
    let mut place = 0;
    for (convs, channels) in stages.into_iter().zip(CHANNELS) {
        for _ in 0..convs {
            let (name, conv) = (format!("features.{place}"), Conv::new(channels, 3).bias(true));
            x = if place == 0 { b.fixed_conv(&name, x, conv) } else { b.conv(&name, x, conv) };
            x = b.batch_norm(&format!("features.{}", place + 1), x);
            x = b.relu(x);
            place += 3;
        }
        x = b.max_pool(x, 2, 2, 0);
        place += 1;
    }
    let Shape { height, width, .. } = b.shape(x);
    if (height, width) != (MAP, MAP) && height.is_multiple_of(MAP) && width.is_multiple_of(MAP) {
        let window = [height / MAP, width / MAP];
        x = b.apply("", AvgPool { kernel: window, stride: window, ..AvgPool::default() }, &[x]);
    }
    x = b.apply("", Flatten {}, &[x]);
    for place in [0, 3] {
        x = b.linear(&format!("classifier.{place}"), x, Linear { out: hidden.into(), bias: true });
        x = b.relu(x);
    }
    b.classifier("classifier.6", x);
    b.finish()
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "vgg11_bn",
    "VGG-11 with batch-norm: 3x3 convolutions and three fully connected layers (Simonyan and Zisserman, 2015)",
    Vgg11Bn
);

limpq_core::plugin!(
    limpq_core::graph::Model,
    "vgg16_bn",
    "VGG-16 with batch-norm: 3x3 convolutions and three fully connected layers (Simonyan and Zisserman, 2015)",
    Vgg16Bn
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{imagenet, macs, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let [eleven, sixteen] = [imagenet(&Vgg11Bn::default()), imagenet(&Vgg16Bn::default())];
        assert_eq!([&eleven, &sixteen].map(trainable), [132_868_840, 138_365_992], "torchvision's num_params");
        // 7.61 G and 15.47 G in torchvision's documentation.
        assert_eq!([&eleven, &sixteen].map(macs), [7_609_090_048, 15_470_264_320]);
    }

    #[test]
    fn layers_are_torchvision_s_in_its_order() {
        let layers = imagenet(&Vgg11Bn::default()).layers();
        let places = [0, 4, 8, 11, 15, 18, 22, 25].map(|place| format!("features.{place}"));
        assert_eq!(names(&layers)[..8], places);
        assert_eq!(names(&layers)[8..], ["classifier.0", "classifier.3", "classifier.6"]);
        let searched = layers.iter().filter(|layer| !layer.fixed).count();
        assert_eq!(searched, 9, "all but the first convolution and the last layer");
    }

    #[test]
    fn maps_that_are_a_multiple_of_7_are_averaged() {
        let features = |input: &str| {
            let graph = Vgg11Bn { hidden: 8 }.graph(input.parse().unwrap(), 10).unwrap();
            graph.layers().iter().find(|layer| layer.name == "classifier.0").unwrap().in_shape.channels
        };
        assert_eq!(["3x224x224", "3x448x672", "3x32x32", "3x96x64"].map(features), [25_088, 25_088, 512, 3_072]);
    }
}

//! Networks: each file describes one, with the layer names of the PyTorch state dict it is loaded from.

mod deit_tiny;
mod efficientnet_lite;
mod mobile;
mod mobilenet_v1;
mod mobilenet_v2;
mod mobilenet_v3;
mod onnx;
mod residual;
mod resnet18;
mod resnet20;
mod resnet34;
mod resnet50;
mod vgg;

pub use deit_tiny::DeitTiny;
pub use efficientnet_lite::EfficientNetLite;
pub use mobilenet_v1::MobileNetV1;
pub use mobilenet_v2::MobileNetV2;
pub use mobilenet_v3::{MobileNetV3Large, MobileNetV3Small};
pub use onnx::Onnx;
pub use residual::Stem;
pub use resnet18::ResNet18;
pub use resnet20::ResNet20;
pub use resnet34::ResNet34;
pub use resnet50::ResNet50;
pub use vgg::{Vgg11Bn, Vgg16Bn};

/// What the tests of this crate ask of a network.
#[cfg(test)]
pub(crate) mod reference {
    use crate::costs::BitOps;
    use limpq_core::graph::{Graph, Layer, Model};
    use limpq_core::search::{Accounting, CostTable, Precision};

    /// The network at 3x224x224 with 1000 classes.
    pub fn imagenet(model: &dyn Model) -> Graph {
        model.graph("3x224x224".parse().unwrap(), 1000).unwrap()
    }

    /// Exact BitOPs of a uniform policy in units of 1e9, stem and classifier at 8x8 bits, to three decimals.
    pub fn gbitops(graph: &Graph, precision: &str) -> f64 {
        let precision: Precision = precision.parse().unwrap();
        let table = CostTable::new("bitops", &BitOps::default(), graph, [precision], Accounting::Exact);
        thousandths(table.printed(table.uniform(precision).unwrap()))
    }

    /// Exact BitOPs in units of 1e9 when nothing is quantized, to three decimals.
    pub fn gbitops_at_32_bits(graph: &Graph) -> f64 {
        let table = CostTable::new("bitops", &BitOps::default(), graph, [], Accounting::Exact);
        thousandths(table.printed(table.at_32_bits().unwrap()))
    }

    /// Parameters as PyTorch counts them: without the running mean and variance of batch norms.
    pub fn trainable(graph: &Graph) -> u64 {
        weights(graph) + graph.biases() + graph.other_parameters() / 2
    }

    /// Weights of all convolutions and of the classifier.
    pub fn weights(graph: &Graph) -> u64 {
        graph.layers().iter().map(|layer| layer.weights).sum()
    }

    /// Multiply-accumulates of all convolutions and of the classifier.
    pub fn macs(graph: &Graph) -> u64 {
        graph.layers().iter().map(|layer| layer.macs).sum()
    }

    /// Names in execution order.
    pub fn names(layers: &[Layer]) -> Vec<&str> {
        layers.iter().map(|layer| layer.name.as_str()).collect()
    }

    fn thousandths(value: f64) -> f64 {
        (value * 1e3).round() / 1e3
    }
}

#[cfg(test)]
mod tests {
    use limpq_core::graph::Model;
    use limpq_core::registry;

    #[test]
    fn every_model_here_is_registered_under_its_graph_s_name() {
        let names = registry::entries::<dyn Model>().unwrap().into_iter().map(|entry| entry.name);
        // A network from a file has no input and classes of its own choice.
        for name in names.filter(|name| *name != "onnx") {
            let model = registry::build::<dyn Model>(name, &Default::default()).unwrap();
            assert_eq!(model.graph("3x32x32".parse().unwrap(), 10).unwrap().model, name);
        }
    }
}

//! The builder that a model describes its network with; infers every shape as it goes.

use super::{Graph, GraphError, Node, NodeId, Op, Shape};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// A 2-D convolution with square kernel, stride and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Side of the kernel, in pixels.
    pub kernel: usize,
    /// Step, in pixels.
    pub stride: usize,
    /// Border of zeros on every side, in pixels.
    pub padding: usize,
    /// Channel groups; as many as channels for a depthwise convolution.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv {
    /// `out` channels, "same" padding for an odd kernel, stride 1, one group, no bias.
    pub fn new(out: usize, kernel: usize) -> Self {
        Self { out, kernel, stride: 1, padding: kernel / 2, groups: 1, bias: false }
    }

    /// With this stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With this many groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }
}

/// Collects a network's nodes. The first error is kept and reported by [`Builder::finish`], so that descriptions
/// read as straight lines.
pub struct Builder {
    graph: Graph,
    names: HashSet<String>,
    error: Option<GraphError>,
}

impl Builder {
    /// A network called `model` for images of shape `input`; gives the builder and the input's node.
    pub fn new(model: &str, input: Shape, classes: usize) -> (Self, NodeId) {
        let node = Node { name: String::new(), op: Op::Input, inputs: vec![], shape: input, fixed: false };
        let aliases = BTreeMap::new();
        let graph = Graph { model: model.to_owned(), options: None, input, classes, nodes: vec![node], aliases };
        let error = (classes == 0).then_some(GraphError::Zero { what: "classes" });
        (Self { graph, names: HashSet::new(), error }, 0)
    }

    /// Channels of a node's output.
    pub fn channels(&self, node: NodeId) -> usize {
        self.graph.nodes[node].shape.channels
    }

    /// A searchable convolution.
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> NodeId {
        let input = self.graph.nodes[x].shape;
        for channels in [input.channels, conv.out] {
            if conv.groups == 0 || !channels.is_multiple_of(conv.groups) {
                self.fail(GraphError::Groups { layer: name.to_owned(), groups: conv.groups, channels });
            }
        }
        if conv.out == 0 {
            self.fail(GraphError::Zero { what: "output channels" });
        }
        let (height, width) = self.window(name, input, conv.kernel, conv.stride, conv.padding);
        self.push(name, Op::Conv(conv), &[x], Shape { channels: conv.out, height, width })
    }

    /// A convolution that keeps [`super::FIXED_BITS`], such as the stem.
    pub fn fixed_conv(&mut self, name: &str, x: NodeId, conv: Conv) -> NodeId {
        let node = self.conv(name, x, conv);
        self.graph.nodes[node].fixed = true;
        node
    }

    /// Says what files of other programs call a layer.
    pub fn alias(&mut self, node: NodeId, other: &str) {
        let own = self.graph.nodes[node].name.clone();
        if self.graph.aliases.insert(other.to_owned(), own).is_some() || self.names.contains(other) {
            self.fail(GraphError::DuplicateName(other.to_owned()));
        }
    }

    /// Batch normalisation.
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::BatchNorm, &[x], self.graph.nodes[x].shape)
    }

    /// Rectified linear unit.
    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.push("", Op::Relu, &[x], self.graph.nodes[x].shape)
    }

    /// Element-wise sum.
    pub fn add(&mut self, left: NodeId, right: NodeId) -> NodeId {
        let (a, b) = (self.graph.nodes[left].clone(), self.graph.nodes[right].clone());
        if a.shape != b.shape {
            let (left_shape, right_shape) = (a.shape, b.shape);
            self.fail(GraphError::AddShapes { left: a.name, left_shape, right: b.name, right_shape });
        }
        self.push("", Op::Add, &[left, right], a.shape)
    }

    /// The channels of several inputs of one height and width, one after another.
    pub fn concat(&mut self, inputs: &[NodeId]) -> NodeId {
        let first = inputs.first().map_or(self.graph.input, |&input| self.graph.nodes[input].shape);
        for &input in inputs {
            let other = &self.graph.nodes[input];
            if (other.shape.height, other.shape.width) != (first.height, first.width) {
                let (right, right_shape) = (other.name.clone(), other.shape);
                let left = self.graph.nodes[inputs[0]].name.clone();
                self.fail(GraphError::ConcatShapes { left, left_shape: first, right, right_shape });
            }
        }
        if inputs.is_empty() {
            self.fail(GraphError::Zero { what: "inputs of a concatenation" });
        }
        let channels = inputs.iter().map(|&input| self.channels(input)).sum();
        self.push("", Op::Concat, inputs, Shape { channels, ..first })
    }

    /// Maximum over windows.
    pub fn max_pool(&mut self, x: NodeId, kernel: usize, stride: usize, padding: usize) -> NodeId {
        let input = self.graph.nodes[x].shape;
        let (height, width) = self.window("max pool", input, kernel, stride, padding);
        self.push("", Op::MaxPool { kernel, stride, padding }, &[x], Shape { height, width, ..input })
    }

    /// Mean over all pixels.
    pub fn global_avg_pool(&mut self, x: NodeId) -> NodeId {
        let channels = self.channels(x);
        self.push("", Op::GlobalAvgPool, &[x], Shape { channels, height: 1, width: 1 })
    }

    /// The classifier: a fully connected layer with bias to the class scores, at [`super::FIXED_BITS`].
    pub fn classifier(&mut self, name: &str, x: NodeId) -> NodeId {
        let out = self.graph.classes;
        let node = self.push(name, Op::Linear { out, bias: true }, &[x], Shape { channels: out, height: 1, width: 1 });
        self.graph.nodes[node].fixed = true;
        node
    }

    /// The finished network, or the first thing that was wrong with it.
    pub fn finish(self) -> Result<Graph, GraphError> {
        self.error.map_or(Ok(self.graph), Err)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        if !name.is_empty() && !self.names.insert(name.to_owned()) {
            self.fail(GraphError::DuplicateName(name.to_owned()));
        }
        let node = Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape, fixed: false };
        self.graph.nodes.push(node);
        self.graph.nodes.len() - 1
    }

    /// Output height and width, floored on each axis.
    fn window(&mut self, layer: &str, input: Shape, kernel: usize, stride: usize, padding: usize) -> (usize, usize) {
        if stride == 0 {
            self.fail(GraphError::Zero { what: "stride" });
            return (1, 1);
        }
        let side = |size: usize| (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
        match (side(input.height), side(input.width)) {
            (Some(height), Some(width)) => (height, width),
            _ => {
                self.fail(GraphError::WindowTooLarge { layer: layer.to_owned(), kernel, padding, input });
                (1, 1)
            }
        }
    }

    fn fail(&mut self, error: GraphError) {
        self.error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infers_shapes_and_finds_layers() {
        let (mut b, x) = Builder::new("tiny", Shape::new(3, 9, 9).unwrap(), 5);
        let x = b.fixed_conv("stem", x, Conv::new(4, 3).stride(2));
        let x = b.relu(x);
        let y = b.conv("body", x, Conv::new(4, 3).groups(4));
        let x = b.add(x, y);
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        let graph = b.finish().unwrap();
        assert_eq!(graph.nodes[1].shape.to_string(), "4x5x5");
        let names: Vec<_> = graph.layers().iter().map(|l| l.name.clone()).collect();
        assert_eq!(names, ["stem", "body", "fc"]);
        assert_eq!(graph.searchable().len(), 1);
        assert!(!graph.layers()[1].signed_input);
        assert!(graph.layers()[2].signed_input, "a sum with a convolution can be negative");
        assert_eq!((graph.biases(), graph.batch_norm_numbers()), (5, 0));
    }

    #[test]
    fn keeps_the_first_error() {
        let (mut b, x) = Builder::new("bad", Shape::new(3, 2, 2).unwrap(), 5);
        let x = b.conv("c", x, Conv { padding: 0, ..Conv::new(4, 5) });
        b.conv("c", x, Conv::new(4, 3));
        let error = b.finish().unwrap_err().to_string();
        assert!(error.starts_with("c: a 5x5 window with padding 0 does not fit a 3x2x2 input"), "{error}");
    }

    #[test]
    fn concatenates_channels_of_one_size() {
        let (mut b, x) = Builder::new("fork", Shape::new(3, 4, 4).unwrap(), 5);
        let narrow = b.conv("narrow", x, Conv::new(2, 1));
        let narrow = b.relu(narrow);
        let wide = b.conv("wide", x, Conv::new(5, 3));
        let both = b.concat(&[narrow, wide]);
        b.classifier("fc", both);
        let graph = b.finish().unwrap();
        assert_eq!(graph.nodes[both].shape.to_string(), "7x4x4");
        assert!(graph.can_be_negative(both) && !graph.can_be_negative(narrow));

        let (mut b, x) = Builder::new("bad", Shape::new(3, 4, 4).unwrap(), 5);
        let small = b.conv("small", x, Conv::new(2, 1).stride(2));
        b.concat(&[x, small]);
        let error = b.finish().unwrap_err().to_string();
        assert!(error.contains("cannot concatenate") && error.contains("small (2x2x2)"), "{error}");
    }

    #[test]
    fn refuses_two_layers_of_one_name() {
        let (mut b, x) = Builder::new("bad", Shape::new(3, 8, 8).unwrap(), 5);
        let x = b.conv("c", x, Conv::new(4, 3));
        b.conv("c", x, Conv::new(4, 3));
        assert!(b.finish().unwrap_err().to_string().contains("two layers are called \"c\""));
    }
}

//! The builder with which a model describes its network; it infers every shape.

use super::{Graph, GraphError, Node, NodeId, Shape, fixed_bits};
use crate::ops::{Add, BatchNorm, Concat, Conv, Flatten, GlobalAvgPool, Input, Linear, MaxPool, Op, Operator, Relu};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

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
        let op = Op::new(Input {});
        let node = Node { name: String::new(), op, inputs: vec![], shape: input, fixed: None };
        let (aliases, remarks) = (BTreeMap::new(), vec![]);
        let nodes = vec![node];
        let graph = Graph { model: model.to_owned(), options: None, input, classes, nodes, aliases, remarks };
        let error = (classes == 0).then_some(GraphError::Zero { what: "classes" });
        (Self { graph, names: HashSet::new(), error }, 0)
    }

    /// Channels of a node's output.
    pub fn channels(&self, node: NodeId) -> usize {
        self.graph.nodes[node].shape.channels
    }

    /// Shape of a node's output.
    pub fn shape(&self, node: NodeId) -> Shape {
        self.graph.nodes[node].shape
    }

    /// Any operator, given as a value. It needs a name if it has parameters; otherwise the name may be empty.
    pub fn apply(&mut self, name: &str, operator: impl Operator + Serialize + 'static, inputs: &[NodeId]) -> NodeId {
        self.push(name, Op::new(operator), inputs)
    }

    /// Any operator with its attributes.
    pub fn apply_op(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.push(name, op, inputs)
    }

    /// Any registered operator by its name, with its default attributes.
    pub fn named(&mut self, name: &str, operator: &str, inputs: &[NodeId]) -> NodeId {
        match Op::named(operator, &toml::Table::new()) {
            Ok(op) => self.push(name, op, inputs),
            Err(error) => {
                self.fail(Box::new(error).into());
                inputs[0]
            }
        }
    }

    /// A searchable convolution.
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> NodeId {
        self.apply(name, conv, &[x])
    }

    /// A convolution that keeps [`super::FIXED_BITS`], such as the stem.
    pub fn fixed_conv(&mut self, name: &str, x: NodeId, conv: Conv) -> NodeId {
        let node = self.conv(name, x, conv);
        self.fix(node);
        node
    }

    /// A searchable fully connected layer over the channels of each pixel.
    pub fn linear(&mut self, name: &str, x: NodeId, linear: Linear) -> NodeId {
        self.apply(name, linear, &[x])
    }

    /// Keeps a layer at [`super::FIXED_BITS`] and out of the search.
    pub fn fix(&mut self, node: NodeId) {
        self.graph.nodes[node].fixed = Some(fixed_bits());
    }

    /// Records the name that files of other programs use for a layer.
    pub fn alias(&mut self, node: NodeId, other: &str) {
        let own = self.graph.nodes[node].name.clone();
        if self.graph.aliases.insert(other.to_owned(), own).is_some() || self.names.contains(other) {
            self.fail(GraphError::DuplicateName(other.to_owned()));
        }
    }

    /// Batch normalisation.
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.apply(name, BatchNorm::default(), &[x])
    }

    /// Rectified linear unit.
    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.apply("", Relu {}, &[x])
    }

    /// Element-wise sum.
    pub fn add(&mut self, left: NodeId, right: NodeId) -> NodeId {
        self.apply("", Add {}, &[left, right])
    }

    /// The channels of several inputs of one height and width, one after another.
    pub fn concat(&mut self, inputs: &[NodeId]) -> NodeId {
        self.apply("", Concat {}, inputs)
    }

    /// Maximum over square windows.
    pub fn max_pool(&mut self, x: NodeId, kernel: usize, stride: usize, padding: usize) -> NodeId {
        self.apply("", MaxPool::square(kernel, stride, padding), &[x])
    }

    /// Mean over all pixels.
    pub fn global_avg_pool(&mut self, x: NodeId) -> NodeId {
        self.apply("", GlobalAvgPool {}, &[x])
    }

    /// The classifier: a fully connected layer with bias from all values to the logits, at [`super::FIXED_BITS`].
    pub fn classifier(&mut self, name: &str, x: NodeId) -> NodeId {
        let shape = self.shape(x);
        let x = if shape.channels == shape.elements() { x } else { self.apply("", Flatten {}, &[x]) };
        let node = self.linear(name, x, Linear { out: self.graph.classes.max(1), bias: true });
        self.fix(node);
        node
    }

    /// The finished network, or the first error.
    pub fn finish(self) -> Result<Graph, GraphError> {
        self.error.map_or(Ok(self.graph), Err)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.shape(input)).collect();
        let shape = op.output(&shapes).unwrap_or_else(|error| {
            let place = if name.is_empty() { self.place(&op, inputs) } else { name.to_owned() };
            self.fail(GraphError::Operator { place, error });
            // A placeholder to continue with; the error is reported.
            shapes.first().copied().unwrap_or(self.graph.input)
        });
        if !name.is_empty() && !self.names.insert(name.to_owned()) {
            self.fail(GraphError::DuplicateName(name.to_owned()));
        }
        if name.is_empty() && self.error.is_none() && (op.operands().is_some() || !op.parameters(&shapes).is_empty()) {
            self.fail(GraphError::Nameless(op.name()));
        }
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape, fixed: None });
        self.graph.nodes.len() - 1
    }

    /// What errors call a node without a name.
    fn place(&self, op: &Op, inputs: &[NodeId]) -> String {
        let input = |&input: &NodeId| {
            let before = self.graph.nodes[..=input].iter().rev().find(|node| !node.name.is_empty());
            let name = before.map_or("the image", |node| &node.name);
            format!("{name} ({})", self.shape(input))
        };
        format!("{} of {}", op.label(), inputs.iter().map(input).collect::<Vec<_>>().join(" and "))
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
        assert_eq!((graph.biases(), graph.other_parameters()), (5, 0));
    }

    #[test]
    fn keeps_the_first_error() {
        let (mut b, x) = Builder::new("bad", Shape::new(3, 2, 2).unwrap(), 5);
        let x = b.conv("c", x, Conv::new(4, 5).padding(0));
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
        assert!(
            error.starts_with("concatenation of the image (3x4x4) and small (2x2x2): heights or widths"),
            "{error}"
        );
    }

    #[test]
    fn refuses_two_layers_of_one_name() {
        let (mut b, x) = Builder::new("bad", Shape::new(3, 8, 8).unwrap(), 5);
        let x = b.conv("c", x, Conv::new(4, 3));
        b.conv("c", x, Conv::new(4, 3));
        assert!(b.finish().unwrap_err().to_string().contains("two layers are called \"c\""));
    }
}

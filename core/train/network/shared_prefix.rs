//! The shared prefix of a training step's passes: the nodes that no bit-width reaches, such as a stem in full precision.
//! They run once, forward and backward. The gradients of the passes with respect to its boundary activations are summed
//! before they are backpropagated through it, which by the chain rule gives the same as if each pass had run it.

use super::{Bits, Network, Outputs};
use crate::{graph::NodeId, ops::Statistics};
use burn::tensor::{Gradients, Tensor};

/// The shared prefix after its forward pass.
pub struct SharedPrefix {
    /// Which nodes are in it.
    pub(super) nodes: Vec<bool>,
    pub(super) boundary: Vec<Boundary>,
}

/// A boundary activation: an output that nodes of a later segment read.
pub(super) struct Boundary {
    pub node: NodeId,
    pub output: Tensor<4>,
    /// Sum of the gradients with respect to it so far; the network's input has none.
    pub gradient: Option<Tensor<4>>,
}

impl Network {
    /// The forward pass of the shared prefix, in training. Running statistics are updated as often as there are passes.
    pub fn shared_prefix(&self, images: Tensor<4>, passes: &[Bits]) -> SharedPrefix {
        let graph = &self.plan.graph;
        let nodes = self.common(passes);
        let mut read = vec![false; nodes.len()];
        for (node, _) in graph.nodes.iter().zip(&nodes).filter(|&(_, &common)| !common) {
            node.inputs.iter().for_each(|&input| read[input] = true);
        }
        let boundary: Vec<NodeId> = (0..nodes.len()).filter(|&node| nodes[node] && read[node]).collect();
        let mut outputs = Outputs::new(graph, &nodes, &boundary);
        outputs.put(0, images);
        let statistics = Statistics::Train { passes: passes.len() };
        self.run(&mut outputs, &nodes, &passes[0], statistics, &mut |_, input, kernel| (input, kernel));
        let boundary = boundary.into_iter().map(|node| Boundary::new(node, outputs.read(node))).collect();
        SharedPrefix { boundary, nodes }
    }

    /// Which nodes compute the same in all passes: layers without a bit-width, and the nodes before and between them. A single
    /// pass shares with no other.
    fn common(&self, passes: &[Bits]) -> Vec<bool> {
        let graph = &self.plan.graph;
        let mut common = vec![true; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            let layer = self.plan.layers.iter().position(|layer| layer.node == id);
            let plain = layer.is_none_or(|layer| passes.iter().all(|bits| bits[layer].is_none()));
            let own = passes.len() > 1 && plain || node.inputs.is_empty();
            common[id] = own && node.inputs.iter().all(|&input| common[input]);
        }
        // Each pass has logits of its own.
        *common.last_mut().expect("a graph has nodes") = false;
        common
    }
}

impl Boundary {
    pub fn new(node: NodeId, output: Tensor<4>) -> Self {
        Self { node, output, gradient: None }
    }

    /// The same output, detached from the autodiff graph.
    pub fn detached(&self) -> Self {
        Self::new(self.node, Tensor::from_inner(self.output.clone().inner()))
    }

    /// The output as a leaf of an autodiff graph.
    pub fn leaf(&self) -> Tensor<4> {
        let values = self.detached().output;
        if self.node == 0 { values } else { values.require_grad() }
    }

    fn add(&mut self, gradient: Option<Tensor<4>>) {
        self.gradient = match (self.gradient.take(), gradient) {
            (Some(sum), Some(gradient)) => Some(sum + gradient),
            (sum, gradient) => sum.or(gradient),
        };
    }
}

/// Adds the gradients of a backward pass with respect to leaves, each given with the index of its boundary activation.
pub(super) fn accumulate(boundary: &mut [Boundary], leaves: &[(usize, Tensor<4>)], gradients: &Gradients) {
    leaves.iter().for_each(|(place, leaf)| boundary[*place].add(leaf.grad(gradients)));
}

/// The vector-Jacobian product: backpropagates the gradient with respect to each output. `None` if no output has one.
pub(super) fn backpropagate(outputs: impl Iterator<Item = (Tensor<4>, Option<Tensor<4>>)>) -> Option<Gradients> {
    let product =
        |(output, gradient): (Tensor<4>, Option<Tensor<4>>)| Some((output * Tensor::from_inner(gradient?)).sum());
    Some(outputs.filter_map(product).reduce(|sum, next| sum + next)?.backward())
}

impl SharedPrefix {
    /// Adds the gradients of a pass with respect to its boundary activations, which come first among these.
    pub(super) fn add(&mut self, boundary: Vec<Boundary>) {
        self.boundary.iter_mut().zip(boundary).for_each(|(own, of_pass)| own.add(of_pass.gradient));
    }

    /// The gradients with respect to its parameters, after all passes; `None` if it has no parameters.
    pub fn backward(self) -> Option<Gradients> {
        backpropagate(self.boundary.into_iter().map(|boundary| (boundary.output, boundary.gradient)))
    }
}

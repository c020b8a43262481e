//! What the passes of a training step have in common: the nodes that no bit-width reaches, such as a stem in full precision.
//! They run once, forward and backward; the gradient that enters them is the sum of those of the passes, which by the chain
//! rule gives the same as passes that each ran them.

use super::{Bits, Network, Outputs};
use crate::{graph::NodeId, ops::Statistics};
use burn::tensor::{Gradients, Tensor};

/// The common part, run forward.
pub struct Trunk {
    /// Which nodes are in it.
    pub(super) nodes: Vec<bool>,
    pub(super) ends: Vec<End>,
}

/// An output that what lies behind reads.
pub(super) struct End {
    pub node: NodeId,
    pub output: Tensor<4>,
    /// Sum of its gradients so far; nothing is learned before the network's input.
    pub slopes: Option<Tensor<4>>,
}

impl Network {
    /// Runs, in training, what is the same in all these passes. Running statistics move as far as with every pass.
    pub fn trunk(&self, images: Tensor<4>, passes: &[Bits]) -> Trunk {
        let graph = &self.plan.graph;
        let nodes = self.common(passes);
        let mut read = vec![false; nodes.len()];
        for (node, _) in graph.nodes.iter().zip(&nodes).filter(|&(_, &common)| !common) {
            node.inputs.iter().for_each(|&input| read[input] = true);
        }
        let ends: Vec<NodeId> = (0..nodes.len()).filter(|&node| nodes[node] && read[node]).collect();
        let mut outputs = Outputs::new(graph, &nodes, &ends);
        outputs.put(0, images);
        let statistics = Statistics::Train { passes: passes.len() };
        self.run(&mut outputs, &nodes, &passes[0], statistics, &mut |_, input, kernel| (input, kernel));
        let end = |node| End::new(node, outputs.read(node));
        Trunk { ends: ends.into_iter().map(end).collect(), nodes }
    }

    /// Which nodes do the same in all passes: layers without a bit-width, and what lies before and between them. A single pass
    /// has no other to share with.
    fn common(&self, passes: &[Bits]) -> Vec<bool> {
        let graph = &self.plan.graph;
        let mut common = vec![true; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            let layer = self.plan.layers.iter().position(|layer| layer.node == id);
            let plain = layer.is_none_or(|layer| passes.iter().all(|bits| bits[layer].is_none()));
            let own = passes.len() > 1 && plain || node.inputs.is_empty();
            common[id] = own && node.inputs.iter().all(|&input| common[input]);
        }
        // The scores are a pass's own.
        *common.last_mut().expect("a graph has nodes") = false;
        common
    }
}

impl End {
    pub fn new(node: NodeId, output: Tensor<4>) -> Self {
        Self { node, output, slopes: None }
    }

    /// The same output, outside any graph.
    pub fn again(&self) -> Self {
        Self::new(self.node, Tensor::from_inner(self.output.clone().inner()))
    }

    /// The output as the leaf of a graph.
    pub fn leaf(&self) -> Tensor<4> {
        let values = self.again().output;
        if self.node == 0 { values } else { values.require_grad() }
    }

    fn add(&mut self, slopes: Option<Tensor<4>>) {
        self.slopes = match (self.slopes.take(), slopes) {
            (Some(sum), Some(slopes)) => Some(sum + slopes),
            (sum, slopes) => sum.or(slopes),
        };
    }
}

/// Takes what a backward pass found at leaves, each given with the place of its end.
pub(super) fn collect(ends: &mut [End], leaves: &[(usize, Tensor<4>)], gradients: &Gradients) {
    leaves.iter().for_each(|(place, leaf)| ends[*place].add(leaf.grad(gradients)));
}

/// The gradients of the number whose own gradient at each output is what was collected there; none without any.
pub(super) fn slope(ends: impl Iterator<Item = (Tensor<4>, Option<Tensor<4>>)>) -> Option<Gradients> {
    let along = |(output, slopes): (Tensor<4>, Option<Tensor<4>>)| Some((output * Tensor::from_inner(slopes?)).sum());
    Some(ends.filter_map(along).reduce(|sum, next| sum + next)?.backward())
}

impl Trunk {
    /// Takes what a pass collected at its ends, which come first among these.
    pub(super) fn add(&mut self, ends: Vec<End>) {
        self.ends.iter_mut().zip(ends).for_each(|(end, of_pass)| end.add(of_pass.slopes));
    }

    /// The gradients of its own weights, after all passes; none if it has none.
    pub fn backward(self) -> Option<Gradients> {
        slope(self.ends.into_iter().map(|end| (end.output, end.slopes)))
    }
}

//! What the passes of a training step have in common: the nodes that no bit-width reaches, such as a stem in full precision.
//! They run once, forward and backward; the gradient that enters them is the sum of those of the passes, which by the chain
//! rule gives the same as passes that each ran them.

use super::{Bits, Network, Outputs, walk::MOMENTUM};
use crate::graph::{NodeId, Op};
use burn::tensor::{Gradients, Tensor};

/// The common part, run forward.
pub struct Trunk {
    /// Which nodes are in it.
    nodes: Vec<bool>,
    ends: Vec<End>,
}

/// An output that passes read.
struct End {
    node: NodeId,
    output: Tensor<4>,
    /// Sum of its gradients in the passes so far; nothing is learned before the network's input.
    slopes: Option<Tensor<4>>,
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
        let share = 1.0 - (1.0 - MOMENTUM).powi(passes.len() as i32);
        self.run(&mut outputs, &nodes, &passes[0], Some(share), &mut |_, input, kernel| (input, kernel));
        let end = |node| End { node, output: outputs.read(node), slopes: None };
        Trunk { ends: ends.into_iter().map(end).collect(), nodes }
    }

    /// Runs the rest, in training, for one of the passes: class scores `[batch, classes]`, and what it read of the trunk, as the
    /// leaves of a graph of its own, which the trunk's `collect` wants to see again.
    pub fn branch(&self, trunk: &Trunk, bits: &Bits) -> (Tensor<2>, Vec<Tensor<4>>) {
        let graph = &self.plan.graph;
        let rest: Vec<bool> = trunk.nodes.iter().map(|common| !common).collect();
        let last = graph.nodes.len() - 1;
        let mut outputs = Outputs::new(graph, &rest, &[last]);
        let leaves: Vec<Tensor<4>> = trunk.ends.iter().map(End::leaf).collect();
        for (end, leaf) in trunk.ends.iter().zip(&leaves) {
            outputs.put(end.node, leaf.clone());
        }
        self.run(&mut outputs, &rest, bits, Some(MOMENTUM), &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
        (super::walk::flat(outputs.read(last)), leaves)
    }

    /// Which nodes do the same in all passes: layers without a bit-width, and what lies before and between them. A single pass
    /// has no other to share with.
    fn common(&self, passes: &[Bits]) -> Vec<bool> {
        let graph = &self.plan.graph;
        let mut common = vec![true; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            let layer = self.plan.layers.iter().position(|layer| layer.node == id);
            let plain = layer.is_none_or(|layer| passes.iter().all(|bits| bits[layer].is_none()));
            let own = passes.len() > 1 && plain || node.op == Op::Input;
            common[id] = own && node.inputs.iter().all(|&input| common[input]);
        }
        // The scores are a pass's own.
        *common.last_mut().expect("a graph has nodes") = false;
        common
    }
}

impl End {
    fn leaf(&self) -> Tensor<4> {
        let values = Tensor::from_inner(self.output.clone().inner());
        if self.node == 0 { values } else { values.require_grad() }
    }
}

impl Trunk {
    /// Takes what a pass's backward pass found at its leaves.
    pub fn collect(&mut self, leaves: &[Tensor<4>], gradients: &Gradients) {
        for (end, leaf) in self.ends.iter_mut().zip(leaves) {
            let slopes = leaf.grad(gradients);
            end.slopes = match (end.slopes.take(), slopes) {
                (Some(sum), Some(slopes)) => Some(sum + slopes),
                (sum, slopes) => sum.or(slopes),
            };
        }
    }

    /// The gradients of its own weights, after all passes; none if it has none.
    pub fn backward(self) -> Option<Gradients> {
        // The number whose gradient at an output is what was collected there.
        let along = |end: End| Some((end.output * Tensor::from_inner(end.slopes?)).sum());
        let sum = self.ends.into_iter().filter_map(along).reduce(|sum, next| sum + next)?;
        Some(sum.backward())
    }
}

//! One pass of a training step, forward and backward, after the shared prefix.
//!
//! With gradient checkpointing (Chen et al., arXiv 1604.06174) the pass runs in about sqrt(n) segments. The forward pass keeps
//! only the boundary activations; the backward pass recomputes each segment, from the last to the first, this time with an
//! autodiff graph. Every operation gets the same values as without checkpointing, so the gradients are the same. (If three
//! segments read one output, sums would be in another order; no output of a segment that ends in a single one has three.)

use super::{
    Bits, Network, Outputs, SharedPrefix,
    forward::{TRAIN, flat},
    shared_prefix::{Boundary, accumulate, backpropagate},
};
use crate::{
    graph::{Graph, NodeId},
    ops::Statistics,
};
use burn::tensor::{Gradients, Tensor};

/// A pass after its forward half.
pub struct ForwardPass<'a> {
    network: &'a Network,
    bits: &'a Bits,
    /// The nodes of each segment that is to be recomputed.
    segments: Vec<Vec<bool>>,
    /// The boundary activations of the shared prefix, and then those of each segment.
    boundary: Vec<Boundary>,
    /// Leaves of the last segment, each with the index of its boundary activation.
    leaves: Vec<(usize, Tensor<4>)>,
}

impl Network {
    /// The forward pass after the shared prefix, in training: logits `[batch, classes]`, and what the backward pass needs.
    /// With `plain`, this network without gradients, it checkpoints.
    pub fn pass<'a>(
        &'a self,
        prefix: &SharedPrefix,
        bits: &'a Bits,
        plain: Option<&Network>,
    ) -> (Tensor<2>, ForwardPass<'a>) {
        let graph = &self.plan.graph;
        let rest: Vec<bool> = prefix.nodes.iter().map(|common| !common).collect();
        let mut boundary: Vec<Boundary> = prefix.boundary.iter().map(Boundary::detached).collect();
        let (segments, last) = match plain {
            None => (vec![], rest),
            Some(plain) => {
                let mut segments = segments(graph, &rest);
                let last = segments.pop().expect("the logits are in a segment");
                for segment in &segments {
                    let asked = read_later(graph, &rest, segment);
                    let mut outputs = Outputs::new(graph, segment, &asked);
                    boundary.iter().for_each(|earlier| outputs.put(earlier.node, earlier.output.clone().inner()));
                    plain.run_quantized(&mut outputs, segment, bits, Statistics::Batch);
                    let own = |node| Boundary::new(node, Tensor::from_inner(outputs.read(node)));
                    boundary.extend(asked.into_iter().map(own));
                }
                (segments, last)
            }
        };
        let (mut logits, leaves) = self.traced(&last, &boundary, &[graph.nodes.len() - 1], bits);
        let logits = flat(logits.pop().expect("they were asked for"));
        (logits, ForwardPass { network: self, bits, segments, boundary, leaves })
    }

    /// Runs a segment with an autodiff graph of its own: the outputs that are asked for, and its leaves with the indices of
    /// their boundary activations.
    fn traced(
        &self,
        segment: &[bool],
        boundary: &[Boundary],
        asked: &[NodeId],
        bits: &Bits,
    ) -> (Vec<Tensor<4>>, Vec<(usize, Tensor<4>)>) {
        let graph = &self.plan.graph;
        let reads = |node: NodeId| (0..segment.len()).any(|id| segment[id] && graph.nodes[id].inputs.contains(&node));
        let read = boundary.iter().enumerate().filter(|(_, earlier)| reads(earlier.node));
        let leaves: Vec<(usize, Tensor<4>)> = read.map(|(place, earlier)| (place, earlier.leaf())).collect();
        let mut outputs = Outputs::new(graph, segment, asked);
        leaves.iter().for_each(|(place, leaf)| outputs.put(boundary[*place].node, leaf.clone()));
        self.run_quantized(&mut outputs, segment, bits, TRAIN);
        (asked.iter().map(|&node| outputs.read(node)).collect(), leaves)
    }

    fn run_quantized(&self, outputs: &mut Outputs, nodes: &[bool], bits: &Bits, statistics: Statistics) {
        self.run(outputs, nodes, bits, statistics, &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
    }
}

impl ForwardPass<'_> {
    /// The backward pass. `of_last` are the gradients of the last segment, those of a loss of the logits. `take` gets the
    /// gradients of all segments; those with respect to the shared prefix's boundary activations are added to `prefix`.
    pub fn backward(mut self, of_last: Gradients, prefix: &mut SharedPrefix, take: &mut dyn FnMut(Gradients)) {
        accumulate(&mut self.boundary, &self.leaves, &of_last);
        self.leaves.clear();
        take(of_last);
        while let Some(segment) = self.segments.pop() {
            let is_own = |boundary: &Boundary| segment[boundary.node];
            let first = self.boundary.iter().position(is_own).unwrap_or(self.boundary.len());
            let own: Vec<Boundary> = self.boundary.drain(first..).collect();
            let asked: Vec<NodeId> = own.iter().map(|boundary| boundary.node).collect();
            let wanted: Vec<Option<Tensor<4>>> = own.into_iter().map(|boundary| boundary.gradient).collect();
            let (outputs, leaves) = self.network.traced(&segment, &self.boundary, &asked, self.bits);
            let Some(gradients) = backpropagate(outputs.into_iter().zip(wanted)) else { continue };
            accumulate(&mut self.boundary, &leaves, &gradients);
            drop(leaves);
            take(gradients);
        }
        prefix.add(self.boundary);
    }
}

/// Divides nodes into segments of about sqrt(n) of their n layers; a segment ends where later nodes read only one of its outputs.
fn segments(graph: &Graph, nodes: &[bool]) -> Vec<Vec<bool>> {
    let mut last_read = vec![0; nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate().filter(|&(id, _)| nodes[id]) {
        node.inputs.iter().for_each(|&input| last_read[input] = id);
    }
    let is_layer = |id: NodeId| nodes[id] && graph.is_layer(id);
    let layers = (0..nodes.len()).filter(|&id| is_layer(id)).count();
    let size = (layers as f64).sqrt().round().max(1.0) as usize;
    let (mut segments, mut from, mut seen) = (vec![], 0, 0);
    let segment =
        |range: std::ops::Range<NodeId>| (0..nodes.len()).map(|id| nodes[id] && range.contains(&id)).collect();
    for id in (0..nodes.len() - 1).filter(|&id| nodes[id]) {
        seen += usize::from(is_layer(id));
        let alone = (0..=id).filter(|&earlier| last_read[earlier] > id).count() == 1;
        if seen >= size && alone {
            segments.push(segment(from..id + 1));
            (from, seen) = (id + 1, 0);
        }
    }
    segments.push(segment(from..nodes.len()));
    segments
}

/// The nodes of a segment that later nodes read.
fn read_later(graph: &Graph, nodes: &[bool], segment: &[bool]) -> Vec<NodeId> {
    let mut read = vec![false; nodes.len()];
    for id in (0..nodes.len()).filter(|&id| nodes[id] && !segment[id]) {
        graph.nodes[id].inputs.iter().for_each(|&input| read[input] = true);
    }
    (0..nodes.len()).filter(|&id| segment[id] && read[id]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Conv};

    /// A stem, four residual blocks of two convolutions, and a classifier.
    fn residual() -> Graph {
        let (mut b, x) = Builder::new("residual", "3x8x8".parse().unwrap(), 10);
        let mut x = b.fixed_conv("stem", x, Conv::new(4, 3));
        for block in 0..4 {
            let y = b.conv(&format!("{block}.a"), x, Conv::new(4, 3));
            let y = b.relu(y);
            let y = b.conv(&format!("{block}.b"), y, Conv::new(4, 3));
            x = b.add(x, y);
        }
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    #[test]
    fn segments_end_in_a_single_output() {
        let graph = residual();
        let nodes: Vec<bool> = (0..graph.nodes.len()).map(|id| id > 0).collect();
        let segments = segments(&graph, &nodes);
        // Ten layers; a segment has three, and the rest of the block that they end in.
        let layers = |segment: &Vec<bool>| {
            let layer = |id: &NodeId| segment[*id] && graph.is_layer(*id);
            (0..segment.len()).filter(layer).count()
        };
        assert_eq!(segments.iter().map(layers).collect::<Vec<_>>(), [3, 4, 3]);
        for segment in &segments[..2] {
            assert_eq!(read_later(&graph, &nodes, segment).len(), 1);
        }
        let times = |id: NodeId| segments.iter().filter(|segment| segment[id]).count();
        assert!((0..nodes.len()).all(|id| times(id) == usize::from(nodes[id])), "each node is in one segment");
    }
}

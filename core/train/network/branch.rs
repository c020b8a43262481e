//! One pass of a training step, forward and backward, behind what passes have in common.
//!
//! With gradient checkpointing (Chen et al., arXiv 1604.06174) the pass runs in some sqrt(n) parts. Forward, only what lies
//! between parts is kept; backward, each part runs again, this time with a graph, from its last to its first. Every operation
//! gets the same numbers as without, so gradients are the same (where three parts read an output, as none does where parts
//! are cut at single outputs, sums would be in another order).

use super::{
    Bits, Network, Outputs, Trunk,
    trunk::{End, collect, slope},
    walk::{TRAIN, flat},
};
use crate::{
    graph::{Graph, NodeId},
    ops::Statistics,
};
use burn::tensor::{Gradients, Tensor};

/// A pass that was run forward.
pub struct Branch<'a> {
    network: &'a Network,
    bits: &'a Bits,
    /// The nodes of each part that is to run again.
    parts: Vec<Vec<bool>>,
    /// What parts read: the trunk's ends, and then those of each part.
    ends: Vec<End>,
    /// Leaves of the last part, each with the place of its end.
    leaves: Vec<(usize, Tensor<4>)>,
}

impl Network {
    /// Runs, in training, what is not in the trunk: class scores `[batch, classes]`, and what the way back needs. With `plain`,
    /// this network without gradients, it checkpoints.
    pub fn branch<'a>(&'a self, trunk: &Trunk, bits: &'a Bits, plain: Option<&Network>) -> (Tensor<2>, Branch<'a>) {
        let graph = &self.plan.graph;
        let rest: Vec<bool> = trunk.nodes.iter().map(|common| !common).collect();
        let mut ends: Vec<End> = trunk.ends.iter().map(End::again).collect();
        let (parts, last) = match plain {
            None => (vec![], rest),
            Some(plain) => {
                let mut parts = parts(graph, &rest);
                let last = parts.pop().expect("the scores are in a part");
                for part in &parts {
                    let asked = read_behind(graph, &rest, part);
                    let mut outputs = Outputs::new(graph, part, &asked);
                    ends.iter().for_each(|end| outputs.put(end.node, end.output.clone().inner()));
                    plain.pass(&mut outputs, part, bits, Statistics::Batch);
                    let end = |node| End::new(node, Tensor::from_inner(outputs.read(node)));
                    ends.extend(asked.into_iter().map(end));
                }
                (parts, last)
            }
        };
        let (mut scores, leaves) = self.traced(&last, &ends, &[graph.nodes.len() - 1], bits);
        let scores = flat(scores.pop().expect("they were asked for"));
        (scores, Branch { network: self, bits, parts, ends, leaves })
    }

    /// Runs some nodes with a graph of their own: the outputs that are asked for, and its leaves with the places of their ends.
    fn traced(
        &self,
        part: &[bool],
        ends: &[End],
        asked: &[NodeId],
        bits: &Bits,
    ) -> (Vec<Tensor<4>>, Vec<(usize, Tensor<4>)>) {
        let graph = &self.plan.graph;
        let reads = |node: NodeId| (0..part.len()).any(|id| part[id] && graph.nodes[id].inputs.contains(&node));
        let read = ends.iter().enumerate().filter(|(_, end)| reads(end.node));
        let leaves: Vec<(usize, Tensor<4>)> = read.map(|(place, end)| (place, end.leaf())).collect();
        let mut outputs = Outputs::new(graph, part, asked);
        leaves.iter().for_each(|(place, leaf)| outputs.put(ends[*place].node, leaf.clone()));
        self.pass(&mut outputs, part, bits, TRAIN);
        (asked.iter().map(|&node| outputs.read(node)).collect(), leaves)
    }

    fn pass(&self, outputs: &mut Outputs, nodes: &[bool], bits: &Bits, statistics: Statistics) {
        self.run(outputs, nodes, bits, statistics, &mut |layer, input, kernel| {
            self.prepared(layer, bits[layer], input, kernel)
        });
    }
}

impl Branch<'_> {
    /// Goes the way back from the gradients of something made of the scores. `take` gets those of all parts; what the trunk's
    /// ends are due is collected there.
    pub fn backward(mut self, of_scores: Gradients, trunk: &mut Trunk, take: &mut dyn FnMut(Gradients)) {
        collect(&mut self.ends, &self.leaves, &of_scores);
        self.leaves.clear();
        take(of_scores);
        while let Some(part) = self.parts.pop() {
            let first = self.ends.iter().position(|end| part[end.node]).unwrap_or(self.ends.len());
            let own: Vec<End> = self.ends.drain(first..).collect();
            let asked: Vec<NodeId> = own.iter().map(|end| end.node).collect();
            let slopes: Vec<Option<Tensor<4>>> = own.into_iter().map(|end| end.slopes).collect();
            let (outputs, leaves) = self.network.traced(&part, &self.ends, &asked, self.bits);
            let Some(gradients) = slope(outputs.into_iter().zip(slopes)) else { continue };
            collect(&mut self.ends, &leaves, &gradients);
            drop(leaves);
            take(gradients);
        }
        trunk.add(self.ends);
    }
}

/// Divides nodes into parts of about the square root of their number of layers, where a single output leads on.
fn parts(graph: &Graph, nodes: &[bool]) -> Vec<Vec<bool>> {
    let mut last_read = vec![0; nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate().filter(|&(id, _)| nodes[id]) {
        node.inputs.iter().for_each(|&input| last_read[input] = id);
    }
    let is_layer = |id: NodeId| nodes[id] && graph.is_layer(id);
    let layers = (0..nodes.len()).filter(|&id| is_layer(id)).count();
    let size = (layers as f64).sqrt().round().max(1.0) as usize;
    let (mut parts, mut from, mut seen) = (vec![], 0, 0);
    let part = |range: std::ops::Range<NodeId>| (0..nodes.len()).map(|id| nodes[id] && range.contains(&id)).collect();
    for id in (0..nodes.len() - 1).filter(|&id| nodes[id]) {
        seen += usize::from(is_layer(id));
        let alone = (0..=id).filter(|&earlier| last_read[earlier] > id).count() == 1;
        if seen >= size && alone {
            parts.push(part(from..id + 1));
            (from, seen) = (id + 1, 0);
        }
    }
    parts.push(part(from..nodes.len()));
    parts
}

/// The nodes of a part that others, behind it, read.
fn read_behind(graph: &Graph, nodes: &[bool], part: &[bool]) -> Vec<NodeId> {
    let mut read = vec![false; nodes.len()];
    for id in (0..nodes.len()).filter(|&id| nodes[id] && !part[id]) {
        graph.nodes[id].inputs.iter().for_each(|&input| read[input] = true);
    }
    (0..nodes.len()).filter(|&id| part[id] && read[id]).collect()
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
    fn parts_end_where_a_single_output_leads_on() {
        let graph = residual();
        let nodes: Vec<bool> = (0..graph.nodes.len()).map(|id| id > 0).collect();
        let parts = parts(&graph, &nodes);
        // Ten layers; a part has three, and the rest of the block that they end in.
        let layers = |part: &Vec<bool>| {
            let layer = |id: &NodeId| part[*id] && graph.is_layer(*id);
            (0..part.len()).filter(layer).count()
        };
        assert_eq!(parts.iter().map(layers).collect::<Vec<_>>(), [3, 4, 3]);
        for part in &parts[..2] {
            assert_eq!(read_behind(&graph, &nodes, part).len(), 1);
        }
        let times = |id: NodeId| parts.iter().filter(|part| part[id]).count();
        assert!((0..nodes.len()).all(|id| times(id) == usize::from(nodes[id])), "each node is in one part");
    }
}

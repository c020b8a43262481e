//! Outputs of a network's nodes, each for as long as somebody reads it.

use crate::graph::{Graph, NodeId};
use burn::tensor::Tensor;

/// Outputs that are still to be read. One is let go with its last reader: what nobody else holds, burn writes into.
pub(super) struct Outputs {
    of: Vec<Option<Tensor<4>>>,
    /// How often each is still to be read.
    reads: Vec<usize>,
}

impl Outputs {
    /// For a run of these nodes, after which the outputs of `asked` are read.
    pub fn new(graph: &Graph, runs: &[bool], asked: &[NodeId]) -> Self {
        let mut reads = vec![0; graph.nodes.len()];
        let running = graph.nodes.iter().zip(runs).filter(|&(_, &runs)| runs);
        running.flat_map(|(node, _)| &node.inputs).chain(asked).for_each(|&node| reads[node] += 1);
        Self { of: vec![None; graph.nodes.len()], reads }
    }

    pub fn put(&mut self, node: NodeId, output: Tensor<4>) {
        if self.reads[node] > 0 {
            self.of[node] = Some(output);
        }
    }

    pub fn read(&mut self, node: NodeId) -> Tensor<4> {
        self.reads[node] -= 1;
        let output = match self.reads[node] {
            0 => self.of[node].take(),
            _ => self.of[node].clone(),
        };
        output.expect("a node runs after those that it reads")
    }
}

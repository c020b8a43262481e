//! Outputs of a network's nodes, kept as long as they are needed.

use crate::graph::{Graph, NodeId};
use burn::tensor::Tensor;

/// Outputs that are still needed. One is dropped at its last use, so that burn can overwrite it in place.
pub(super) struct Outputs {
    of: Vec<Option<Tensor<4>>>,
    /// How often each is still needed.
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

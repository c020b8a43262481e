//! Memory while a network runs: its schedule of steps, and the tensors that are alive at each step.
//!
//! - Layers run one after another in the order of the graph. Batch normalisation, activation functions and sums belong
//!   to the step that computes their input, as in fused kernels: nothing is stored in between. A sum belongs to the
//!   later of its operands. An operation whose input has other readers is a step of its own.
//! - A step holds every tensor that it or a later step reads, and the tensor that it writes. It never overwrites its
//!   input. Pools and concatenations are steps; scratch memory of kernels does not count.
//! - A tensor is stored once, at the highest bits of the layers that read it; the second operand of a product of two
//!   activations is read at the product's bits called `weight`. Max pools and concatenations pass values on unchanged,
//!   so readers of their output count as readers of their input. The input of an addition or an average (and the
//!   logits) has at least `residual_bits`.
//!
//! "Highest" is a maximum over readers, and a peak is a maximum over steps of a sum of them. Both are expanded exactly:
//! one sum per step and per choice of one reader for each of its tensors; the largest of these sums is the peak.

use limpq_core::graph::{Graph, Layer, NodeId};
use limpq_core::ops::Operand;
use limpq_core::search::{BitWidth, Precision};
use std::collections::{BTreeMap, BTreeSet};

/// More sums than this at one step are refused: each is a row of the integer program.
const MOST_SUMS: usize = 4096;
/// The same over all steps: long networks have one or two per layer.
const MOST_IN_ALL: usize = 1 << 16;

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    /// Number of values for one image.
    pub elements: u64,
    /// The step that writes it.
    written: usize,
    /// The last step that reads it.
    read: usize,
    /// The layers that read it, and as which operand.
    pub readers: Vec<Reader>,
    /// Whether something other than a layer reads it, or nothing.
    pub others: bool,
}

/// A layer by name, and whether it reads a tensor as its second operand, at its bits called `weight`.
type Reader = (String, bool);

/// One sum: each tensor with the reader that determines its bits, if any does.
#[derive(Debug)]
pub(super) struct Held {
    /// The step.
    pub name: String,
    /// Number of values stored at `residual_bits` whatever the policy.
    pub constant: u64,
    /// Per layer, the number of values whose bits it determines.
    pub by_layer: BTreeMap<String, Elements>,
}

/// Values that a layer sets the bits of: by its bits called `act`, and by those called `weight` of a product's second operand;
/// first those that nothing else reads, then those that have at least `residual_bits`.
type Elements = [[u64; 2]; 2];

impl Held {
    /// Bits of a layer's tensors when the layer has these bits.
    pub fn bits(&self, layer: &Layer, bits: Precision, residual: BitWidth) -> u64 {
        let operands =
            self.by_layer.get(&layer.name).copied().unwrap_or_default().into_iter().zip([bits.act, bits.weight]);
        operands.map(|([own, shared], bits)| own * bits.get() + shared * bits.max(residual).get()).sum()
    }
}

/// A step with too many tensors that have several readers.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error(
    "step {step} of {model} holds tensors that {readers} layers read in turn, which takes more than {allowed} sums to count \
     exactly; limit size or average_act_bits instead"
)]
pub struct TooManyReaders {
    model: String,
    step: String,
    readers: usize,
    allowed: usize,
}

/// Steps and tensors of a network.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Names of the steps.
    steps: Vec<String>,
    /// All tensors.
    pub tensors: Vec<Tensor>,
}

impl Schedule {
    /// The schedule of a network.
    pub fn new(graph: &Graph) -> Self {
        let mut readers: Vec<Vec<NodeId>> = vec![vec![]; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            for &input in &node.inputs {
                readers[input].push(id);
            }
        }
        // The tensor that holds each node's value, and the step that computes it.
        let (mut steps, mut tensors): (Vec<String>, Vec<Tensor>) = (vec![], vec![]);
        let mut place: Vec<usize> = vec![];
        for (id, node) in graph.nodes.iter().enumerate() {
            let last = node.inputs.iter().copied().max_by_key(|&input| tensors[place[input]].written);
            let fused = last.filter(|&input| {
                let source = &graph.nodes[input];
                node.op.in_place()
                    && readers[input].len() == 1
                    && !source.inputs.is_empty()
                    && source.shape.elements() == node.shape.elements()
            });
            let step = match fused {
                Some(input) => tensors[place[input]].written,
                None => {
                    // The image exists before the first step.
                    if !node.inputs.is_empty() {
                        steps.push(name(graph, id));
                    }
                    steps.len().saturating_sub(1)
                }
            };
            for &input in node.inputs.iter().filter(|&&input| Some(input) != fused) {
                let tensor: &mut Tensor = &mut tensors[place[input]];
                tensor.read = tensor.read.max(step);
            }
            place.push(fused.map_or(tensors.len(), |input| place[input]));
            if fused.is_none() {
                let elements = node.shape.elements() as u64;
                tensors.push(Tensor { elements, written: step, read: step, readers: vec![], others: false });
            }
        }
        for id in 0..graph.nodes.len() {
            // The last node of a tensor is the one that is stored.
            let stored = place.iter().rposition(|&tensor| tensor == place[id]) == Some(id);
            if stored {
                let tensor = &mut tensors[place[id]];
                (tensor.readers, tensor.others) = read_by(graph, &readers, id);
            }
        }
        Self { steps, tensors }
    }

    /// Every sum whose maximum is the peak.
    ///
    /// # Errors
    /// When there are too many.
    pub fn sums(&self, graph: &Graph) -> Result<Vec<Held>, TooManyReaders> {
        let mut sums = vec![];
        for (step, name) in self.steps.iter().enumerate() {
            let alive: Vec<&Tensor> =
                self.tensors.iter().filter(|tensor| tensor.written <= step && step <= tensor.read).collect();
            let mut held = vec![Held { name: name.clone(), constant: 0, by_layer: BTreeMap::new() }];
            for tensor in alive {
                let mut next = vec![];
                for sum in held {
                    next.extend(with(&sum, tensor));
                }
                held = next;
                let allowed = MOST_SUMS.min(MOST_IN_ALL - sums.len());
                if held.len() > allowed {
                    let readers = self.tensors.iter().map(|tensor| tensor.readers.len()).max().unwrap_or_default();
                    let allowed = if allowed == MOST_SUMS { MOST_SUMS } else { MOST_IN_ALL };
                    return Err(TooManyReaders { model: graph.model.clone(), step: name.clone(), readers, allowed });
                }
            }
            sums.extend(held);
        }
        Ok(sums)
    }
}

/// A sum with one more tensor, once for each reader that may determine its bits.
fn with(sum: &Held, tensor: &Tensor) -> Vec<Held> {
    let copy = || Held { name: sum.name.clone(), constant: sum.constant, by_layer: sum.by_layer.clone() };
    if tensor.readers.is_empty() {
        return vec![Held { constant: sum.constant + tensor.elements, ..copy() }];
    }
    let set = |(layer, second): &Reader| {
        let mut held = copy();
        let operands = held.by_layer.entry(layer.clone()).or_default();
        operands[usize::from(*second)][usize::from(tensor.others)] += tensor.elements;
        if tensor.readers.len() > 1 {
            held.name += &format!(", {layer} reading");
        }
        held
    };
    tensor.readers.iter().map(set).collect()
}

/// The layers that read a node's value, and whether anything else does.
fn read_by(graph: &Graph, readers: &[Vec<NodeId>], id: NodeId) -> (Vec<Reader>, bool) {
    let (mut layers, mut others) = (BTreeSet::new(), readers[id].is_empty());
    // What is read, and by which nodes.
    let mut open: Vec<(NodeId, NodeId)> = readers[id].iter().map(|&reader| (id, reader)).collect();
    while let Some((read, reader)) = open.pop() {
        let node = &graph.nodes[reader];
        if let Some(operands) = node.op.operands() {
            let as_second = |operand: &Operand| *operand == operands[1];
            let read_as = operands
                .iter()
                .filter(|operand| matches!(operand, Operand::Input(input) if node.inputs[*input] == read));
            layers.extend(read_as.map(|operand| (reader, as_second(operand))));
        } else if node.op.selects() && !readers[reader].is_empty() {
            open.extend(readers[reader].iter().map(|&next| (reader, next)));
        } else {
            others = true;
        }
    }
    (layers.into_iter().map(|(layer, second)| (graph.nodes[layer].name.clone(), second)).collect(), others)
}

/// Name of a step in reports.
fn name(graph: &Graph, id: NodeId) -> String {
    let node = &graph.nodes[id];
    if !node.name.is_empty() {
        return node.name.clone();
    }
    let what = node.op.label();
    let before = graph.nodes[..id].iter().rev().find(|node| !node.name.is_empty());
    before.map_or_else(|| what.to_owned(), |node| format!("{what} after {}", node.name))
}

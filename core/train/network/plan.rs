//! What a network is made for: its layers, their bit-widths, and what its numbers are called.

use super::super::{Grid, Quantizer, Role};
use crate::{
    graph::{Graph, Layer, NodeId, Second},
    ops::{Parameter, ParameterKind},
    search::{BitWidth, Precision},
};
use std::{fmt, sync::Arc};

/// The bits of every layer for one pass, in the order of [`Graph::layers`]; `None` is full precision.
pub type Bits = Vec<Option<Precision>>;

/// What a network is made for: its graph, and the bit-widths that each layer can run at.
#[derive(Clone)]
pub struct Plan {
    /// The network's description.
    pub graph: Arc<Graph>,
    /// Its layers in execution order.
    pub layers: Vec<Layer>,
    /// Bit-widths of each layer's weights and activations; a layer without any runs in full precision.
    pub slots: Vec<Vec<Precision>>,
    /// The parameters of each node.
    pub(super) parameters: Arc<Vec<Vec<Parameter>>>,
    /// How tensors are quantized.
    pub quantizer: Arc<dyn Quantizer>,
    /// Whether fixed layers that read the network's input, such as a stem, take it as it is: 32 bits.
    pub plain_images: bool,
}

impl Plan {
    /// A network whose layers can run at these precisions, in the order of [`Graph::layers`].
    pub fn new(graph: Arc<Graph>, slots: Vec<Vec<Precision>>, quantizer: Arc<dyn Quantizer>) -> Self {
        let layers = graph.layers();
        assert_eq!(layers.len(), slots.len(), "there is a list of bit-widths for each layer");
        let parameters = Arc::new((0..graph.nodes.len()).map(|node| graph.parameters(node)).collect());
        Self { graph, layers, slots, parameters, quantizer, plain_images: false }
    }

    /// A network in full precision only.
    pub fn full_precision(graph: Arc<Graph>, quantizer: Arc<dyn Quantizer>) -> Self {
        let slots = graph.layers().iter().map(|_| vec![]).collect();
        Self::new(graph, slots, quantizer)
    }

    /// The same, but fixed layers that read the network's input take it as it is.
    pub fn with_plain_images(self) -> Self {
        Self { plain_images: true, ..self }
    }

    /// Whether a tensor of a layer is quantized at all.
    pub(super) fn quantizes(&self, layer: usize, role: Role) -> bool {
        let Layer { node, fixed, .. } = self.layers[layer];
        let reads_images =
            || self.graph.nodes[node].inputs.iter().all(|&input| self.graph.nodes[input].inputs.is_empty());
        !(self.plain_images && role == Role::Act && fixed && reads_images())
    }

    /// Every layer in full precision, for one pass.
    pub fn no_bits(&self) -> Bits {
        vec![None; self.layers.len()]
    }

    pub(super) fn grid(&self, layer: usize, role: Role, bits: Precision) -> Grid {
        match (role, self.layers[layer].second) {
            (Role::Weight, Second::Weights) => Grid { bits: bits.weight, signed: true },
            (Role::Weight, Second::Activations { signed, .. }) => Grid { bits: bits.weight, signed },
            (Role::Act, _) => Grid { bits: bits.act, signed: self.layers[layer].signed_input },
        }
    }

    /// As what a tensor is quantized: both operands of a product of two activations are activations.
    pub(super) fn nature(&self, layer: usize, role: Role) -> Role {
        match self.layers[layer].second {
            Second::Weights => role,
            Second::Activations { .. } => Role::Act,
        }
    }

    /// The parameters of a node that are of one kind.
    pub(super) fn of_kind(&self, node: NodeId, kind: ParameterKind) -> impl Iterator<Item = &Parameter> {
        self.parameters[node].iter().filter(move |parameter| parameter.kind == kind)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({}, {} layers)", self.graph.model, self.layers.len())
    }
}

impl Plan {
    /// Weight bits of the layer that a batch-norm normalises, if it runs at only one precision.
    pub(super) fn only_bits(&self, batch_norm: NodeId) -> Option<BitWidth> {
        let node = self.graph.normalised_layer(batch_norm)?;
        let layer = self.layers.iter().position(|layer| layer.node == node)?;
        match self.slots[layer][..] {
            [only] => Some(only.weight),
            _ => None,
        }
    }

    /// Every node with parameters that is not a layer, with the bit-widths of its copies: one for each slot of the layer that a
    /// switchable operator reads, or a single nameless one.
    pub(super) fn copies(&self) -> Vec<(NodeId, Vec<Option<BitWidth>>)> {
        let has = |&id: &NodeId| !self.graph.is_layer(id) && !self.parameters[id].is_empty();
        let nodes = (0..self.graph.nodes.len()).filter(has);
        nodes
            .map(|id| {
                let switchable = self.graph.nodes[id].op.is_switchable();
                let node = self.graph.normalised_layer(id).filter(|_| switchable);
                let layer = node.and_then(|node| self.layers.iter().position(|layer| layer.node == node));
                let slots = layer.map(|layer| &self.slots[layer]).filter(|slots| slots.len() > 1);
                let copies = match slots {
                    Some(slots) => slots.iter().map(|bits| Some(bits.weight)).collect(),
                    None => vec![None],
                };
                (id, copies)
            })
            .collect()
    }
}

pub(super) fn copy_name(plain: &str, bits: Option<BitWidth>) -> String {
    bits.map_or(plain.to_owned(), |bits| format!("{plain}.b{bits}"))
}

pub(super) fn step_name(layer: &Layer, role: Role, bits: Precision) -> String {
    let width = if role == Role::Weight { bits.weight } else { bits.act };
    format!("{}.{}_quantizer.b{width}", layer.name, role.name())
}

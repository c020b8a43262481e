//! A network as data: its nodes, their shapes, and the layers whose bits the search may choose.
//!
//! A [`Model`] describes a network once with the [`Builder`]. Costs, training and every report read the same
//! description. Layers are identified by their PyTorch state-dict name everywhere, never by position.

mod build;
mod error;
mod fixed;
mod layer;
mod model;
mod shape;

pub use crate::ops::Conv;
pub use build::Builder;
pub use error::GraphError;
pub use fixed::{FixedRule, FixedRules};
pub use layer::{Layer, Second};
pub use model::{DescribedError, Model, described, fixed_option, model, resolved};
pub use shape::Shape;

use crate::{
    bits::Precision,
    ops::{Op, Parameter, ParameterKind},
};
use serde::Serialize;
use std::collections::BTreeMap;

crate::registry::kind!(Model, "model");

/// Index of a node in its [`Graph`]; nodes are in execution order.
pub type NodeId = usize;

/// Bits of fixed layers (stem, classifier) for weights and activations alike, unless a config gives others.
pub const FIXED_BITS: u8 = 8;

/// [`FIXED_BITS`] for weights and activations.
pub fn fixed_bits() -> Precision {
    Precision::uniform(FIXED_BITS.into()).expect("8 is a bit-width")
}

/// One node of the network: an operator applied to the outputs of earlier nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// State-dict name of the module (`layer1.0.conv2`); empty for nodes without parameters.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all earlier than itself; none for the network's input.
    pub inputs: Vec<NodeId>,
    /// Output shape of one sample.
    pub shape: Shape,
    /// The bits of a layer that is excluded from the search.
    pub fixed: Option<Precision>,
}

/// A network: nodes in execution order, the last one gives the logits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    /// Name of the model that described it.
    pub model: String,
    /// The model's options, every default written out; `None` if the graph was built by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<toml::Table>,
    /// Shape of one input image.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
    /// Nodes in execution order.
    pub nodes: Vec<Node>,
    /// Names of layers in files of other programs, with their names here.
    #[serde(skip)]
    pub aliases: BTreeMap<String, String>,
    /// What whoever uses the network should know of how it was made, each in a sentence.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

impl Graph {
    /// The nodes that multiply quantized tensors, in execution order.
    pub fn layers(&self) -> Vec<Layer> {
        let signs = self.signs();
        (0..self.nodes.len()).filter_map(|id| Layer::of(self, id, &signs)).collect()
    }

    /// Whether a node is a layer.
    pub fn is_layer(&self, id: NodeId) -> bool {
        self.nodes[id].op.operands().is_some()
    }

    /// The name here of a layer, given by its name here or in files of other programs.
    pub fn own_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// The layers whose bits the search chooses, in execution order.
    pub fn searchable(&self) -> Vec<Layer> {
        self.layers().into_iter().filter(|layer| !layer.fixed).collect()
    }

    /// The layers that keep their bits, in execution order.
    pub fn fixed(&self) -> Vec<Layer> {
        self.layers().into_iter().filter(|layer| layer.fixed).collect()
    }

    /// Shapes of the inputs of a node.
    pub fn input_shapes(&self, id: NodeId) -> Vec<Shape> {
        self.nodes[id].inputs.iter().map(|&input| self.nodes[input].shape).collect()
    }

    /// The parameters of a node.
    pub fn parameters(&self, id: NodeId) -> Vec<Parameter> {
        self.nodes[id].op.parameters(&self.input_shapes(id))
    }

    /// Whether a node's output can be negative; decides between signed and unsigned activation grids.
    pub fn can_be_negative(&self, id: NodeId) -> bool {
        self.signs()[id]
    }

    /// The same for every node.
    fn signs(&self) -> Vec<bool> {
        let mut can: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<bool> = node.inputs.iter().map(|&input| can[input]).collect();
            can.push(node.op.can_be_negative(&inputs));
        }
        can
    }

    /// The layer that a node reads directly, if there is one.
    pub fn normalised_layer(&self, id: NodeId) -> Option<NodeId> {
        let input = *self.nodes[id].inputs.first()?;
        self.is_layer(input).then_some(input)
    }

    /// Number of values in the layers' parameters that are not quantized, their biases.
    pub fn biases(&self) -> u64 {
        self.count(|id| self.is_layer(id))
    }

    /// Number of values in all other parameters, such as scale, shift, mean and variance of batch-norms; they stay in
    /// full precision.
    pub fn other_parameters(&self) -> u64 {
        self.count(|id| !self.is_layer(id))
    }

    /// Number of values that are not quantized in the parameters of the nodes that `of` selects.
    fn count(&self, of: impl Fn(NodeId) -> bool) -> u64 {
        let parameters = (0..self.nodes.len()).filter(|&id| of(id)).flat_map(|id| self.parameters(id));
        let plain = parameters.filter(|parameter| parameter.kind != ParameterKind::Weight);
        plain.map(|parameter| parameter.count() as u64).sum()
    }
}

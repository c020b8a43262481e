//! One quantizable layer, with the quantities that costs are computed from.

use super::{Graph, NodeId, Shape, fixed_bits};
use crate::{
    bits::Precision,
    ops::{Operand, ParameterKind, Window},
};
use serde::Serialize;

/// The second operand of a layer, whose bits are called `weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Second {
    /// Weights.
    Weights,
    /// Another activation tensor, as in the products of attention.
    Activations {
        /// Its shape for one sample.
        shape: Shape,
        /// Whether it can be negative.
        signed: bool,
    },
}

/// A node that multiplies quantized tensors, as costs and the search see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// State-dict name, by which it is identified everywhere.
    pub name: String,
    /// Its node in the graph.
    #[serde(skip)]
    pub node: NodeId,
    /// Name of its operator, such as `conv` or `linear`.
    pub kind: &'static str,
    /// Multiply-accumulates for one image, with output sides floored on each axis.
    pub macs: u64,
    /// Its window on the image; a single pixel for a fully connected layer.
    #[serde(skip)]
    pub window: Window,
    /// Groups of channels that do not mix; as many as channels in a depthwise convolution.
    #[serde(skip)]
    pub groups: usize,
    /// Number of weights (without bias); 0 for a product of two activations.
    pub weights: u64,
    /// The tensor whose bits are called `weight`.
    #[serde(skip)]
    pub second: Second,
    /// Shape of one input sample.
    pub in_shape: Shape,
    /// Shape of one output sample.
    pub out_shape: Shape,
    /// Whether input activations can be negative.
    #[serde(skip)]
    pub signed_input: bool,
    /// Whether it is excluded from the search.
    #[serde(skip)]
    pub fixed: bool,
    /// The bits that it keeps if it is fixed.
    #[serde(skip)]
    pub fixed_bits: Precision,
}

impl Layer {
    /// The layer at a node, if the node is one. `signs[i]` says whether the output of node i can be negative.
    pub(super) fn of(graph: &Graph, id: NodeId, signs: &[bool]) -> Option<Self> {
        let node = &graph.nodes[id];
        let [Operand::Input(first), second] = node.op.operands()? else {
            panic!("the first operand of {} is not an input", node.op.name());
        };
        let shapes = graph.input_shapes(id);
        let signed = |input: usize| signs[node.inputs[input]];
        let parameters = graph.parameters(id);
        let weight = parameters.iter().find(|parameter| parameter.kind == ParameterKind::Weight);
        Some(Self {
            name: node.name.clone(),
            node: id,
            kind: node.op.name(),
            macs: node.op.macs(&shapes, node.shape),
            window: node.op.window(),
            groups: node.op.groups(),
            weights: weight.map_or(0, |weight| weight.count() as u64),
            second: match second {
                Operand::Weight => Second::Weights,
                Operand::Input(input) => Second::Activations { shape: shapes[input], signed: signed(input) },
            },
            in_shape: shapes[first],
            out_shape: node.shape,
            signed_input: signed(first),
            fixed: node.fixed.is_some(),
            fixed_bits: node.fixed.unwrap_or_else(fixed_bits),
        })
    }

    /// Number of activations of one sample that it reads at its bits called `weight`: the second operand of a product.
    pub fn second_activations(&self) -> u64 {
        match self.second {
            Second::Weights => 0,
            Second::Activations { shape, .. } => shape.elements() as u64,
        }
    }

    /// The bits that it keeps if it is fixed, for reports: `8 bits`, or `w4a8` if the two differ.
    pub fn fixed_text(&self) -> String {
        match self.fixed_bits.weight == self.fixed_bits.act {
            true => format!("{} bits", self.fixed_bits.act),
            false => self.fixed_bits.to_string(),
        }
    }

    /// Whether it is a depthwise convolution.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_shape.channels
    }
}

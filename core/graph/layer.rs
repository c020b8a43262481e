//! One quantizable layer, with the figures that costs are computed from.

use super::{Graph, NodeId, Op, Shape};
use serde::Serialize;

/// Which kind of layer holds the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// 2-D convolution.
    Conv,
    /// Fully connected layer.
    Linear,
}

/// A convolution or fully connected layer, seen from the outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// State-dict name, the key of this layer everywhere.
    pub name: String,
    /// Its node in the graph.
    #[serde(skip)]
    pub node: NodeId,
    /// Convolution or fully connected.
    pub kind: LayerKind,
    /// Multiply-accumulates for one image, with output sides floored on each axis.
    pub macs: u64,
    /// Multiply-accumulates as LIMPQ's published search counts them; see [`crate::search::Accounting::Limpq`].
    #[serde(skip)]
    pub limpq_macs: u64,
    /// Side of the square kernel; 1 for a fully connected layer.
    #[serde(skip)]
    pub kernel: usize,
    /// Step between windows, in pixels.
    #[serde(skip)]
    pub stride: usize,
    /// Groups of channels that do not mix; as many as channels in a depthwise convolution.
    #[serde(skip)]
    pub groups: usize,
    /// Number of weights (without bias).
    pub weights: u64,
    /// Shape of one input sample.
    pub in_shape: Shape,
    /// Shape of one output sample.
    pub out_shape: Shape,
    /// Whether input activations can be negative.
    #[serde(skip)]
    pub signed_input: bool,
    /// Whether it keeps [`super::FIXED_BITS`] and stays out of the search.
    #[serde(skip)]
    pub fixed: bool,
}

impl Layer {
    /// The layer at a node, if the node is one.
    pub(super) fn of(graph: &Graph, id: NodeId) -> Option<Self> {
        let node = &graph.nodes[id];
        let input = *node.inputs.first()?;
        let in_shape = graph.nodes[input].shape;
        let (kind, weights, macs, limpq_macs) = match &node.op {
            Op::Conv(conv) => {
                let weights = (conv.out * (in_shape.channels / conv.groups) * conv.kernel * conv.kernel) as u64;
                // The published code multiplies the unfloored sides as floats and truncates their product.
                let side = |size: usize| (size + 2 * conv.padding - conv.kernel) as f64 / conv.stride as f64 + 1.0;
                let area = (side(in_shape.height) * side(in_shape.width)) as u64;
                let pixels = (node.shape.height * node.shape.width) as u64;
                (LayerKind::Conv, weights, weights * pixels, weights * area)
            }
            Op::Linear { out, .. } => {
                let weights = (in_shape.elements() * out) as u64;
                (LayerKind::Linear, weights, weights, weights)
            }
            _ => return None,
        };
        let (kernel, stride, groups) = match &node.op {
            Op::Conv(conv) => (conv.kernel, conv.stride, conv.groups),
            _ => (1, 1, 1),
        };
        Some(Self {
            name: node.name.clone(),
            node: id,
            kind,
            macs,
            limpq_macs,
            kernel,
            stride,
            groups,
            weights,
            in_shape,
            out_shape: node.shape,
            signed_input: graph.can_be_negative(input),
            fixed: node.fixed,
        })
    }
}

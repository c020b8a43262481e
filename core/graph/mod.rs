//! A network as data: what it is made of, the shapes inside it, and which layers the search may choose bits for.
//!
//! A [`Model`] describes a network once with the [`Builder`]. Costs, training and every report read the same
//! description. Layers are known by their PyTorch state-dict name everywhere; nothing joins them by position.

mod build;
mod layer;
mod model;
mod shape;

pub use build::{Builder, Conv};
pub use layer::{Layer, LayerKind};
pub use model::Model;
pub use shape::Shape;

use serde::Serialize;
use std::collections::BTreeMap;

crate::registry::kind!(Model, "model");

/// Index of a node in its [`Graph`]; nodes are in execution order.
pub type NodeId = usize;

/// Bits that fixed layers (stem, classifier) carry for weights and activations alike.
pub const FIXED_BITS: u8 = 8;

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Op {
    /// The network's input image.
    Input,
    /// 2-D convolution.
    Conv(Conv),
    /// Batch normalisation over channels.
    BatchNorm,
    /// Rectified linear unit.
    Relu,
    /// Element-wise sum of two inputs of one shape.
    Add,
    /// The channels of several inputs of one height and width, one after another.
    Concat,
    /// Maximum over square windows.
    MaxPool {
        /// Side of the window, in pixels.
        kernel: usize,
        /// Step between windows, in pixels.
        stride: usize,
        /// Border added on every side, in pixels.
        padding: usize,
    },
    /// Mean over all pixels of a channel.
    GlobalAvgPool,
    /// Fully connected layer on a flattened input.
    Linear {
        /// Number of output features.
        out: usize,
        /// Whether a bias is added.
        bias: bool,
    },
}

/// One step of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// State-dict name of the module (`layer1.0.conv2`); empty for steps without parameters.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all earlier than itself.
    pub inputs: Vec<NodeId>,
    /// Output shape of one sample.
    pub shape: Shape,
    /// Whether this layer keeps [`FIXED_BITS`] and stays out of the search.
    pub fixed: bool,
}

/// Why a network could not be described.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A window does not fit into its input.
    #[error(
        "{layer}: a {kernel}x{kernel} window with padding {padding} does not fit a {input} input; use a larger input"
    )]
    WindowTooLarge {
        /// Name of the layer.
        layer: String,
        /// Side of the window.
        kernel: usize,
        /// Padding on every side.
        padding: usize,
        /// What it was applied to.
        input: Shape,
    },
    /// Channels cannot be divided into the groups.
    #[error("{layer}: {groups} groups do not divide {channels} channels")]
    Groups {
        /// Name of the layer.
        layer: String,
        /// Requested groups.
        groups: usize,
        /// Input or output channels.
        channels: usize,
    },
    /// Two summands differ in shape.
    #[error("cannot add {left} ({left_shape}) and {right} ({right_shape}): the shapes differ")]
    AddShapes {
        /// Where the first summand comes from.
        left: String,
        /// Its shape.
        left_shape: Shape,
        /// Where the second summand comes from.
        right: String,
        /// Its shape.
        right_shape: Shape,
    },
    /// Inputs of a concatenation differ in height or width.
    #[error("cannot concatenate {left} ({left_shape}) and {right} ({right_shape}): height or width differ")]
    ConcatShapes {
        /// Where the first input comes from.
        left: String,
        /// Its shape.
        left_shape: Shape,
        /// Where the other input comes from.
        right: String,
        /// Its shape.
        right_shape: Shape,
    },
    /// A name was given twice.
    #[error("two layers are called {0:?}; layer names are keys and must differ")]
    DuplicateName(String),
    /// A dimension is zero.
    #[error("{what} must be at least 1, got 0")]
    Zero {
        /// Which dimension.
        what: &'static str,
    },
    /// An option of the model is out of range.
    #[error("option {name}: {why}")]
    Option {
        /// Key of the option.
        name: &'static str,
        /// What was found and what is allowed.
        why: String,
    },
    /// A shape could not be read.
    #[error("cannot read {text:?} as a shape: expected CHANNELSxHEIGHTxWIDTH, for example 3x224x224")]
    ShapeText {
        /// What was given.
        text: String,
    },
}

/// A network: nodes in execution order, the last one gives the class scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    /// Name of the model that described it.
    pub model: String,
    /// The model's options, every default written out; not known when the graph was built by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<toml::Table>,
    /// Shape of one input image.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
    /// Steps in execution order.
    pub nodes: Vec<Node>,
    /// What other programs' files call a layer, and its name here.
    #[serde(skip)]
    pub aliases: BTreeMap<String, String>,
}

impl Graph {
    /// Convolutions and fully connected layers, in execution order.
    pub fn layers(&self) -> Vec<Layer> {
        (0..self.nodes.len()).filter_map(|id| Layer::of(self, id)).collect()
    }

    /// The name here of a layer that a file may call otherwise.
    pub fn own_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// The layers whose bits the search chooses, in execution order.
    pub fn searchable(&self) -> Vec<Layer> {
        self.layers().into_iter().filter(|layer| !layer.fixed).collect()
    }

    /// The layers that keep [`FIXED_BITS`], in execution order.
    pub fn fixed(&self) -> Vec<Layer> {
        self.layers().into_iter().filter(|layer| layer.fixed).collect()
    }

    /// Whether the values a node puts out can be negative; decides between signed and unsigned activation grids.
    pub fn can_be_negative(&self, id: NodeId) -> bool {
        let node = &self.nodes[id];
        match node.op {
            Op::Relu => false,
            Op::MaxPool { .. } | Op::GlobalAvgPool | Op::Add | Op::Concat => {
                node.inputs.iter().any(|&input| self.can_be_negative(input))
            }
            Op::Input | Op::Conv(_) | Op::BatchNorm | Op::Linear { .. } => true,
        }
    }

    /// The convolution whose output a batch-norm normalises, if that is what it reads.
    pub fn normalised_layer(&self, batch_norm: NodeId) -> Option<NodeId> {
        let input = *self.nodes[batch_norm].inputs.first()?;
        matches!(self.nodes[input].op, Op::Conv(_) | Op::Linear { .. }).then_some(input)
    }

    /// Number of biases; they stay in full precision.
    pub fn biases(&self) -> u64 {
        let of = |node: &Node| match &node.op {
            Op::Conv(conv) if conv.bias => conv.out as u64,
            Op::Linear { out, bias: true } => *out as u64,
            _ => 0,
        };
        self.nodes.iter().map(of).sum()
    }

    /// Numbers of all batch-norms: scale, shift, mean and variance of each channel; they stay in full precision.
    pub fn batch_norm_numbers(&self) -> u64 {
        let norms = self.nodes.iter().filter(|node| node.op == Op::BatchNorm);
        norms.map(|node| 4 * node.shape.channels as u64).sum()
    }
}

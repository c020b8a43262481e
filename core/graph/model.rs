//! The model kind: a description of a network.

use super::{Graph, GraphError, Shape};

/// Describes a network. Names of layers are those of the PyTorch state dict.
pub trait Model: Send + Sync {
    /// The network for images of this shape and this many classes.
    ///
    /// # Errors
    /// When the input is too small or the options do not fit together.
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError>;
}

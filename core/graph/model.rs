//! The model kind: a description of a network.

use super::{Graph, GraphError, Shape};

/// Describes a network. Names of layers are those of the PyTorch state dict.
pub trait Model: Send + Sync {
    /// The network for images of this shape and this many classes.
    ///
    /// # Errors
    /// When the input is too small or the options do not fit together.
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError>;

    /// In what this network differs from others of the same names and shapes, so that weights trained for those fit and give
    /// other results. It is said whenever weights from elsewhere are taken.
    fn weights_remark(&self) -> Option<String> {
        None
    }
}

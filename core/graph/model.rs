//! The model kind: a description of a network.

use super::{Graph, GraphError, Shape};

/// Describes a network. Names of layers are those of the PyTorch state dict.
///
/// ```
/// # use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, Shape};
/// /// A stem, one convolution and a classifier.
/// struct Tiny;
///
/// impl Model for Tiny {
///     fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
///         let (mut b, x) = Builder::new("tiny", input, classes);
///         let x = b.fixed_conv("conv1", x, Conv::new(8, 3));
///         let x = b.batch_norm("bn1", x);
///         let x = b.relu(x);
///         let x = b.conv("conv2", x, Conv::new(16, 3).stride(2));
///         let x = b.global_avg_pool(x);
///         b.classifier("fc", x);
///         b.finish()
///     }
/// }
///
/// let graph = Tiny.graph("3x32x32".parse().unwrap(), 10)?;
/// // The stem and the classifier keep their 8 bits; conv2 has 8*16*3*3 weights.
/// let searchable = graph.searchable();
/// assert_eq!((searchable.len(), &*searchable[0].name, searchable[0].weights), (1, "conv2", 1152));
/// # Ok::<(), GraphError>(())
/// ```
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

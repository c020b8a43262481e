//! What can be wrong with the description of a network.

use crate::{onnx::OnnxError, ops::OpError, registry::RegistryError};

/// Why a network could not be described.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// An operator cannot take its inputs.
    #[error("{place}: {error}")]
    Operator {
        /// The node's name, or its operator and what it reads.
        place: String,
        /// What is wrong.
        error: OpError,
    },
    /// An operator does not exist, or its attributes are wrong.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// A layer, or another node with parameters, has no name, so its tensors have none.
    #[error("a node of operator {0:?} has parameters and no name")]
    Nameless(&'static str),
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
    /// The file that describes the network cannot be read as one.
    #[error(transparent)]
    Onnx(#[from] Box<OnnxError>),
    /// The network is for other images or classes than asked for.
    #[error("{what} is {found}, not {asked}{hint}")]
    Contradiction {
        /// What differs.
        what: &'static str,
        /// What the network has.
        found: String,
        /// What was asked for.
        asked: String,
        /// What to do.
        hint: String,
    },
    /// The list of fixed layers is wrong.
    #[error("option fixed: {0}")]
    Fixed(String),
}

//! Requirements of operators on the shapes of their inputs, and their errors.

use crate::graph::Shape;

/// Why an operator cannot take its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Wrong number of inputs.
    #[error("takes {expected}, got {found}")]
    Inputs {
        /// What it takes, in words.
        expected: &'static str,
        /// Number of inputs.
        found: usize,
    },
    /// Channels cannot be divided into the groups.
    #[error("{groups} groups do not divide {channels} channels")]
    Groups {
        /// Requested groups.
        groups: usize,
        /// Input or output channels.
        channels: usize,
    },
    /// Inputs that must be equal are not.
    #[error("{what} of its inputs differ: {left} and {right}")]
    Differ {
        /// What must be the same.
        what: &'static str,
        /// Shape of one input.
        left: Shape,
        /// Shape of the other.
        right: Shape,
    },
    /// A dimension is zero.
    #[error("{what} must be at least 1, got 0")]
    Zero {
        /// Which dimension.
        what: &'static str,
    },
    /// A window that is larger than the padded image, in words.
    #[error("{0}; use larger images")]
    ImageTooSmall(String),
    /// An image in place of tokens.
    #[error("takes tokens, dim x tokens x 1, got {0}; the operator tokens makes them of an image")]
    Image(Shape),
    /// An attribute does not fit the input, in words.
    #[error("{0}")]
    Attribute(String),
}

/// The shape of the only input.
///
/// # Errors
/// Another number of inputs.
pub fn one(inputs: &[Shape]) -> Result<Shape, OpError> {
    match inputs {
        [only] => Ok(*only),
        _ => Err(OpError::Inputs { expected: "one input", found: inputs.len() }),
    }
}

/// The shapes of two inputs.
///
/// # Errors
/// Another number of inputs.
pub fn two(inputs: &[Shape]) -> Result<[Shape; 2], OpError> {
    inputs.try_into().map_err(|_| OpError::Inputs { expected: "two inputs", found: inputs.len() })
}

/// The shape of two inputs that must be equal.
///
/// # Errors
/// Another number of inputs, or different shapes.
pub fn same(inputs: &[Shape]) -> Result<Shape, OpError> {
    let [left, right] = two(inputs)?;
    if left == right { Ok(left) } else { Err(OpError::Differ { what: "shapes", left, right }) }
}

/// The shape of the only input, tokens.
///
/// # Errors
/// Another number of inputs, or an image.
pub fn tokens(inputs: &[Shape]) -> Result<Shape, OpError> {
    match one(inputs)? {
        input if input.width == 1 => Ok(input),
        input => Err(OpError::Image(input)),
    }
}

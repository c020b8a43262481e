//! What can be wrong with an ONNX file.

use std::{collections::BTreeMap, fmt, io};

/// Why a network cannot be read from an ONNX file.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}; the path is relative to the folder that limpq is called in")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Foreign or damaged.
    #[error("{path} is not a usable ONNX file: {why}")]
    Format {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
    /// Its input or output is not that of a network that classifies images.
    #[error("{path}: {why}")]
    Interface {
        /// The file.
        path: String,
        /// What was found, and what to do.
        why: String,
    },
    /// Nodes that limpq cannot compute.
    #[error("{path} cannot be read as a network: {refusals}")]
    Nodes {
        /// The file.
        path: String,
        /// Which nodes, and why.
        refusals: Refusals,
    },
}

/// A node that is refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its operator, with the domain if that is not ONNX's own.
    pub operator: String,
    /// Its name, or that of its first output.
    pub node: String,
    /// Why.
    pub why: String,
}

/// All nodes that are refused.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// The nodes.
    pub nodes: Vec<Refusal>,
    /// Number of nodes that the output depends on.
    pub of: usize,
    /// Version of ONNX's operators in this file.
    pub opset: i64,
    /// The program that wrote the file.
    pub producer: String,
}

/// So many nodes are named for each reason.
const NAMED: usize = 3;
/// So many reasons are given.
const REASONS: usize = 12;

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, of, opset, producer } = self;
        let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for Refusal { operator, node, why } in nodes {
            reasons.entry((operator, why)).or_default().push(node);
        }
        write!(f, "{} of {of} nodes (opset {opset}{producer}) cannot be computed", nodes.len())?;
        for ((operator, why), names) in reasons.iter().take(REASONS) {
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = names[..names.len().min(NAMED)].join(", ");
            write!(f, "\n  {} x {operator}: {why} ({named}{more})", names.len())?;
        }
        if reasons.len() > REASONS {
            write!(f, "\n  and {} more reasons", reasons.len() - REASONS)?;
        }
        write!(
            f,
            "\nlimpq reads networks that classify images with the operators listed in its documentation on ONNX; replace these \
             nodes in the network and export it again, or describe the network as a model plugin"
        )
    }
}

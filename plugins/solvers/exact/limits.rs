//! How much work a solve may be: a number of nodes, which is the same on every machine, and a deadline.

use limpq_core::search::{Deadline, SolverError};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Nodes that may be looked at.
    pub nodes: u64,
    /// The end of the time.
    pub deadline: Deadline,
}

impl Limits {
    /// Whether so many nodes are enough, or the time is over.
    pub fn over(&self, nodes: u64) -> bool {
        nodes >= self.nodes || self.deadline.passed()
    }

    /// What is left after so many nodes.
    pub fn after(&self, nodes: u64) -> Self {
        Self { nodes: self.nodes.saturating_sub(nodes), ..*self }
    }

    /// What to say when nothing was found within them.
    pub fn nothing_found(&self) -> SolverError {
        match self.deadline.passed() {
            true => SolverError::NothingFound { limit: "the time limit".into(), option: "solver.time_limit_s" },
            false => SolverError::NothingFound {
                limit: format!("the limit of {} nodes (or of memory)", self.nodes),
                option: "solver.node_limit",
            },
        }
    }
}

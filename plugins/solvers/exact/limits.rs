//! Limits of a solve: a number of nodes, which is the same on every machine, and a deadline.

use crate::Error;
use std::time::Instant;

/// When to stop with the best solution found so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of nodes (partial solutions). The same limit gives the same solution on every machine.
    pub nodes: u64,
    /// The deadline. The solution found by then depends on the machine.
    pub deadline: Option<Instant>,
}

/// No deadline, and enough nodes for some ten seconds of work.
impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 50_000_000, deadline: None }
    }
}

impl Limits {
    /// Whether the time is over.
    pub(crate) fn expired(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether the node limit is reached, or the time is over.
    pub(crate) fn reached(&self, nodes: u64) -> bool {
        nodes >= self.nodes || self.expired()
    }

    /// The limits that are left after some nodes.
    pub(crate) fn after(&self, nodes: u64) -> Self {
        Self { nodes: self.nodes.saturating_sub(nodes), ..*self }
    }

    /// The error for a search that was stopped before a solution was found.
    pub(crate) fn nothing_found(&self) -> Error {
        if self.expired() { Error::DeadlinePassed } else { Error::NodeLimitReached { nodes: self.nodes } }
    }
}

/// What the methods for parts of a problem are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub limits: Limits,
    /// Bounds that keep a row exactly ([`crate::few_rows`]) are computed once so many nodes have been looked at.
    pub tables_after: u64,
}

/// Easier problems are solved before the tables of such bounds are computed.
const TABLES_AFTER: u64 = 6000;

impl Settings {
    pub fn new(limits: Limits) -> Self {
        Self { limits, tables_after: TABLES_AFTER }
    }

    /// With the limits that are left after so many nodes.
    pub fn after(&self, nodes: u64) -> Self {
        Self { limits: self.limits.after(nodes), ..*self }
    }
}

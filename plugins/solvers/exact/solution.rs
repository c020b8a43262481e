//! What a solve returns.

/// Whether optimality is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Proven: no feasible solution has a smaller objective.
    Optimal,
    /// A limit stopped the search; see [`Solution::gap`].
    Stopped,
}

/// A feasible solution and its proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Index of the chosen option of each group.
    pub picks: Vec<usize>,
    /// Sum of the chosen options' losses, in the order of the groups.
    pub objective: f64,
    /// Whether the solution is proven to be optimal.
    pub status: Status,
    /// The dual bound: no feasible solution has a smaller objective. Equal to the objective if the solution is optimal;
    /// negative infinity if the search was stopped before there was a bound.
    pub bound: f64,
    /// Number of nodes (partial solutions and evaluations of the dual).
    pub nodes: u64,
}

impl Solution {
    /// The relative gap (objective - bound) / |objective|: 0 where the solution is optimal.
    pub fn gap(&self) -> f64 {
        let difference = self.objective - self.bound;
        if difference == 0.0 { 0.0 } else { difference / self.objective.abs() }
    }
}

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Proven: no choice of options keeps every budget.
    #[error("no choice of options keeps every budget")]
    Infeasible,
    /// The limit of nodes, or of memory, ended the search before a feasible solution was found.
    #[error("the limit of {nodes} nodes (or of memory) ended the search before a feasible solution was found")]
    NodeLimitReached {
        /// The limit.
        nodes: u64,
    },
    /// The deadline ended the search before a feasible solution was found.
    #[error("the deadline passed before a feasible solution was found")]
    DeadlinePassed,
    /// A row that can bind spans more than 2^63 units between the least sum of its costs and its limit.
    #[error("row {row} spans more than 2^63 units between its ends; use a coarser unit")]
    TooWide {
        /// Index of the row.
        row: usize,
    },
}

impl Error {
    /// Whether a limit is the reason.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Self::NodeLimitReached { .. } | Self::DeadlinePassed)
    }
}

/// An intermediate solution, or that of a component.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub picks: Vec<usize>,
    pub status: Status,
    /// No feasible solution of the component has a smaller objective; `None` if the solution is optimal, or nothing is
    /// known.
    pub bound: Option<f64>,
    pub nodes: u64,
}

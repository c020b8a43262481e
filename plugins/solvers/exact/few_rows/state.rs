//! A partial solution of the beam.

/// A partial solution.
#[derive(Clone, Copy)]
pub(crate) struct State<const R: usize> {
    /// What it uses of each row.
    pub used: [i64; R],
    /// Its loss in quanta.
    pub exact: i128,
    /// The same as a float.
    pub loss: f64,
    /// Sum of the tiebreaks so far.
    pub tiebreak: u64,
    /// Lower bound on the loss of every solution with it.
    pub bound: f64,
    /// Index of the partial solution that it extends.
    pub parent: u32,
    /// Index of the item that it adds.
    pub item: u32,
}

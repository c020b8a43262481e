//! Partial paths, and dominance among them.

use crate::layered::graph::{WIDE, Worth};

/// Number of other paths to its state that a path is compared with.
const COMPARED: usize = 64;

/// A path from the first level to a state.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub used: [i64; WIDE],
    pub worth: Worth,
    pub loss: f64,
    pub bound: f64,
    pub state: u32,
    pub parent: u32,
    pub item: u32,
    /// Place among the paths of the level, in the order of their options.
    pub rank: u32,
}

/// Removes dominated paths to a state: another one uses no more, and is better or comes first.
pub(crate) fn undominated(paths: &mut Vec<Path>) {
    paths.sort_unstable_by_key(|path| (path.state, path.worth, path.rank));
    let mut kept: Vec<Path> = Vec::with_capacity(paths.len());
    let mut first = 0;
    for path in paths.drain(..) {
        if kept.get(first).is_some_and(|other: &Path| other.state != path.state) {
            first = kept.len();
        }
        let replaces = |other: &Path| other.used.iter().zip(&path.used).all(|(other, used)| other <= used);
        let latest = kept[first..].iter().rev().take(COMPARED);
        if !latest.clone().any(replaces) && !kept[first..].iter().take(COMPARED).any(replaces) {
            kept.push(path);
        }
    }
    *paths = kept;
}

//! Dominance: which partial solutions another one replaces. With one or two rows, and with three of which one has few
//! sums, all are found: sorted by one row, with a Pareto front along another (Kung, Luccio & Preparata, J. ACM 22,
//! 1975).

use super::{reduce::Reduced, state::State, tables::FewSums};
use std::cmp::Ordering;

/// With three or more wide rows a state is compared only with this many others, those of least loss.
const COMPARED: usize = 20;

/// The row of three whose sums are fewest, if it has so few that each may have a front of its own.
pub(crate) fn narrow<const R: usize>(reduced: &Reduced<R>) -> Option<FewSums> {
    const MOST: usize = 256;
    let three = R == 3 && reduced.rows() == 3;
    three.then(|| FewSums::up_to(MOST, reduced)).and_then(|rows| rows.first().copied())
}

/// A Pareto front: states that replace later ones, which use no less of other rows. As use of this row rises, rank
/// falls.
#[derive(Clone)]
struct Front<const R: usize> {
    row: usize,
    states: Vec<State<R>>,
}

impl<const R: usize> Front<R> {
    fn new(row: usize) -> Self {
        Self { row, states: vec![] }
    }

    fn replace(&self, state: &State<R>, rank: impl Fn(&State<R>, &State<R>) -> Ordering) -> bool {
        let place = self.states.partition_point(|other| other.used[self.row] <= state.used[self.row]);
        place > 0 && rank(&self.states[place - 1], state).is_le()
    }

    /// Adds an undominated one.
    fn add(&mut self, state: &State<R>, rank: impl Fn(&State<R>, &State<R>) -> Ordering) {
        let row = self.row;
        let place = self.states.partition_point(|other| other.used[row] <= state.used[row]);
        let from = place - usize::from(place > 0 && self.states[place - 1].used[row] == state.used[row]);
        let until = place + self.states[place..].iter().take_while(|other| rank(other, state).is_ge()).count();
        self.states.splice(from..until, [*state]);
    }
}

/// Removes dominated states: another one uses no more of any row, and is better or equal in loss, tiebreak and solution.
pub(crate) fn undominated<const R: usize>(
    states: &mut Vec<State<R>>,
    narrow: Option<&FewSums>,
    first: impl Fn(&State<R>, &State<R>) -> Ordering,
) {
    let rank =
        |a: &State<R>, b: &State<R>| a.exact.cmp(&b.exact).then(a.tiebreak.cmp(&b.tiebreak)).then_with(|| first(a, b));
    if let Some(narrow) = narrow {
        let wide: Vec<usize> = (0..R).filter(|&row| row != narrow.row).collect();
        let key = |state: &State<R>| [wide[0], wide[1], narrow.row].map(|row| state.used[row]);
        states.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| rank(a, b)));
        // Those of each sum of the narrow row; whatever came before uses no more of the first wide one.
        let mut fronts = vec![Front::new(wide[1]); narrow.count];
        states.retain(|state| {
            let sum = (state.used[narrow.row] / narrow.unit) as usize;
            if fronts[..=sum].iter().any(|front| front.replace(state, rank)) {
                return false;
            }
            fronts[sum].add(state, rank);
            true
        });
        return;
    }
    if R > 2 {
        states.sort_unstable_by(rank);
        let mut kept: Vec<State<R>> = Vec::with_capacity(states.len());
        for state in states.drain(..) {
            let replaces = |other: &State<R>| (0..R).all(|row| other.used[row] <= state.used[row]);
            if !kept.iter().take(COMPARED).any(replaces) {
                kept.push(state);
            }
        }
        *states = kept;
        return;
    }
    // By use of the first row: whatever came before uses no more of it.
    states.sort_unstable_by(|a, b| a.used.cmp(&b.used).then_with(|| rank(a, b)));
    let mut front = Front::new(R - 1);
    states.retain(|state| {
        let stays = !front.replace(state, rank);
        if stays {
            front.add(state, rank);
        }
        stays
    });
}

//! Which partial policies another one replaces. With one or two rows, and with three of which one has few sums, all are found: sorted by
//! one row, and along another as stairs that fall (Kung, Luccio & Preparata, J. ACM 22, 1975).

use super::{beam::State, reduce::Reduced, sums::Sums};
use std::cmp::Ordering;

/// With three wide rows or more a state is compared with this many others only: those that lose least.
const COMPARED: usize = 20;

/// The row of three whose sums are fewest, if it has so few that each may have stairs of its own.
pub(super) fn narrow<const R: usize>(reduced: &Reduced<R>) -> Option<Sums> {
    const MOST: usize = 256;
    let three = R == 3 && reduced.rows() == 3;
    three.then(|| Sums::up_to(MOST, reduced)).and_then(|rows| rows.first().copied())
}

/// States that replace later ones, which use no less of other rows: as use of this row rises, rank falls.
#[derive(Clone)]
struct Stairs<const R: usize> {
    row: usize,
    states: Vec<State<R>>,
}

impl<const R: usize> Stairs<R> {
    fn new(row: usize) -> Self {
        Self { row, states: vec![] }
    }

    fn replace(&self, state: &State<R>, rank: impl Fn(&State<R>, &State<R>) -> Ordering) -> bool {
        let place = self.states.partition_point(|other| other.used[self.row] <= state.used[self.row]);
        place > 0 && rank(&self.states[place - 1], state).is_le()
    }

    /// Adds one that they do not replace.
    fn add(&mut self, state: &State<R>, rank: impl Fn(&State<R>, &State<R>) -> Ordering) {
        let row = self.row;
        let place = self.states.partition_point(|other| other.used[row] <= state.used[row]);
        let from = place - usize::from(place > 0 && self.states[place - 1].used[row] == state.used[row]);
        let until = place + self.states[place..].iter().take_while(|other| rank(other, state).is_ge()).count();
        self.states.splice(from..until, [*state]);
    }
}

/// Drops states that another one replaces: no row used more, and better or equal in loss, bits and policy.
pub(super) fn undominated<const R: usize>(
    states: &mut Vec<State<R>>,
    narrow: Option<&Sums>,
    first: impl Fn(&State<R>, &State<R>) -> Ordering,
) {
    let rank = |a: &State<R>, b: &State<R>| a.exact.cmp(&b.exact).then(a.bits.cmp(&b.bits)).then_with(|| first(a, b));
    if let Some(narrow) = narrow {
        let wide: Vec<usize> = (0..R).filter(|&row| row != narrow.row).collect();
        let key = |state: &State<R>| [wide[0], wide[1], narrow.row].map(|row| state.used[row]);
        states.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| rank(a, b)));
        // Those of each sum of the narrow row; whatever came before uses no more of the first wide one.
        let mut stairs = vec![Stairs::new(wide[1]); narrow.count];
        states.retain(|state| {
            let sum = (state.used[narrow.row] / narrow.unit) as usize;
            if stairs[..=sum].iter().any(|stairs| stairs.replace(state, rank)) {
                return false;
            }
            stairs[sum].add(state, rank);
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
    let mut stairs = Stairs::new(R - 1);
    states.retain(|state| {
        let stays = !stairs.replace(state, rank);
        if stays {
            stairs.add(state, rank);
        }
        stays
    });
}

//! The layered graph: a level for each group, a state for each way in which the groups before it use the rows that are
//! open (that have a group before and one behind), and a step from state to state for each item.

use crate::{
    Error, Limits, Problem,
    fixed_point::{Fixed, fixed_point},
};
use std::collections::HashMap;

/// Rows of more groups than this are wide.
pub(crate) const MOST_MEMBERS: usize = 6;
/// Wide rows at most.
pub(crate) const WIDE: usize = 3;
/// Wide and narrow rows together that need no states.
pub(crate) const FEW: usize = 8;
/// Steps from state to state at most, over all groups.
const MOST_STEPS: usize = 4_000_000;

/// Loss in quanta, then tiebreak; smaller is better.
pub(crate) type Worth = (i128, u64);

/// An option of a group.
pub(crate) struct Item {
    /// Its place in the group.
    pub choice: usize,
    /// Its loss in quanta and its tiebreak.
    pub worth: Worth,
    /// Its loss, in the unit of the problem's largest.
    pub loss: f64,
    /// Its use of the wide rows, above the group's minimum.
    pub wide: [i64; WIDE],
    /// The same of the narrow rows that the group knows.
    narrow: Vec<i128>,
}

/// A group, and the steps that its options are.
pub(crate) struct Level {
    pub items: Vec<Item>,
    /// For each state before the group: item and state behind it.
    pub steps: Vec<Vec<(usize, usize)>>,
    rows: Vec<usize>,
    /// For each row whether the group is its last, and what the groups behind may use of it at most.
    last: Vec<bool>,
    behind: Vec<i128>,
}

/// All states, group by group; the first level has one.
pub(crate) struct LayeredGraph {
    pub levels: Vec<Level>,
    /// What the wide rows allow above the least of all groups; places behind them allow anything.
    pub slack: [i64; WIDE],
    /// How many wide rows there are.
    pub wide: usize,
    /// The unit of losses, and of floats.
    pub quantum: f64,
    pub scale: i32,
    /// Steps of all levels.
    pub count: usize,
}

/// The worth of both together.
pub(crate) fn sum(one: Worth, other: Worth) -> Worth {
    (one.0 + other.0, one.1 + other.1)
}

/// The use of the open rows, rows ascending, without rows that can no longer be violated.
type State = Vec<(usize, i128)>;

impl LayeredGraph {
    /// The graph of a part; `None` when it has too many wide rows or too many steps.
    ///
    /// # Errors
    /// [`Error::Infeasible`] when a row allows less than the least of all groups.
    pub fn new(part: &Problem, limits: &Limits) -> Option<Result<Self, Error>> {
        let mut members = vec![0; part.rows.len()];
        for group in &part.groups {
            for row in group.rows() {
                let first = part.cost(&group.choices[0], row);
                members[row] += usize::from(group.choices.iter().any(|choice| part.cost(choice, row) != first));
            }
        }
        let wide: Vec<usize> = (0..part.rows.len()).filter(|&row| members[row] > MOST_MEMBERS).collect();
        if wide.len() > WIDE || !wide.is_empty() && part.rows.len() <= FEW {
            return None;
        }
        let mut slack: Vec<i128> = part.rows.iter().map(|row| row.limit).collect();
        let Fixed { losses, quantum, scale, .. } = fixed_point(part);
        let mut losses = losses.into_iter();
        let mut levels: Vec<Level> = part
            .groups
            .iter()
            .map(|group| {
                let least = |row: usize| group.choices.iter().map(|choice| part.cost(choice, row)).min().unwrap_or(0);
                let rows: Vec<usize> = group.rows().into_iter().filter(|row| !wide.contains(row)).collect();
                let leasts: Vec<i128> = rows.iter().map(|&row| least(row)).collect();
                let wides: Vec<i128> = wide.iter().map(|&row| least(row)).collect();
                rows.iter().zip(&leasts).chain(wide.iter().zip(&wides)).for_each(|(&row, least)| slack[row] -= least);
                let items = group.choices.iter().enumerate().map(|(choice, option)| {
                    let exact = losses.next().expect("one loss for each option");
                    let mut of_wide = [0; WIDE];
                    for ((of_wide, &row), least) in of_wide.iter_mut().zip(&wide).zip(&wides) {
                        // More than 63 bits of a row fit into none.
                        *of_wide = i64::try_from(part.cost(option, row) - least).unwrap_or(i64::MAX);
                    }
                    Item {
                        choice,
                        worth: (exact, option.tiebreak),
                        loss: exact as f64 * quantum,
                        wide: of_wide,
                        narrow: rows.iter().zip(&leasts).map(|(&row, least)| part.cost(option, row) - least).collect(),
                    }
                });
                let items = undominated(items.collect());
                Level { items, rows, last: vec![], behind: vec![], steps: vec![] }
            })
            .collect();
        if slack.iter().any(|&slack| slack < 0) {
            return Some(Err(Error::Infeasible));
        }
        let mut of_wide = [i64::MAX; WIDE];
        for (of_wide, &row) in of_wide.iter_mut().zip(&wide) {
            *of_wide = i64::try_from(slack[row]).ok()?;
        }
        let mut behind = vec![0; part.rows.len()];
        let mut seen = vec![false; part.rows.len()];
        for level in levels.iter_mut().rev() {
            for (place, &row) in level.rows.iter().enumerate() {
                level.last.push(!seen[row]);
                level.behind.push(behind[row]);
                seen[row] = true;
                behind[row] += level.items.iter().map(|item| item.narrow[place]).max().unwrap_or(0);
            }
        }
        let mut states: Vec<State> = vec![vec![]];
        let mut count = 0;
        for level in &mut levels {
            let mut places: HashMap<State, usize> = HashMap::new();
            let mut next: Vec<State> = vec![];
            for state in &states {
                let mut steps = vec![];
                for (index, item) in level.items.iter().enumerate() {
                    let Some(after) = after(state, level, item, &slack) else { continue };
                    let place = *places.entry(after).or_insert_with_key(|after| {
                        next.push(after.clone());
                        next.len() - 1
                    });
                    steps.push((index, place));
                }
                count += steps.len();
                level.steps.push(steps);
                if count > MOST_STEPS || limits.reached(count as u64) {
                    return None;
                }
            }
            states = next;
        }
        Some(Ok(Self { levels, slack: of_wide, wide: wide.len(), quantum, scale, count }))
    }
}

/// Undominated items, the best first.
fn undominated(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by_key(|item| (item.worth, item.choice));
    let mut kept: Vec<Item> = vec![];
    for item in items {
        let replaces = |other: &Item| {
            other.narrow.iter().zip(&item.narrow).all(|(other, used)| other <= used)
                && other.wide.iter().zip(&item.wide).all(|(other, used)| other <= used)
        };
        // Those before it are better.
        if !kept.iter().any(replaces) {
            kept.push(item);
        }
    }
    kept
}

/// The state after an item; `None` if it violates a row.
fn after(state: &State, level: &Level, item: &Item, slack: &[i128]) -> Option<State> {
    let mut next: State = state.iter().copied().filter(|(row, _)| level.rows.binary_search(row).is_err()).collect();
    for (place, &row) in level.rows.iter().enumerate() {
        let before = state.binary_search_by_key(&row, |&(row, _)| row).map_or(0, |place| state[place].1);
        let used = before + item.narrow[place];
        if used > slack[row] {
            return None;
        }
        // A row that later groups cannot violate is not part of the state.
        if !level.last[place] && used + level.behind[place] > slack[row] {
            next.push((row, used));
        }
    }
    next.sort_unstable();
    Some(next)
}

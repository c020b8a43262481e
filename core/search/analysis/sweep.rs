//! A sweep of limits under way: solves where earlier answers prove nothing, each time from the neighbour's answer.

use crate::search::{
    Axis, Cell, CostTable, FrontPoint, Instance, MOST_POINTS, Named, Policy, Search, SearchError, Solved, SolverError,
    Status, solve,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

/// A sweep under way. Limits and uses are in the budgets' integer units.
pub(super) struct Sweep<'s, 'a> {
    search: &'s Search<'a>,
    solver: Named<'s>,
    axes: &'s [Axis],
    /// The problem at the limits that were last set.
    pub instance: Instance,
    /// Each policy found so far, once.
    pub points: Vec<FrontPoint>,
    /// Where among the points the policy of some picks is.
    places: HashMap<Vec<usize>, usize>,
    /// Limits with a proven answer, and its place among the points.
    solved: Vec<(Vec<u64>, usize)>,
    /// Limits that no policy keeps.
    empty: Vec<Vec<u64>>,
    cells: Vec<Cell>,
    near: Option<Vec<usize>>,
    /// How many times the solver was run.
    pub solves: usize,
}

impl<'s, 'a> Sweep<'s, 'a> {
    /// A sweep that knows nothing yet.
    pub fn new(search: &'s Search<'a>, solver: Named<'s>, axes: &'s [Axis], instance: Instance) -> Self {
        let (points, solved, empty, cells) = (vec![], vec![], vec![], vec![]);
        let (places, near, solves) = (HashMap::new(), None, 0);
        Self { search, solver, axes, instance, points, places, solved, empty, cells, near, solves }
    }

    /// Evenly spaced limits; each solve starts from the answer at the limit before, or above.
    pub fn grid(&mut self, points: usize) -> Result<(), SearchError> {
        let spread = |axis: &Axis| -> Vec<u64> {
            let [from, to] = axis.ends;
            let place = |step: usize| u128::from(to - from) * step as u128 / (points as u128 - 1);
            let mut limits: Vec<u64> = (0..points).rev().map(|step| from + place(step) as u64).collect();
            limits.dedup();
            limits
        };
        let first = spread(&self.axes[0]);
        let Some(second) = self.axes.get(1).map(spread) else {
            return first.into_iter().try_for_each(|limit| self.visit(&[limit]));
        };
        for limit in first {
            self.visit(&[limit, second[0]])?;
            let above = self.near.clone();
            second[1..].iter().try_for_each(|&other| self.visit(&[limit, other]))?;
            self.near = above;
        }
        Ok(())
    }

    /// Every limit at which the best policy changes; whether the lower end was reached.
    pub fn all(&mut self) -> Result<bool, SearchError> {
        let [from, mut limit] = self.axes[0].ends;
        loop {
            if self.over() {
                self.unknown(&[limit]);
                return Ok(false);
            }
            let (point, proven) = self.solve(&[limit])?;
            self.cells.push(Cell { limits: self.printed(&[limit]), point, proven });
            let Some(point) = point else { return Ok(true) };
            match self.points[point].whole[0].checked_sub(1) {
                Some(tighter) if tighter >= from && self.points.len() < MOST_POINTS => limit = tighter,
                Some(tighter) => return Ok(tighter < from),
                None => return Ok(true),
            }
        }
    }

    /// Sets the limits of the axes.
    pub fn set(&mut self, limits: &[u64]) {
        for (axis, &limit) in self.axes.iter().zip(limits) {
            self.instance.set_limit(axis.budget, limit);
        }
    }

    /// Whether there is no time left for another solve. The first one ends by itself.
    fn over(&self) -> bool {
        self.solves > 0 && self.solver.deadline.passed()
    }

    /// Notes limits that the time was too short for.
    fn unknown(&mut self, limits: &[u64]) {
        self.cells.push(Cell { limits: self.printed(limits), point: None, proven: false });
    }

    /// Finds the best policy at some limits and notes it.
    fn visit(&mut self, limits: &[u64]) -> Result<(), SearchError> {
        if self.over() {
            self.unknown(limits);
            return Ok(());
        }
        let (point, proven) = self.look_up(limits).map_or_else(|| self.solve(limits), Ok)?;
        self.cells.push(Cell { limits: self.printed(limits), point, proven });
        Ok(())
    }

    /// What earlier answers prove about these limits.
    fn look_up(&self, limits: &[u64]) -> Option<(Option<usize>, bool)> {
        if self.empty.iter().any(|empty| within(limits, empty)) {
            return Some((None, true));
        }
        let holds =
            |(wider, point): &&(Vec<u64>, usize)| within(limits, wider) && within(&self.points[*point].whole, limits);
        self.solved.iter().find(holds).map(|&(_, point)| (Some(point), true))
    }

    fn solve(&mut self, limits: &[u64]) -> Result<(Option<usize>, bool), SearchError> {
        self.set(limits);
        let problem = &self.instance.problem;
        let answer = match problem.each_row_fits() {
            false => Err(SolverError::Infeasible),
            true => {
                self.solves += 1;
                solve(self.solver, problem, self.near.as_deref())
            }
        };
        let solved = match answer {
            Ok(solved) => solved,
            Err(SolverError::Infeasible) => {
                self.empty.push(limits.to_vec());
                return Ok((None, true));
            }
            Err(SolverError::NothingFound { .. }) => return Ok((None, false)),
            Err(error) => return Err(SearchError::Solver(error)),
        };
        let proven = solved.proof.status == Status::Optimal;
        self.near = Some(solved.picks.clone());
        let point = match self.places.get(&solved.picks) {
            Some(&place) => {
                if proven && self.points[place].proof.status != Status::Optimal {
                    let limits = self.printed(limits);
                    let point = &mut self.points[place];
                    (point.limits, point.proof) = (limits, solved.proof);
                }
                place
            }
            None => self.add(limits, solved),
        };
        if proven {
            self.solved.push((limits.to_vec(), point));
        }
        Ok((Some(point), proven))
    }

    fn add(&mut self, limits: &[u64], solved: Solved) -> usize {
        let bits = self.instance.bits(&solved.picks);
        let tables = &self.instance.stated.tables;
        let total =
            |table: &CostTable| table.total(bits.iter().copied()).expect("costs are known wherever the search may go");
        let used = tables.iter().map(|table| table.printed(total(table))).collect();
        let whole = self.axes.iter().map(|axis| total(&tables[axis.budget])).collect();
        let policy = Policy::new(self.search.constraints.graph, bits);
        let [mean_weight_bits, mean_act_bits] = policy.mean_bits();
        self.points.push(FrontPoint {
            limits: self.printed(limits),
            used,
            objective: solved.objective,
            proof: solved.proof,
            mean_weight_bits,
            mean_act_bits,
            policy: policy.policy,
            whole,
        });
        self.places.insert(solved.picks, self.points.len() - 1);
        self.points.len() - 1
    }

    fn printed(&self, limits: &[u64]) -> Vec<f64> {
        let table = |axis: &Axis| &self.instance.stated.tables[axis.budget];
        self.axes.iter().zip(limits).map(|(axis, &limit)| table(axis).printed(limit)).collect()
    }

    /// Points and cells without the points that another one makes needless: of the same objective or better, and using
    /// no more. Solvers may return either of two equally good policies.
    pub fn undominated(&mut self) -> (Vec<FrontPoint>, Vec<Cell>) {
        let points = std::mem::take(&mut self.points);
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| {
            let (one, other) = (&points[a], &points[b]);
            one.objective.total_cmp(&other.objective).then_with(|| one.whole.cmp(&other.whole)).then(a.cmp(&b))
        });
        let mut stays: Vec<usize> = vec![];
        let mut instead: Vec<usize> = (0..points.len()).collect();
        // Those before a point are at least as good. Of two axes they are kept as stairs, of which the second use falls as the
        // first one rises; of one axis all are.
        let mut stairs: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
        for place in order {
            let whole = &points[place].whole;
            let (first, second) = (whole[0], whole.get(1).copied().unwrap_or_default());
            match stairs.range(..=first).next_back() {
                Some((_, &(least, better))) if least <= second => instead[place] = better,
                _ => {
                    stays.push(place);
                    if whole.len() > 1 {
                        let above = stairs.range(first..).take_while(|(_, (other, _))| *other >= second);
                        for first in above.map(|(&first, _)| first).collect::<Vec<_>>() {
                            stairs.remove(&first);
                        }
                    }
                    stairs.insert(first, (second, place));
                }
            }
        }
        // A point that was proven only later has moved to tighter limits.
        stays.sort_by(|&a, &b| {
            let highest = points[a].limits.iter().zip(&points[b].limits).map(|(a, b)| b.total_cmp(a));
            highest.fold(Ordering::Equal, Ordering::then).then(a.cmp(&b))
        });
        let mut places = vec![None; points.len()];
        stays.iter().enumerate().for_each(|(place, &stays)| places[stays] = Some(place));
        let mut cells = std::mem::take(&mut self.cells);
        for cell in &mut cells {
            cell.point = cell.point.map(|place| places[instead[place]].expect("what stands in for others stays"));
        }
        let mut points: Vec<Option<FrontPoint>> = points.into_iter().map(Some).collect();
        (stays.into_iter().filter_map(|place| points[place].take()).collect(), cells)
    }
}

/// Whether each limit is at most the other.
fn within(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}

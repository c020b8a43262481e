//! The front of one or two budgets: the best policy at every limit of a range, each with its proof.
//!
//! Limits fall from the upper end of the range. An answer at some limits is the best one for all limits between them and
//! what it uses, and where no policy keeps some limits none keeps tighter ones; so both are solved once only, and each
//! solve starts from its neighbour's answer.

use super::{
    Accounting, BudgetText, Candidates, CostTable, Instance, InstanceError, LayerBits, Limits, Named, Policy, Proof,
    Search, SearchError, Solved, SolverError, Status, Uniform, solve,
};
use serde::Serialize;
use std::collections::HashMap;

/// With [`Steps::All`], a front is cut off after so many points.
pub const MOST_POINTS: usize = 20_000;

/// At which limits of an axis to solve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// At so many, evenly spaced, both ends among them; at least two.
    Even(usize),
    /// Wherever the best policy changes; one axis only.
    All,
}

/// A budget whose limit is swept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// Place among the budgets.
    pub budget: usize,
    /// Name of the cost.
    pub name: String,
    /// Lowest limit, in `unit`.
    pub from: f64,
    /// Highest limit, in `unit`.
    pub to: f64,
    /// Unit of the figures.
    pub unit: &'static str,
    #[serde(skip)]
    ends: [u64; 2],
}

/// A budget of a front.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrontBudget {
    /// Name of the cost.
    pub name: String,
    /// As written, a range if it is swept.
    pub asked: String,
    /// Unit of its figures.
    pub unit: &'static str,
    /// What the network costs at 32 bits; `None` when the cost model does not know it.
    pub at_32_bits: Option<f64>,
}

/// A policy on the front.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrontPoint {
    /// The highest limits it was found for, one for each axis.
    pub limits: Vec<f64>,
    /// What it uses of each budget.
    pub used: Vec<f64>,
    /// Its objective.
    pub objective: f64,
    /// How far it can be trusted at these limits.
    pub proof: Proof,
    /// Mean of the layers' weight bits.
    pub mean_weight_bits: f64,
    /// Mean of the layers' activation bits.
    pub mean_act_bits: f64,
    /// The bits, in graph order.
    pub policy: Vec<LayerBits>,
    #[serde(skip)]
    whole: Vec<u64>,
}

/// What is known at some limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// One limit for each axis.
    pub limits: Vec<f64>,
    /// Place of the best policy among the points; `None` where there is none.
    pub point: Option<usize>,
    /// Whether it is proven that no policy is better, or that there is none.
    pub proven: bool,
}

/// The front.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Front {
    /// The model.
    pub model: String,
    /// The swept budgets, one or two.
    pub axes: Vec<Axis>,
    /// All budgets.
    pub budgets: Vec<FrontBudget>,
    /// Whether the points are all there are on the front between the ends, each proven.
    pub every_point: bool,
    /// Each policy once, highest limits first.
    pub points: Vec<FrontPoint>,
    /// Every pair of limits (or limit) that was asked about, highest first.
    pub cells: Vec<Cell>,
    /// Uniform policies, for comparison; they fit if they keep the highest limits.
    pub uniforms: Vec<Uniform>,
    /// How costs were counted.
    pub accounting: Accounting,
    /// Name of the solver.
    pub solver: String,
    /// Weight of the weights' indicators.
    pub alpha: f64,
    /// The candidates it chose from.
    pub candidates: Candidates,
    /// How many times the solver was run.
    pub solves: usize,
    /// Time it took, in seconds.
    pub seconds: f64,
}

/// Why there is no front.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// No or too many ranges.
    #[error(
        "{found} budgets are ranges; a front sweeps one or two. Give a range such as --budget size=4MiB..12MiB, and plain limits \
         for budgets that stay as they are"
    )]
    Axes {
        /// How many are.
        found: usize,
    },
    /// A range with one end.
    #[error("budget {0} is a range without an end; a swept range needs both, for example size=4MiB..12MiB")]
    OpenRange(BudgetText),
    /// Every point of two axes.
    #[error("every point of a front can be listed for one range only, this asks for two; give --points instead")]
    AllOfTwo,
    /// Too few points.
    #[error("a front needs at least 2 points on each axis, got {0}")]
    Points(usize),
    /// No policy at all, or a search that fails.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// The budgets to state a search with: of each range only the upper end.
///
/// # Errors
/// Not one or two ranges, or a range that lacks an end.
pub fn upper_ends(swept: &[BudgetText]) -> Result<Vec<BudgetText>, FrontError> {
    if let Some(open) = swept.iter().find(|text| text.is_range() && text.upper().is_none()) {
        return Err(FrontError::OpenRange(open.clone()));
    }
    match swept.iter().filter(|text| text.is_range()).count() {
        1 | 2 => Ok(swept.iter().map(|text| text.upper().unwrap_or_else(|| text.clone())).collect()),
        found => Err(FrontError::Axes { found }),
    }
}

impl Search<'_> {
    /// The front of the budgets that are ranges in `swept`. The search itself must be stated with their [`upper_ends`].
    ///
    /// # Errors
    /// Ranges that cannot be swept; no policy even at the upper ends; a solver that fails.
    pub fn front(&self, swept: &[BudgetText], steps: Steps, solver: Named) -> Result<Front, FrontError> {
        let start = std::time::Instant::now();
        let ranges = swept.iter().enumerate().filter(|(_, text)| text.is_range());
        let axes = ranges.map(|(budget, text)| self.axis(budget, text)).collect::<Result<Vec<_>, _>>()?;
        match (axes.len(), steps) {
            (1 | 2, Steps::Even(points @ 0..2)) => return Err(FrontError::Points(points)),
            (2, Steps::All) => return Err(FrontError::AllOfTwo),
            (1 | 2, _) => {}
            (found, _) => return Err(FrontError::Axes { found }),
        }
        let instance = self.instance()?;
        let mut sweep = Sweep {
            search: self,
            solver,
            axes: &axes,
            instance,
            points: vec![],
            places: HashMap::new(),
            solved: vec![],
            empty: vec![],
            cells: vec![],
            near: None,
            solves: 0,
        };
        let complete = match steps {
            Steps::Even(points) => sweep.grid(points).map(|()| false)?,
            Steps::All => sweep.all()?,
        };
        if sweep.points.is_empty() {
            // Says why: nothing keeps even the widest limits.
            sweep.set(&axes.iter().map(|axis| axis.ends[1]).collect::<Vec<_>>());
            self.solve(&sweep.instance, solver, None)?;
        }
        let (points, cells) = sweep.undominated();
        let tables = &sweep.instance.stated.tables;
        let budgets = tables.iter().zip(swept).map(|(table, text)| FrontBudget {
            name: text.name.clone(),
            asked: text.to_string(),
            unit: table.unit.symbol(),
            at_32_bits: table.at_32_bits().map(|cost| table.printed(cost)),
        });
        Ok(Front {
            model: self.constraints.graph.model.clone(),
            budgets: budgets.collect(),
            every_point: complete && cells.iter().all(|cell| cell.proven),
            points,
            cells,
            uniforms: self.uniforms()?,
            accounting: self.constraints.accounting,
            solver: solver.name.to_owned(),
            alpha: self.alpha,
            candidates: self.constraints.candidates.clone(),
            solves: sweep.solves,
            seconds: start.elapsed().as_secs_f64(),
            axes: axes.clone(),
        })
    }

    fn axis(&self, budget: usize, text: &BudgetText) -> Result<Axis, FrontError> {
        let cost = self.constraints.budgets[budget].cost.as_ref();
        let bits = self.constraints.candidates.pairs().chain(text.precisions());
        let table = CostTable::new(&text.name, cost, self.constraints.graph, bits, self.constraints.accounting);
        let wrong = |error: super::BudgetError| SearchError::Instance(InstanceError::Constraints(error.into()));
        match text.limits(&table).map_err(wrong)? {
            Limits { least: Some(least), most: Some(most) } => Ok(Axis {
                budget,
                name: text.name.clone(),
                from: table.printed(least),
                to: table.printed(most),
                unit: table.unit.symbol(),
                ends: [least, most],
            }),
            _ => Err(FrontError::OpenRange(text.clone())),
        }
    }
}

/// A sweep under way. Limits and uses are in the budgets' integer units.
struct Sweep<'s, 'a> {
    search: &'s Search<'a>,
    solver: Named<'s>,
    axes: &'s [Axis],
    instance: Instance,
    points: Vec<FrontPoint>,
    /// Where among the points the policy of some picks is.
    places: HashMap<Vec<usize>, usize>,
    /// Limits with a proven answer, and its place among the points.
    solved: Vec<(Vec<u64>, usize)>,
    /// Limits that no policy keeps.
    empty: Vec<Vec<u64>>,
    cells: Vec<Cell>,
    near: Option<Vec<usize>>,
    solves: usize,
}

/// Whether each limit is at most the other.
fn within(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}

impl Sweep<'_, '_> {
    /// Evenly spaced limits; each solve starts from the answer at the limit before, or above.
    fn grid(&mut self, points: usize) -> Result<(), SearchError> {
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
    fn all(&mut self) -> Result<bool, SearchError> {
        let [from, mut limit] = self.axes[0].ends;
        loop {
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

    fn set(&mut self, limits: &[u64]) {
        for (axis, &limit) in self.axes.iter().zip(limits) {
            self.instance.set_limit(axis.budget, limit);
        }
    }

    /// Finds the best policy at some limits and notes it.
    fn visit(&mut self, limits: &[u64]) -> Result<(), SearchError> {
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
        let hopeless = (0..problem.rows.len()).any(|row| problem.least(row) > problem.rows[row].limit);
        let answer = match hopeless {
            true => Err(SolverError::Infeasible),
            false => {
                self.solves += 1;
                solve(self.solver.name, self.solver.solver, problem, self.near.as_deref())
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
            Some(&place) => place,
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
    fn undominated(&mut self) -> (Vec<FrontPoint>, Vec<Cell>) {
        let points = std::mem::take(&mut self.points);
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| {
            let (one, other) = (&points[a], &points[b]);
            one.objective.total_cmp(&other.objective).then_with(|| one.whole.cmp(&other.whole)).then(a.cmp(&b))
        });
        let mut stays: Vec<usize> = vec![];
        let mut instead: Vec<usize> = (0..points.len()).collect();
        for place in order {
            // Those before it are at least as good.
            match stays.iter().find(|&&better| within(&points[better].whole, &points[place].whole)) {
                Some(&better) => instead[place] = better,
                None => stays.push(place),
            }
        }
        stays.sort_unstable();
        let mut cells = std::mem::take(&mut self.cells);
        for cell in &mut cells {
            let place = cell.point.map(|place| instead[place]);
            cell.point = place.map(|place| stays.binary_search(&place).expect("what stands in for others stays"));
        }
        let kept = points.into_iter().enumerate().filter(|(place, _)| instead[*place] == *place);
        (kept.map(|(_, point)| point).collect(), cells)
    }
}

//! The front of one or two budgets: the best policy at every limit of a range, each with its proof.
//!
//! Limits fall from the upper end of the range. An answer at some limits is the best one for all limits between them and
//! what it uses, and where no policy keeps some limits none keeps tighter ones; so both are solved once only, and each
//! solve starts from its neighbour's answer.

use super::sweep::Sweep;
use crate::search::{
    Accounting, BudgetText, Candidates, CostTable, InstanceError, LayerBits, Limits, Named, Proof, RisingIndicators,
    Search, SearchError, Uniform,
};
use serde::Serialize;

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
    /// Both limits, lowest first, in the budget's integer unit.
    #[serde(skip)]
    pub(super) ends: [u64; 2],
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
    /// The highest limits it was found for, one for each axis; the highest it is proven for, if it is.
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
    /// What it uses of each axis, in the budget's integer unit.
    #[serde(skip)]
    pub(super) whole: Vec<u64>,
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
    /// Whether bit-widths could be chosen whose indicator is below that of the next higher one.
    pub rising_indicators: RisingIndicators,
    /// The candidates it chose from.
    pub candidates: Candidates,
    /// What looks wrong with the indicators, and whatever else makes the answers doubtful.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
        "{found} budgets are ranges; a front sweeps one or two. Give a range such as size=4MiB..12MiB, and plain limits \
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
    #[error(
        "every point of a front can be listed for one range only, this asks for two; give the number of points instead"
    )]
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
        let mut sweep = Sweep::new(self, solver, &axes, instance);
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
            rising_indicators: self.rising,
            candidates: self.constraints.candidates.clone(),
            warnings: self.indicators.audit(),
            solves: sweep.solves,
            seconds: start.elapsed().as_secs_f64(),
            axes: axes.clone(),
        })
    }

    fn axis(&self, budget: usize, text: &BudgetText) -> Result<Axis, FrontError> {
        let cost = self.constraints.budgets[budget].cost.as_ref();
        let bits = self.constraints.candidates.pairs().chain(text.precisions());
        let table = CostTable::new(&text.name, cost, self.constraints.graph, bits, self.constraints.accounting);
        let wrong = |error: crate::search::BudgetError| SearchError::Instance(InstanceError::Constraints(error.into()));
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

//! Why no policy keeps every constraint: budgets that are out of reach, or a set of budgets and rules that conflict.

use crate::search::{Allowed, Budget, Constraints, Instance, Named, Precision, Rules, SolverError, solve};
use std::fmt;

/// How far a budget is from being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A policy that keeps the rules keeps it, too.
    Alone,
    /// Only policies that break the rules keep it.
    WithoutRules,
    /// No policy keeps it, whatever the rules.
    Never,
}

/// A budget that was asked for and what can be reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The budget as written.
    pub asked: String,
    /// Its upper end, in `unit`.
    pub limit: Option<f64>,
    /// Its lower end, in `unit`.
    pub lower: Option<f64>,
    /// The least that any policy uses under the rules, in `unit`.
    pub least: f64,
    /// The most that any policy uses under the rules, in `unit`; given for budgets with a lower end.
    pub most: Option<f64>,
    /// The least as a compression against 32 bits, where the cost at 32 bits is known.
    pub most_compression: Option<f64>,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether it can be kept when no other budget is asked for.
    pub reach: Reach,
}

/// Why no policy keeps everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasible {
    /// Every budget with what can be reached.
    pub budgets: Vec<Refused>,
    /// Budgets, rules and shares that cannot be kept together, while any of them can be dropped to make the rest
    /// possible. `None` when a budget can never be kept, or when the solver could not tell.
    pub conflict: Option<Vec<String>>,
    /// Whether the time was over before all of this was known.
    pub cut_short: bool,
    /// In how many layers the rule on rising indicators leaves bit-widths out.
    pub forbidding: usize,
}

impl Infeasible {
    fn any(&self, reach: Reach) -> bool {
        self.budgets.iter().any(|budget| budget.reach == reach)
    }
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no policy keeps every budget:")?;
        for Refused { asked, limit, lower, least, most, most_compression, unit, reach } in &self.budgets {
            let ends = match (lower, limit) {
                (Some(lower), Some(limit)) => format!("{lower:.6}..{limit:.6}"),
                (Some(lower), None) => format!("at least {lower:.6}"),
                (None, limit) => format!("{:.6}", limit.unwrap_or(f64::INFINITY)),
            };
            let compression = most_compression.map(|times| format!(" ({times:.2}x)")).unwrap_or_default();
            let most = most.map(|most| format!(", most {most:.6} {unit}")).unwrap_or_default();
            let verdict = match reach {
                Reach::Alone => "reachable alone",
                Reach::WithoutRules => "out of reach under these rules",
                Reach::Never => "out of reach",
            };
            writeln!(
                f,
                "  {asked}: asked {ends} {unit}, least achievable {least:.6} {unit}{compression}{most} - {verdict}"
            )?;
        }
        if self.forbidding > 0 {
            let (layers, plural) = (self.forbidding, if self.forbidding == 1 { "" } else { "s" });
            writeln!(f, "rising_indicators = \"forbid\" leaves bit-widths out in {layers} layer{plural}")?;
        }
        match &self.conflict {
            Some(conflict) => write!(
                f,
                "these cannot be kept together, and without any one of them the others can: {}. Relax one of them",
                conflict.join(" and ")
            ),
            None if self.any(Reach::Never) => {
                write!(f, "relax the budgets that are out of reach, or add lower candidate bit-widths")
            }
            None if self.any(Reach::WithoutRules) => {
                write!(f, "relax the budgets that are out of reach, or the rules that hold layers at high bits")
            }
            None if self.cut_short => {
                write!(f, "the time limit ended the search for those that cannot be kept together: raise at least one")
            }
            None => write!(f, "each budget can be kept alone, but not all of them together: raise at least one"),
        }
    }
}

/// Sets of three are tried if there are no more of them than this.
const MOST_TRIPLES: usize = 500;

/// A part of the constraints that can be dropped.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Budget(usize),
    Rule(usize),
    Share(usize),
}

/// Constraints that no policy keeps, and what is needed to see why.
pub(in crate::search) struct Refusal<'a> {
    /// What must be kept.
    pub constraints: Constraints<'a>,
    /// Whether the rule on rising indicators leaves a layer these bits.
    pub open: &'a dyn Fn(&Allowed, Precision) -> bool,
    /// Says which parts of the constraints can be kept.
    pub solver: Named<'a>,
}

impl Refusal<'_> {
    /// Why there is no policy for this instance of the constraints.
    pub fn explained(&self, instance: &Instance) -> Infeasible {
        let budgets = self.refused(instance);
        let conflict = match budgets.iter().any(|budget| budget.reach == Reach::Never) {
            true => None,
            false => self.conflict(),
        };
        let narrowed =
            instance.stated.allowed.iter().filter(|layer| !layer.pairs().all(|bits| (self.open)(layer, bits)));
        Infeasible { budgets, conflict, cut_short: self.solver.deadline.passed(), forbidding: narrowed.count() }
    }

    /// Every budget with what can be reached when it stands alone.
    fn refused(&self, instance: &Instance) -> Vec<Refused> {
        let Instance { stated, problem, origins, .. } = instance;
        let spans = problem.spans();
        let of = |(index, Budget { text, .. }): (usize, &Budget)| {
            let (table, limits) = (&stated.tables[index], &stated.limits[index]);
            let rows = || (0..origins.len()).filter(|&row| origins[row].budget == index);
            // Of a peak, whose sums all fall with the bits, the largest of the leasts is the least.
            let least = rows().map(|row| if origins[row].lower { spans[row].most } else { spans[row].least });
            let least = rows().zip(least).map(|(row, sum)| instance.whole(row, sum)).max().unwrap_or_default();
            let most = rows().find(|&row| origins[row].lower).map(|row| instance.whole(row, spans[row].least));
            let reach = match self.feasible(&[Part::Budget(index)]) {
                Some(false) => Reach::Never,
                _ if rows().any(|row| spans[row].least > problem.rows[row].limit) => Reach::WithoutRules,
                _ => Reach::Alone,
            };
            Refused {
                asked: text.to_string(),
                limit: limits.most.map(|most| table.printed(most)),
                lower: limits.least.map(|least| table.printed(least)),
                least: table.printed(least),
                most: most.map(|most| table.printed(most)),
                most_compression: table.at_32_bits().map(|full| full as f64 / least.max(1) as f64),
                unit: table.unit.symbol(),
                reach,
            }
        };
        self.constraints.budgets.iter().enumerate().map(of).collect()
    }

    /// A set of parts that cannot be kept together though any of them can be dropped to help. It is a smallest one if that
    /// has two parts, or three and [`MOST_TRIPLES`] allow to try them.
    fn conflict(&self) -> Option<Vec<String>> {
        let Rules { rules, shares } = self.constraints.rules;
        let budgets: Vec<Part> = (0..self.constraints.budgets.len()).map(Part::Budget).collect();
        let others = (0..rules.len()).map(Part::Rule).chain((0..shares.len()).map(Part::Share));
        let all: Vec<Part> = budgets.iter().copied().chain(others).collect();
        for set in sets(&all, 1).into_iter().chain(sets(&all, 2)) {
            if !self.feasible(&set)? {
                return Some(self.named(set));
            }
        }
        let triples = sets(&all, 3);
        for set in triples.iter().filter(|_| triples.len() <= MOST_TRIPLES) {
            if !self.feasible(set)? {
                return Some(self.named(set.clone()));
            }
        }
        // Budgets that conflict without any rule are the simplest explanation.
        let mut left = if self.feasible(&budgets)? { all } else { budgets };
        let mut index = 0;
        while index < left.len() {
            let mut fewer = left.clone();
            fewer.remove(index);
            match self.feasible(&fewer)? {
                true => index += 1,
                false => left = fewer,
            }
        }
        Some(self.named(left))
    }

    fn named(&self, parts: Vec<Part>) -> Vec<String> {
        let Constraints { budgets, rules, .. } = self.constraints;
        let name = |part| match part {
            Part::Budget(index) => budgets[index].text.to_string(),
            Part::Rule(index) => rules.rules[index].to_string(),
            Part::Share(index) => format!("sharing {}", rules.shares[index]),
        };
        parts.into_iter().map(name).collect()
    }

    /// Whether some policy keeps these parts; `None` when the solver cannot tell, or when the time is over.
    fn feasible(&self, parts: &[Part]) -> Option<bool> {
        if self.solver.deadline.passed() {
            return None;
        }
        let Constraints { graph, candidates, rules, .. } = self.constraints;
        let rules = Rules {
            rules: kept(&rules.rules, |index| parts.contains(&Part::Rule(index))),
            shares: kept(&rules.shares, |index| parts.contains(&Part::Share(index))),
        };
        let allowed = rules.allowed(graph, candidates).ok()?;
        let some = Constraints { rules: &rules, ..self.constraints };
        let loss = |layer: usize, bits| (self.open)(&allowed[layer], bits).then_some(0.0);
        let Instance { mut problem, origins, .. } = Instance::new(&some, loss).ok()?;
        for (row, origin) in problem.rows.iter_mut().zip(origins) {
            if !parts.contains(&Part::Budget(origin.budget)) {
                row.limit = i128::MAX;
            }
        }
        if !problem.each_row_fits() {
            return Some(false);
        }
        match solve(self.solver, &problem, None) {
            Ok(_) => Some(true),
            Err(SolverError::Infeasible) => Some(false),
            Err(_) => None,
        }
    }
}

/// The sets of so many parts that have a budget: rules alone can always be kept. Budgets come first among the parts.
fn sets(parts: &[Part], size: usize) -> Vec<Vec<Part>> {
    let mut sets = vec![vec![]];
    for _ in 0..size {
        let longer = |set: Vec<usize>| {
            let from = set.last().map_or(0, |last| last + 1);
            (from..parts.len()).map(move |next| set.iter().copied().chain([next]).collect())
        };
        sets = sets.into_iter().flat_map(longer).collect();
    }
    let named = |set: Vec<usize>| set.into_iter().map(|part| parts[part]).collect();
    sets.into_iter().map(named).filter(|set: &Vec<Part>| matches!(set[0], Part::Budget(_))).collect()
}

fn kept<T: Clone>(items: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
    items.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, item)| item.clone()).collect()
}

//! Why no policy keeps every constraint: budgets that are out of reach alone, or a smallest set that conflicts.

use super::{Budget, Constraints, Group, Instance, Rules, Solver, SolverError};
use std::fmt;

/// A budget that was asked for and what can be reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The budget as written.
    pub asked: String,
    /// Its upper end, in `unit`.
    pub limit: Option<f64>,
    /// Its lower end, in `unit`.
    pub lower: Option<f64>,
    /// The least any policy uses, in `unit`.
    pub least: f64,
    /// The most any policy uses, in `unit`; given for budgets with a lower end.
    pub most: Option<f64>,
    /// The least as a compression against 32 bits, where the cost at 32 bits is known.
    pub most_compression: Option<f64>,
    /// Unit of the figures.
    pub unit: &'static str,
    /// Whether this budget alone is out of reach.
    pub out_of_reach: bool,
}

/// Why no policy keeps everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasible {
    /// Every budget with what can be reached.
    pub budgets: Vec<Refused>,
    /// Budgets, rules and shares that cannot be kept together, while any of them can be dropped to make the rest
    /// possible. `None` when a budget is out of reach alone, or when the solver could not tell.
    pub conflict: Option<Vec<String>>,
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no policy keeps every budget:")?;
        for Refused { asked, limit, lower, least, most, most_compression, unit, out_of_reach } in &self.budgets {
            let ends = match (lower, limit) {
                (Some(lower), Some(limit)) => format!("{lower:.6}..{limit:.6}"),
                (Some(lower), None) => format!("at least {lower:.6}"),
                (None, limit) => format!("{:.6}", limit.unwrap_or(f64::INFINITY)),
            };
            let compression = most_compression.map(|times| format!(" ({times:.2}x)")).unwrap_or_default();
            let most = most.map(|most| format!(", most {most:.6} {unit}")).unwrap_or_default();
            let verdict = if *out_of_reach { "out of reach" } else { "reachable alone" };
            writeln!(
                f,
                "  {asked}: asked {ends} {unit}, least achievable {least:.6} {unit}{compression}{most} - {verdict}"
            )?;
        }
        if self.budgets.iter().any(|budget| budget.out_of_reach) {
            return write!(
                f,
                "raise the budgets that are out of reach, add lower bit-widths to --bits, or drop rules that hold layers at \
                 high ones"
            );
        }
        match &self.conflict {
            None => write!(f, "each budget can be kept alone, but not all of them together: raise at least one"),
            Some(conflict) => write!(
                f,
                "these cannot be kept together, and without any one of them the others can: {}. Relax one of them",
                conflict.join(" and ")
            ),
        }
    }
}

/// Every budget with what can be reached when it stands alone; rules and shares hold.
pub(super) fn refused(constraints: &Constraints, instance: &Instance) -> Vec<Refused> {
    let Instance { stated, problem, origins } = instance;
    let of = |(index, Budget { text, .. }): (usize, &Budget)| {
        let (table, limits) = (&stated.tables[index], &stated.limits[index]);
        let rows = || (0..origins.len()).filter(|&row| origins[row].budget == index);
        // Of a peak, whose sums all fall with the bits, the largest of the leasts is the least.
        let least = rows().map(|row| if origins[row].lower { largest(problem, row) } else { problem.least(row) });
        let least = rows().zip(least).map(|(row, sum)| instance.whole(row, sum)).max().unwrap_or_default();
        let most = rows().find(|&row| origins[row].lower).map(|row| instance.whole(row, problem.least(row)));
        Refused {
            asked: text.to_string(),
            limit: limits.most.map(|most| table.printed(most)),
            lower: limits.least.map(|least| table.printed(least)),
            least: table.printed(least),
            most: most.map(|most| table.printed(most)),
            most_compression: table.at_32_bits().map(|full| full as f64 / least.max(1) as f64),
            unit: table.unit.symbol(),
            out_of_reach: rows().any(|row| problem.least(row) > problem.rows[row].limit),
        }
    };
    constraints.budgets.iter().enumerate().map(of).collect()
}

/// The most that a row's sum can be.
fn largest(problem: &super::Problem, row: usize) -> i128 {
    let most = |group: &Group| group.choices.iter().map(|choice| i128::from(choice.costs[row])).max();
    problem.groups.iter().filter_map(most).sum()
}

/// A part of the constraints that can be dropped.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Budget(usize),
    Rule(usize),
    Share(usize),
}

/// A set of parts that cannot be kept together though any of them can be dropped to help; of size two if there is one.
pub(super) fn conflict(constraints: &Constraints, refused: &[Refused], solver: &dyn Solver) -> Option<Vec<String>> {
    if refused.iter().any(|budget| budget.out_of_reach) {
        return None;
    }
    let Rules { rules, shares } = constraints.rules;
    let budgets = (0..constraints.budgets.len()).map(Part::Budget);
    let others = (0..rules.len()).map(Part::Rule).chain((0..shares.len()).map(Part::Share));
    let all: Vec<Part> = budgets.clone().chain(others).collect();
    let budgets: Vec<Part> = budgets.collect();
    // Budgets that conflict without any rule are the simplest explanation.
    let mut left = if feasible(constraints, &budgets, solver)? { all } else { budgets };
    for (index, &a) in left.iter().enumerate() {
        for &b in &left[index + 1..] {
            if !feasible(constraints, &[a, b], solver)? {
                return Some(vec![named(constraints, a), named(constraints, b)]);
            }
        }
    }
    let mut index = 0;
    while index < left.len() {
        let mut fewer = left.clone();
        fewer.remove(index);
        match feasible(constraints, &fewer, solver)? {
            true => index += 1,
            false => left = fewer,
        }
    }
    Some(left.into_iter().map(|part| named(constraints, part)).collect())
}

fn named(constraints: &Constraints, part: Part) -> String {
    match part {
        Part::Budget(index) => constraints.budgets[index].text.to_string(),
        Part::Rule(index) => constraints.rules.rules[index].to_string(),
        Part::Share(index) => format!("sharing {}", constraints.rules.shares[index]),
    }
}

/// Whether some policy keeps these parts; `None` when the solver cannot tell.
fn feasible(constraints: &Constraints, parts: &[Part], solver: &dyn Solver) -> Option<bool> {
    let rules = Rules {
        rules: kept(&constraints.rules.rules, |index| parts.contains(&Part::Rule(index))),
        shares: kept(&constraints.rules.shares, |index| parts.contains(&Part::Share(index))),
    };
    let some = Constraints { rules: &rules, ..*constraints };
    let mut instance = Instance::new(&some, |_, _| Some(0.0)).ok()?;
    for (row, origin) in instance.origins.iter().enumerate() {
        if !parts.contains(&Part::Budget(origin.budget)) {
            instance.problem.rows[row].limit = i128::MAX;
        }
    }
    match solver.solve(&instance.problem) {
        Ok(answer) => Some(instance.problem.feasible(&answer.picks)),
        Err(SolverError::Infeasible) => Some(false),
        Err(_) => None,
    }
}

fn kept<T: Clone>(items: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
    items.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, item)| item.clone()).collect()
}

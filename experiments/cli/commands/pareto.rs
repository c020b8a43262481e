//! `limpq pareto`: the front of one or two budgets, as a table, JSON, CSV and a picture.

use super::{
    belongs::{print_warnings, tell_warnings},
    files::{self, Files},
    question::Question,
    table::{figure, gap, table},
};
use crate::plot::{Curve, Look, Picture};
use limpq_core::search::{Axis, Front, FrontError, FrontPoint, Precision, Status, Steps, Uniform, upper_ends};
use std::{io::Write, path::PathBuf};

/// Arguments of `limpq pareto`.
///
/// A budget whose limit is a range, such as size=4MiB..12MiB, is swept from its upper to its lower end. There may be
/// one or two; other budgets are kept fixed.
#[derive(Debug, clap::Args)]
pub struct Pareto {
    #[command(flatten)]
    question: Question,
    /// Number of evenly spaced limits on each axis [default: 50, for two axes 20]
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = clap::value_parser!(u16).range(2..=1000))]
    points: Option<u16>,
    /// Find every point of the front; for one range only
    #[arg(long)]
    all: bool,
    /// Also write the front to this file: .json (with policies), .csv, .svg or .png; may be repeated
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Pareto {
    /// Sweeps, writes the requested files, prints.
    ///
    /// # Errors
    /// Arguments that do not fit together; no policy within the upper ends.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let files = Files::new(&self.out)?;
        let swept = &self.question.budgets;
        let asked = self.question.ask(&upper_ends(swept)?)?;
        let two = swept.iter().filter(|text| text.is_range()).count() == 2;
        let steps = match (self.all, self.points) {
            (true, _) => Steps::All,
            (false, Some(points)) => Steps::Even(points.into()),
            (false, None) => Steps::Even(if two { 20 } else { 50 }),
        };
        let mut front = asked.search().front(swept, steps, asked.solver()).map_err(|error| match error {
            FrontError::Search(error) => asked.explained(error),
            other => other.into(),
        })?;
        front.warnings.splice(0..0, asked.assumed.clone());
        files.write(&front, || to_csv(&front), || Ok(picture(&front)))?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&front)?)?;
            tell_warnings(&front.warnings);
            return Ok(());
        }
        print(out, &front)?;
        for path in &self.out {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }
}

fn print(out: &mut dyn Write, front: &Front) -> anyhow::Result<()> {
    let limits = front.axes.iter().map(|axis| format!(">{} limit ({})", axis.name, axis.unit));
    let used = front.budgets.iter().map(|budget| format!(">{} used ({})", budget.name, budget.unit));
    let against = front.axes.iter().map(|axis| format!(">{} against 32 bits", axis.name));
    let headings: Vec<String> = limits.chain(used).chain(against).collect();
    let rest = [">mean w bits", ">mean a bits", ">objective", "proof"];
    let mut rows = table(&headings.iter().map(String::as_str).chain(rest).collect::<Vec<_>>());
    for point in &front.points {
        let mut row: Vec<String> = point.limits.iter().chain(&point.used).map(|&value| figure(value)).collect();
        row.extend(front.axes.iter().map(|axis| compression(front, axis, point).map_or("not known".into(), times)));
        row.extend([point.mean_weight_bits, point.mean_act_bits].map(|bits| format!("{bits:.2}")));
        row.extend([format!("{:.6}", point.objective), proof(point)]);
        rows.add_row(row);
    }
    writeln!(out, "{rows}\n")?;
    writeln!(out, "{}", summary(front))?;
    for gap in gaps(front) {
        writeln!(out, "{gap}")?;
    }
    writeln!(out, "bits are means over layers; every layer counts the same")?;
    writeln!(out, "accounting: {}", front.accounting)?;
    writeln!(out, "alpha: {}", front.alpha)?;
    writeln!(out, "rising indicators: {}", front.rising_indicators)?;
    print_warnings(out, &front.warnings)?;
    Ok(())
}

fn compression(front: &Front, axis: &Axis, point: &FrontPoint) -> Option<f64> {
    Some(front.budgets[axis.budget].at_32_bits? / point.used[axis.budget])
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2}x")
}

fn proof(point: &FrontPoint) -> String {
    match point.proof.status {
        Status::Optimal => "optimal".to_owned(),
        Status::Stopped => format!("stopped, gap {}", gap(point.proof.gap, 3)),
        Status::Heuristic => format!("none, gap {}", gap(point.proof.gap, 3)),
    }
}

/// A sentence on what was found, and how much of it is proven.
fn summary(front: &Front) -> String {
    let (points, cells) = (front.points.len(), front.cells.len());
    let proven = front.cells.iter().filter(|cell| cell.proven).count();
    let what = match front.every_point {
        true => format!("{points} policies, proven by {} to be every point of the front", front.solver),
        false => format!("{points} policies at {cells} limits, of which {proven} are proven by {}", front.solver),
    };
    format!("{what}; solved {} times in {:.3} s", front.solves, front.seconds)
}

/// Sentences on limits that no policy is within, and on limits where the time was too short.
fn gaps(front: &Front) -> Vec<String> {
    let without = |proven: bool| front.cells.iter().filter(move |cell| cell.point.is_none() && cell.proven == proven);
    let (all, none, unknown) = (front.cells.len(), without(true).count(), without(false).count());
    let mut said = vec![];
    match (&front.axes[..], without(true).next()) {
        ([axis], Some(first)) => said.push(format!(
            "no policy keeps {} at {} {} or below: the front starts there",
            axis.name,
            figure(first.limits[0]),
            axis.unit
        )),
        (_, Some(_)) => said.push(format!("{none} of {all} pairs of limits have no policy within them (proven)")),
        (_, None) => {}
    }
    if unknown > 0 {
        said.push(format!(
            "at {unknown} of {all} limits a limit of time or work ended the search before a policy was found"
        ));
    }
    said
}

fn to_csv(front: &Front) -> anyhow::Result<String> {
    let column = |name: &str, what: &str, unit: &str| format!("{name}_{what}_{}", unit.to_lowercase());
    let mut headings: Vec<String> = front.axes.iter().map(|axis| column(&axis.name, "limit", axis.unit)).collect();
    headings.extend(front.budgets.iter().map(|budget| column(&budget.name, "used", budget.unit)));
    headings.extend(["mean_weight_bits", "mean_act_bits", "objective", "status", "gap"].map(str::to_owned));
    headings.extend(front.points.first().into_iter().flat_map(|point| &point.policy).map(|bits| bits.layer.clone()));
    let row = |point: &FrontPoint| {
        let numbers = point.limits.iter().chain(&point.used).chain([
            &point.mean_weight_bits,
            &point.mean_act_bits,
            &point.objective,
        ]);
        let mut row: Vec<String> = numbers.map(f64::to_string).collect();
        row.extend([point.proof.status.to_string(), point.proof.gap.to_string()]);
        row.extend(point.policy.iter().map(|l| Precision { weight: l.weight_bits, act: l.act_bits }.to_string()));
        row
    };
    files::csv(&headings, front.points.iter().map(row))
}

fn picture(front: &Front) -> Picture {
    let kept =
        front.budgets.iter().enumerate().filter(|(place, _)| front.axes.iter().all(|axis| axis.budget != *place));
    let kept: Vec<String> = kept.map(|(_, budget)| budget.asked.clone()).collect();
    let within = if kept.is_empty() { String::new() } else { format!(" within {}", kept.join(", ")) };
    let title = format!("{}{within}, accounting {}, alpha {}", front.model, front.accounting, front.alpha);
    match &front.axes[..] {
        [one] => curves(front, one, title),
        axes => map(front, [&axes[0], &axes[1]], title),
    }
}

fn curves(front: &Front, axis: &Axis, title: String) -> Picture {
    let of = |proven: bool| {
        let points = front.points.iter().filter(move |point| (point.proof.status == Status::Optimal) == proven);
        points.rev().map(|point| (point.used[axis.budget], point.objective)).collect::<Vec<_>>()
    };
    let (proven, unproven) = (of(true), of(false));
    let everywhere = proven.iter().chain(&unproven);
    let [least, most] = everywhere.fold([f64::INFINITY, 0.0], |[a, b], (x, _)| [a.min(*x), b.max(*x)]);
    let uniform = |uniform: &Uniform| {
        let used = uniform.used[axis.budget].filter(|used| uniform.fits && (least..=most).contains(used))?;
        Some(((used, uniform.objective), uniform.bits.to_string()))
    };
    let (points, labels): (Vec<_>, Vec<_>) = front.uniforms.iter().filter_map(uniform).unzip();
    let look = if front.every_point { Look::Steps } else { Look::Line };
    let curve = |name: &str, look, points| Curve { name: name.to_owned(), look, points, labels: vec![] };
    let all = [
        curve("best mixed precision, proven", look, proven),
        curve("best mixed precision found, not proven", look, unproven),
        Curve { labels, ..curve("uniform policies", Look::Dots, points) },
    ];
    Picture::Curves {
        title,
        axes: [format!("{} used, {}", axis.name, axis.unit), "objective (sum of indicators)".to_owned()],
        log_x: false,
        curves: all.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
    }
}

fn map(front: &Front, axes: [&Axis; 2], title: String) -> Picture {
    let limits = |axis: usize| {
        let mut limits: Vec<f64> = front.cells.iter().map(|cell| cell.limits[axis]).collect();
        limits.sort_by(f64::total_cmp);
        limits.dedup();
        limits
    };
    let limits = [limits(0), limits(1)];
    // A cell shows the best policy at the limits of its centre.
    let half = |axis: usize| {
        let limits: &Vec<f64> = &limits[axis];
        let steps = limits.len().max(2) - 1;
        limits.last().zip(limits.first()).map_or(1.0, |(b, a)| (b - a) / steps as f64) / 2.0
    };
    let half = [half(0), half(1)];
    let cells = front.cells.iter().map(|cell| {
        let [x, y] = [cell.limits[0], cell.limits[1]];
        let ends = [x - half[0], x + half[0], y - half[1], y + half[1]];
        (ends, cell.point.map(|place| front.points[place].objective))
    });
    let limit = |axis: &Axis| format!("{} limit, {}", axis.name, axis.unit);
    let ends = |axis: usize| limits[axis].first().copied().zip(limits[axis].last().copied());
    let mark = |uniform: &Uniform| {
        let place = axes.map(|axis| uniform.used[axis.budget]);
        let (x, y) = place[0].zip(place[1])?;
        let inside = |axis, value: f64| ends(axis).is_some_and(|(a, b)| (a..=b).contains(&value));
        (uniform.fits && inside(0, x) && inside(1, y)).then(|| ((x, y), uniform.bits.to_string()))
    };
    let none_proven = front.cells.iter().all(|cell| cell.point.is_some() || cell.proven);
    Picture::Map {
        title: format!("{title}; dots: uniform policies"),
        axes: [limit(axes[0]), limit(axes[1]), "objective (sum of indicators)".to_owned()],
        cells: cells.collect(),
        empty: if none_proven { "no policy" } else { "none found" }.to_owned(),
        marks: front.uniforms.iter().filter_map(mark).collect(),
    }
}

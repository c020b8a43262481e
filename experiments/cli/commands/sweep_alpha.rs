//! `limpq sweep-alpha`: shows how the policy depends on alpha, the weight of the weights' indicators.

use super::{
    belongs::{print_warnings, tell_warnings},
    files::{self, Files},
    question::{Asked, Question},
    table::{figure, table},
};
use crate::plot::{Curve, Look, Picture};
use limpq_core::search::{Accounting, LayerBits, Precision, Proof, RisingIndicators, Search, Status, changed};
use serde::Serialize;
use std::{io::Write, path::PathBuf};

/// Arguments of `limpq sweep-alpha`.
#[derive(Debug, clap::Args)]
pub struct SweepAlpha {
    #[command(flatten)]
    question: Question,
    /// Lowest alpha
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    from: f64,
    /// Highest alpha
    #[arg(long, default_value_t = 8.0, allow_negative_numbers = true)]
    to: f64,
    /// Number of values of alpha, evenly spaced on a logarithmic scale (linear if --from is 0), including both ends
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=1000))]
    points: u16,
    /// Also write the sweep to this file: .json (with policies), .csv, .svg or .png; may be repeated
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The result at one alpha.
#[derive(Serialize)]
struct Point {
    alpha: f64,
    objective: f64,
    weight_indicators: f64,
    act_indicators: f64,
    mean_weight_bits: f64,
    mean_act_bits: f64,
    layers_changed_from_previous: Option<usize>,
    layers_changed_from_reference: usize,
    proof: Proof,
    policy: Vec<LayerBits>,
}

/// The whole sweep.
#[derive(Serialize)]
struct Sweep {
    model: String,
    reference_alpha: f64,
    accounting: Accounting,
    rising_indicators: RisingIndicators,
    solver: String,
    budgets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    points: Vec<Point>,
}

impl SweepAlpha {
    /// Sweeps, writes the requested files, prints.
    ///
    /// # Errors
    /// Arguments that do not fit together; budgets that no policy is within.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let files = Files::new(&self.out)?;
        anyhow::ensure!(
            self.from.is_finite() && self.to.is_finite() && self.from >= 0.0 && self.from < self.to,
            "--from {} --to {}: the first must be 0 or a positive number, the second a larger one",
            self.from,
            self.to
        );
        self.question.some_budget()?;
        let asked = self.question.ask(&self.question.budgets)?;
        let sweep = self.sweep(&asked)?;
        files.write(&sweep, || to_csv(&sweep), || Ok(picture(&sweep)))?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&sweep)?)?;
            tell_warnings(&sweep.warnings);
            return Ok(());
        }
        print(out, &sweep)?;
        for path in &self.out {
            writeln!(out, "written: {}", path.display())?;
        }
        Ok(())
    }

    /// The alpha of a step; `share` is its fraction of the sweep.
    fn alpha_at(&self, step: u16, share: f64) -> f64 {
        let ratio = self.to / self.from;
        match step {
            0 => self.from,
            _ if step + 1 == self.points => self.to,
            _ if self.from == 0.0 => self.to * share,
            _ if ratio.is_finite() => self.from * ratio.powf(share),
            _ => ((1.0 - share) * self.from.ln() + share * self.to.ln()).exp(),
        }
    }

    fn sweep(&self, asked: &Asked) -> anyhow::Result<Sweep> {
        let (instance, reference, reference_found) = asked.solve()?;
        let reference_policy = reference_found.policy;
        let mut near = instance.bits(&reference.picks);
        let mut previous = None;
        let mut points = vec![];
        for step in 0..self.points {
            let share = f64::from(step) / f64::from(self.points - 1);
            let alpha = self.alpha_at(step, share);
            let search = Search { alpha, ..asked.search() };
            let instance = search.instance()?;
            let solved = search.solve(&instance, asked.solver(), instance.picks(&near).as_deref());
            let solved = solved.map_err(|error| asked.explained(error))?;
            near = instance.bits(&solved.picks);
            let policy = search.found(&instance, &solved, asked.solver().name).policy;
            let [weight_indicators, act_indicators] = search.sums(&near).expect("the search read all of them");
            let [mean_weight_bits, mean_act_bits] = policy.mean_bits();
            points.push(Point {
                alpha,
                objective: solved.objective,
                weight_indicators,
                act_indicators,
                mean_weight_bits,
                mean_act_bits,
                layers_changed_from_previous: previous.as_ref().map(|previous| changed(previous, &policy).len()),
                layers_changed_from_reference: changed(&reference_policy, &policy).len(),
                proof: solved.proof,
                policy: policy.policy.clone(),
            });
            previous = Some(policy);
        }
        Ok(Sweep {
            model: asked.graph.model.clone(),
            reference_alpha: asked.alpha,
            accounting: reference_found.accounting,
            rising_indicators: asked.rising,
            warnings: reference_found.warnings,
            solver: asked.solver().name.to_owned(),
            budgets: self.question.budgets.iter().map(ToString::to_string).collect(),
            points,
        })
    }
}

fn print(out: &mut dyn Write, sweep: &Sweep) -> anyhow::Result<()> {
    let reference = format!(">layers changed from alpha {}", sweep.reference_alpha);
    let mut rows = table(&[
        ">alpha",
        ">objective",
        ">weight indicators",
        ">activation indicators",
        ">mean w bits",
        ">mean a bits",
        ">layers changed from the row above",
        &reference,
        "proof",
    ]);
    for point in &sweep.points {
        rows.add_row([
            figure(point.alpha),
            format!("{:.6}", point.objective),
            figure(point.weight_indicators),
            figure(point.act_indicators),
            format!("{:.2}", point.mean_weight_bits),
            format!("{:.2}", point.mean_act_bits),
            point.layers_changed_from_previous.map(|layers| layers.to_string()).unwrap_or_default(),
            point.layers_changed_from_reference.to_string(),
            point.proof.status.to_string(),
        ]);
    }
    writeln!(out, "{rows}\n")?;
    writeln!(out, "objectives at different alphas cannot be compared; the sums of indicators can")?;
    writeln!(out, "{} layers, {}, by {}", sweep.points[0].policy.len(), sweep.budgets.join(", "), sweep.solver)?;
    if sweep.points.iter().any(|point| point.proof.status != Status::Optimal) {
        writeln!(out, "not every answer is proven optimal; some changes may be due to the solver")?;
    }
    writeln!(out, "accounting: {}", sweep.accounting)?;
    writeln!(out, "rising indicators: {}", sweep.rising_indicators)?;
    print_warnings(out, &sweep.warnings)?;
    Ok(())
}

fn to_csv(sweep: &Sweep) -> anyhow::Result<String> {
    let headings = [
        "alpha",
        "objective",
        "weight_indicators",
        "act_indicators",
        "mean_weight_bits",
        "mean_act_bits",
        "layers_changed_from_previous",
        "layers_changed_from_reference",
        "status",
    ];
    let layers = sweep.points[0].policy.iter().map(|bits| bits.layer.clone());
    let headings: Vec<String> = headings.into_iter().map(str::to_owned).chain(layers).collect();
    let row = |point: &Point| {
        let numbers = [point.alpha, point.objective, point.weight_indicators, point.act_indicators];
        let mut row: Vec<String> =
            numbers.into_iter().chain([point.mean_weight_bits, point.mean_act_bits]).map(|v| v.to_string()).collect();
        row.push(point.layers_changed_from_previous.map(|layers| layers.to_string()).unwrap_or_default());
        row.extend([point.layers_changed_from_reference.to_string(), point.proof.status.to_string()]);
        row.extend(point.policy.iter().map(|l| Precision { weight: l.weight_bits, act: l.act_bits }.to_string()));
        row
    };
    files::csv(&headings, sweep.points.iter().map(row))
}

fn picture(sweep: &Sweep) -> Picture {
    let curve = |name: &str, value: fn(&Point) -> f64| Curve {
        name: name.to_owned(),
        look: Look::Line,
        points: sweep.points.iter().map(|point| (point.alpha, value(point))).collect(),
        labels: vec![],
    };
    Picture::Curves {
        title: format!("{} within {}, accounting {}", sweep.model, sweep.budgets.join(", "), sweep.accounting),
        axes: ["alpha (weight of the weights' indicators)", "bits, mean over layers"].map(str::to_owned),
        log_x: sweep.points[0].alpha > 0.0,
        curves: vec![
            curve("weight bits", |point| point.mean_weight_bits),
            curve("activation bits", |point| point.mean_act_bits),
        ],
    }
}

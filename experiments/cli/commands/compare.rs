//! `limpq compare`: two policies side by side.

use super::{
    Network, Settings, accounting,
    belongs::{Recorded, assumption, print_warnings, tell_warnings},
    table::{figure, table},
};
use anyhow::Context;
use limpq_core::{
    graph::Graph,
    registry,
    search::{
        Accounting, Changed, Constraints, CostModel, CostTable, DEFAULT_ALPHA, Indicators, Policy, PolicyError,
        Precision, RisingIndicators, Rules, Search, SearchError, changed,
    },
};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `limpq compare`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// A policy: this program's JSON, CSV, or LIMPQ's bit lists (those need a model)
    a: PathBuf,
    /// Another policy for the same layers
    b: PathBuf,
    /// Name of the model that they are for [default: from the files]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    network: Network,
    /// A cost to compare; may be repeated [default with --model: bitops and size]
    #[arg(long, value_name = "COST")]
    cost: Vec<String>,
    /// Importance indicators, to compare objectives
    #[arg(long, value_name = "FILE")]
    indicators: Option<PathBuf>,
    /// Weight of the weights' indicators relative to the activations' [default: from the indicators' file, else 2]
    #[arg(long, allow_negative_numbers = true)]
    alpha: Option<f64>,
    /// How costs are counted
    #[arg(long, default_value = "exact", value_parser = accounting())]
    accounting: Accounting,
    /// An option of the model or of a cost, such as model.width=8
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// List every layer, not only those that differ
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A cost of both policies.
#[derive(Serialize)]
struct Costs {
    name: String,
    unit: &'static str,
    a: Option<f64>,
    b: Option<f64>,
}

/// Both policies, with their costs and objectives.
#[derive(Serialize)]
struct Report {
    layers: usize,
    differ: Vec<Changed>,
    mean_weight_bits: [f64; 2],
    mean_act_bits: [f64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    accounting: Option<Accounting>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    costs: Vec<Costs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objectives: Option<[Option<f64>; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Compare {
    /// Reads both, prints.
    ///
    /// # Errors
    /// Policies that cannot be read, or that are for different layers or networks.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut settings = Settings::new(&self.set)?;
        let (options, costs) = (settings.take("model")?, Settings::from(settings.take("cost")?));
        settings.finish(&["model", "cost.NAME"])?;
        let indicators = self.indicators.as_ref().map(|path| Indicators::read(path)).transpose()?;
        let (graph, mut assumed) = self.graph(&options, indicators.as_ref())?.unzip();
        let indicators = match &graph {
            Some(graph) => indicators.map(|file| file.in_names_of(graph)).transpose()?,
            None => indicators,
        };
        let read = |path: &Path| {
            Policy::read(path, graph.as_ref()).with_context(|| format!("{} cannot be compared", path.display()))
        };
        let a = read(&self.a)?;
        let b = self.in_order_of(&a, read(&self.b)?)?;
        let ([aw, aa], [bw, ba]) = (a.mean_bits(), b.mean_bits());
        let mut report = Report {
            layers: a.policy.len(),
            differ: changed(&a, &b),
            mean_weight_bits: [aw, bw],
            mean_act_bits: [aa, ba],
            accounting: graph.as_ref().map(|_| self.accounting),
            costs: vec![],
            alpha: None,
            objectives: None,
            warnings: vec![],
        };
        if let Some(graph) = &graph {
            let bits = [a.precisions(graph)?, b.precisions(graph)?];
            report.costs = self.costs(graph, &bits, costs)?;
            if let Some(indicators) = &indicators {
                let alpha = self.alpha.or(indicators.provenance.alpha).unwrap_or_else(|| {
                    assumed.get_or_insert_default().push(format!("alpha {DEFAULT_ALPHA}"));
                    DEFAULT_ALPHA
                });
                report.alpha = Some(alpha);
                report.objectives = Some(self.objectives(graph, &bits, indicators, alpha)?);
            }
        }
        let (a_shown, b_shown) = (self.a.display(), self.b.display());
        let files =
            self.indicators.as_ref().map_or(format!("{a_shown} or {b_shown}"), |path| path.display().to_string());
        report.warnings.extend(assumption(&files, &assumed.unwrap_or_default()));
        report.warnings.extend(indicators.iter().flat_map(Indicators::audit));
        match self.json {
            true => {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
                tell_warnings(&report.warnings);
            }
            false => self.print(out, &a, &b, &report)?,
        }
        Ok(())
    }

    /// The graph of both policies, if one is asked for or needed and a model is known; and what was assumed about it.
    fn graph(
        &self,
        options: &toml::Table,
        indicators: Option<&Indicators>,
    ) -> anyhow::Result<Option<(Graph, Vec<String>)>> {
        let named = |path: &Path| match Policy::read(path, None) {
            Ok(policy) => Ok(Some(policy)),
            Err(PolicyError::NeedsModel { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let policies = [named(&self.a)?, named(&self.b)?];
        let recorded = policies.iter().flatten().map(Recorded::from);
        let recorded: Vec<Recorded> = indicators.map(Recorded::from).into_iter().chain(recorded).collect();
        let network = recorded.iter().find(|file| file.network.is_some());
        let best = network.or_else(|| recorded.iter().find(|file| file.model.is_some())).copied().unwrap_or_default();
        let Network { input, classes } = &self.network;
        let asked = self.model.is_some()
            || indicators.is_some()
            || !self.cost.is_empty()
            || !self.set.is_empty()
            || input.is_some()
            || classes.is_some();
        let lists = policies.iter().any(Option::is_none) && best.model.is_some();
        if asked || lists {
            let files = format!("{} or {}", self.a.display(), self.b.display());
            return self.network.recorded(&files, self.model.as_deref(), options, best).map(Some);
        }
        if let [Some(a), Some(b)] = &policies
            && let (Some(one), Some(other)) = (&a.network, &b.network)
            && a.model == b.model
        {
            one.agrees(other)
                .with_context(|| format!("{} and {} are for different networks", self.a.display(), self.b.display()))?;
        }
        Ok(None)
    }

    /// The second policy in the order of the first one's layers.
    fn in_order_of(&self, a: &Policy, mut b: Policy) -> anyhow::Result<Policy> {
        let lacks = |one: &Policy, other: &Policy| {
            let missing = |name: &str| other.policy.iter().all(|bits| bits.layer != name);
            one.policy.iter().find(|bits| missing(&bits.layer)).map(|bits| bits.layer.clone())
        };
        let apart = |layer: String, has: &PathBuf, lacks: &PathBuf| {
            let (has, lacks) = (has.display(), lacks.display());
            anyhow::anyhow!(
                "layer {layer:?} is in {has} and not in {lacks}; only policies for the same layers can be compared"
            )
        };
        if let Some(layer) = lacks(a, &b) {
            return Err(apart(layer, &self.a, &self.b));
        }
        if let Some(layer) = lacks(&b, a) {
            return Err(apart(layer, &self.b, &self.a));
        }
        b.policy.sort_by_key(|bits| a.policy.iter().position(|other| other.layer == bits.layer));
        Ok(b)
    }

    fn costs(&self, graph: &Graph, bits: &[Vec<Precision>; 2], mut options: Settings) -> anyhow::Result<Vec<Costs>> {
        let default = ["bitops", "size"].map(str::to_owned);
        let names = if self.cost.is_empty() { &default[..] } else { &self.cost };
        let mut costs = vec![];
        for name in names {
            let cost = registry::build::<dyn CostModel>(name, &options.clone().take(name)?)?;
            cost.check(graph).with_context(|| format!("cost {name}"))?;
            let table = CostTable::new(name, cost.as_ref(), graph, bits.concat(), self.accounting);
            let of = |bits: &[Precision]| match table.unknown.is_empty() {
                true => table.total(bits.iter().copied()).map(|cost| table.printed(cost)),
                false => None,
            };
            costs.push(Costs { name: name.clone(), unit: table.unit.symbol(), a: of(&bits[0]), b: of(&bits[1]) });
        }
        for name in names {
            options.take(name)?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        options.finish(&names).context("an option is set for a cost that is not compared")?;
        Ok(costs)
    }

    fn objectives(
        &self,
        graph: &Graph,
        bits: &[Vec<Precision>; 2],
        indicators: &Indicators,
        alpha: f64,
    ) -> anyhow::Result<[Option<f64>; 2]> {
        indicators.check(graph, &[])?;
        if !(alpha.is_finite() && alpha >= 0.0) {
            return Err(SearchError::Alpha(alpha).into());
        }
        let rules = Rules::default();
        let constraints = Constraints {
            graph,
            candidates: &indicators.candidates,
            accounting: self.accounting,
            budgets: &[],
            rules: &rules,
        };
        let search = Search { constraints, indicators, alpha, rising: RisingIndicators::Allow };
        let of = |bits: &Vec<Precision>| search.sums(bits).map(|[weight, act]| act + alpha * weight);
        let objectives = [of(&bits[0]), of(&bits[1])];
        anyhow::ensure!(
            objectives.iter().flatten().all(|objective| objective.is_finite()),
            "the objective overflows a float: the indicators or alpha ({alpha}) are too large, or not finite"
        );
        Ok(objectives)
    }

    fn print(&self, out: &mut dyn Write, a: &Policy, b: &Policy, report: &Report) -> anyhow::Result<()> {
        let mut rows = table(&["layer", "a", "b", ">w bits b - a", ">a bits b - a"]);
        for (one, other) in a.policy.iter().zip(&b.policy).filter(|(one, other)| self.all || one != other) {
            let step = |a: u64, b: u64| if a == b { String::new() } else { format!("{:+}", b as i64 - a as i64) };
            rows.add_row([
                one.layer.clone(),
                Precision { weight: one.weight_bits, act: one.act_bits }.to_string(),
                Precision { weight: other.weight_bits, act: other.act_bits }.to_string(),
                step(one.weight_bits.get(), other.weight_bits.get()),
                step(one.act_bits.get(), other.act_bits.get()),
            ]);
        }
        if rows.row_count() > 0 {
            writeln!(out, "{rows}\n")?;
        }
        let shown = |value: Option<f64>| value.map_or("not known".to_owned(), figure);
        let mut rows = table(&["", ">a", ">b", ">b - a"]);
        let mut add = |name: String, [a, b]: [Option<f64>; 2]| {
            let difference = a.zip(b).map(|(a, b)| b - a);
            rows.add_row([name, shown(a), shown(b), difference.map(figure).unwrap_or_default()]);
        };
        add("mean weight bits of layers".to_owned(), report.mean_weight_bits.map(Some));
        add("mean activation bits of layers".to_owned(), report.mean_act_bits.map(Some));
        report.costs.iter().for_each(|cost| add(format!("{} ({})", cost.name, cost.unit), [cost.a, cost.b]));
        if let Some(objectives) = report.objectives {
            add(format!("objective (alpha {})", report.alpha.unwrap_or(DEFAULT_ALPHA)), objectives);
        }
        writeln!(out, "{rows}\n")?;
        writeln!(out, "a: {}", self.a.display())?;
        writeln!(out, "b: {}", self.b.display())?;
        writeln!(out, "{} of {} layers differ", report.differ.len(), report.layers)?;
        if let Some(accounting) = report.accounting {
            writeln!(out, "accounting: {accounting}")?;
        }
        print_warnings(out, &report.warnings)?;
        Ok(())
    }
}

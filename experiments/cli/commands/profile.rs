//! `limpq profile MODEL`: layers, multiply-accumulates, weights and costs of a network, before any search.

use super::{
    Network, Settings, accounting,
    table::{figure, table},
};
use limpq_core::graph::{Graph, Shape};
use limpq_core::registry;
use limpq_core::search::{Accounting, CostModel, CostTable, Precision};
use serde::Serialize;
use std::{collections::BTreeMap, io::Write};

/// Cost models whose totals are shown, if they are registered.
const COSTS: [&str; 2] = ["bitops", "size"];
/// Uniform policies whose totals are shown; in the row of 32 bits stem and classifier have 32 bits, too.
const PRECISIONS: [&str; 2] = ["w8a8", "w4a4"];
const FULL: &str = "w32a32";

/// Arguments of `limpq profile`.
#[derive(Debug, clap::Args)]
pub struct Profile {
    /// Name of the model (see `limpq list model`), or the path of an ONNX file
    model: String,
    #[command(flatten)]
    network: Network,
    /// How costs are counted
    #[arg(long, default_value = "exact", value_parser = accounting())]
    accounting: Accounting,
    /// An option of the model, such as width=8 (see `limpq show model NAME`)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    model: String,
    input: Shape,
    classes: usize,
    accounting: Accounting,
    layers: Vec<Row>,
    totals: Totals,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    macs: u64,
    weights: u64,
    in_shape: Shape,
    out_shape: Shape,
    searchable: bool,
    #[serde(skip)]
    kept: Option<String>,
}

#[derive(Serialize)]
struct Totals {
    layers: usize,
    searchable: usize,
    macs: u64,
    weights: u64,
    biases: u64,
    batch_norm_numbers: u64,
    step_sizes: usize,
    costs: Vec<Cost>,
}

/// Totals of one cost at uniform precisions.
#[derive(Serialize)]
struct Cost {
    name: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    at: BTreeMap<&'static str, f64>,
}

impl Profile {
    /// Prints the layers and the totals.
    ///
    /// # Errors
    /// An unknown model or option, or an input that does not fit.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut settings = Settings::new(&self.set)?;
        // `limpq search` calls them model.width and so on; both forms are accepted here.
        let mut options = settings.take("model")?;
        options.extend(settings.into_table());
        let graph = self.network.graph(&self.model, &options)?;
        let report = self.report(&graph)?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(());
        }
        report.print(out)
    }

    fn report(&self, graph: &Graph) -> anyhow::Result<Report> {
        let rows = graph.layers().into_iter().map(|layer| Row {
            macs: self.accounting.macs(&layer),
            kept: layer.fixed.then(|| layer.fixed_text()),
            name: layer.name,
            kind: layer.kind,
            weights: layer.weights,
            in_shape: layer.in_shape,
            out_shape: layer.out_shape,
            searchable: !layer.fixed,
        });
        let layers: Vec<Row> = rows.collect();
        let totals = Totals {
            layers: layers.len(),
            searchable: layers.iter().filter(|layer| layer.searchable).count(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            weights: layers.iter().map(|layer| layer.weights).sum(),
            biases: graph.biases(),
            batch_norm_numbers: graph.other_parameters(),
            step_sizes: 2 * layers.len(),
            costs: self.costs(graph)?,
        };
        Ok(Report {
            remarks: graph.remarks.clone(),
            model: graph.model.clone(),
            input: graph.input,
            classes: graph.classes,
            accounting: self.accounting,
            layers,
            totals,
        })
    }

    fn costs(&self, graph: &Graph) -> anyhow::Result<Vec<Cost>> {
        let mut costs = vec![];
        for name in COSTS {
            let Ok(entry) = registry::find::<dyn CostModel>(name) else { continue };
            let model = registry::build::<dyn CostModel>(entry.name, &toml::Table::new())?;
            let precisions = PRECISIONS.map(|text| (text, text.parse::<Precision>().expect("a constant that is one")));
            let bits = precisions.iter().map(|&(_, bits)| bits);
            let table = CostTable::new(name, model.as_ref(), graph, bits, self.accounting);
            let totals = precisions.iter().map(|&(text, bits)| (text, table.uniform(bits)));
            let totals = totals.chain([(FULL, table.at_32_bits())]);
            let known = |cost: Option<u64>| cost.expect("these costs are formulas, which know every layer");
            let at = totals.map(|(text, cost)| (text, table.printed(known(cost)))).collect();
            costs.push(Cost { name, unit: table.unit.symbol(), at });
        }
        Ok(costs)
    }
}

impl Report {
    fn print(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self { model, input, classes, accounting, totals, .. } = self;
        writeln!(out, "{model}, {input} images, {classes} classes, {accounting} accounting\n")?;
        let mut rows = table(&["layer", "kind", ">in", ">out", ">MACs", ">weights", "searchable"]);
        rows.add_rows(self.layers.iter().map(|layer| {
            [
                layer.name.clone(),
                layer.kind.to_owned(),
                layer.in_shape.to_string(),
                layer.out_shape.to_string(),
                layer.macs.to_string(),
                layer.weights.to_string(),
                layer.kept.as_ref().map_or("yes".to_owned(), |bits| format!("no, {bits}")),
            ]
        }));
        writeln!(out, "{rows}\n")?;
        let mut rows = table(&["total", ">"]);
        rows.add_row(["layers", &totals.layers.to_string()]);
        rows.add_row(["searchable layers", &totals.searchable.to_string()]);
        rows.add_row(["MACs", &totals.macs.to_string()]);
        rows.add_row(["weights", &totals.weights.to_string()]);
        rows.add_row(["biases, not quantized", &totals.biases.to_string()]);
        rows.add_row(["other parameters (batch-norm), not quantized", &totals.batch_norm_numbers.to_string()]);
        rows.add_row(["step sizes, one per tensor", &totals.step_sizes.to_string()]);
        writeln!(out, "{rows}\n")?;
        for remark in &self.remarks {
            writeln!(out, "note: {remark}\n")?;
        }
        if totals.costs.is_empty() {
            return Ok(());
        }
        let mut rows = table(&["cost", ">w8a8", ">w4a4", ">32x32", "unit"]);
        rows.add_rows(totals.costs.iter().map(|cost| {
            let at = |precision| figure(cost.at[precision]);
            [cost.name.to_owned(), at(PRECISIONS[0]), at(PRECISIONS[1]), at(FULL), cost.unit.to_owned()]
        }));
        writeln!(out, "{rows}\naccounting: {accounting}")?;
        Ok(())
    }
}

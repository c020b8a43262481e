//! `limpq check`: whether a config can be run, without running it.

use anyhow::Context;
use clap::Args;
use limpq_core::{
    graph::Model,
    run::Config,
    search::Solver,
    train::{Bench, Nowhere, Plan, Quantizer, start_threads},
};
use std::{io::Write, path::PathBuf, sync::Arc};

/// Read a config, open its data and lay out its network, without training anything. Given weights that are taken as they are
/// are tried on a batch.
#[derive(Args, Debug)]
pub struct Check {
    /// The experiment's TOML file.
    config: PathBuf,
    /// A value that replaces the file's, such as search.alpha=1.5; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Check {
    /// Prints the resolved config and what it amounts to.
    ///
    /// # Errors
    /// Whatever would stop the run before its first stage.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let config = Config::read(&self.config, &self.set)?;
        start_threads()?;
        let data = config.data()?;
        let model = config.model.build::<dyn Model>()?;
        let graph = model.graph(data.shape, data.classes).context("[model] does not fit the data")?;
        let budgets = config.budgets()?;
        let rules = config.search.rules().map_err(|(key, error)| anyhow::anyhow!("{key}: {error}"))?;
        let constraints = config.constraints(&graph, &budgets, &rules);
        constraints.preflight(config.solver.build::<dyn Solver>()?.as_ref())?;
        let weights = config.weights.as_ref().map(|weights| weights.load(&graph, config.seed)).transpose()?;
        let stated = constraints.state()?;
        let devices = config.device.open(config.mixed_precision())?;
        if let (Some(weights), 0) = (&weights, config.pretrain.epochs) {
            let bench = Bench {
                data: &data,
                device: &devices[0],
                others: &[],
                seed: config.seed,
                workers: config.split.workers(),
                progress: &(),
                cancel: None,
                checkpoints: &Nowhere,
            };
            let quantizer: Arc<dyn Quantizer> = config.quantizer.build::<dyn Quantizer>()?.into();
            let plan = Plan::full_precision(Arc::new(graph.clone()), quantizer);
            bench.check_finite("the given network", &plan, &weights.state, config.indicators.batch_size)?;
        }
        write!(out, "{}", config.to_toml())?;
        writeln!(out)?;
        let (train, test) = (data.train.len(), data.test.len());
        let held = data.validation.map(|held| format!(", {} validation", held.len())).unwrap_or_default();
        writeln!(
            out,
            "# data: {train} training{held} and {test} test images of {}, {} classes",
            data.shape, data.classes
        )?;
        for remark in &data.remarks {
            writeln!(out, "# note: {remark}")?;
        }
        let (all, searched) = (graph.layers().len(), graph.searchable().len());
        writeln!(out, "# network: {all} layers, bits are searched for {searched} of them")?;
        if let Some(weights) = weights {
            writeln!(out, "# weights: {} tensors fit, SHA-256 of the file {}", weights.state.0.len(), weights.sha256)?;
            if let Some(remark) = model.weights_remark() {
                writeln!(out, "# note: {remark}")?;
            }
        }
        for ((budget, table), limits) in budgets.iter().zip(&stated.tables).zip(&stated.limits) {
            let number = |cost: u64| format!("{:.6} {}", table.printed(cost), table.unit.symbol());
            let least = limits.least.map(|least| format!("at least {}, ", number(least))).unwrap_or_default();
            let most = limits.most.map(|most| format!("at most {}", number(most))).unwrap_or_default();
            let full = table.at_32_bits().map(|full| format!("; at 32 bits {}", number(full))).unwrap_or_default();
            writeln!(out, "# budget {}: {least}{most}{full}", budget.text)?;
        }
        writeln!(out, "# ok: limpq run {} --out DIR", self.config.display())?;
        Ok(())
    }
}

//! `limpq check`: whether a config can be run, without running it.

use anyhow::Context;
use clap::Args;
use limpq_core::{
    run::Config,
    search::{Budget, CostTable, Search},
    train::{Dataset, Model},
};
use std::{io::Write, path::PathBuf};

/// Read a config, open its data and lay out its network, without training anything.
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
        let data = config.dataset.build::<dyn Dataset>()?.load()?;
        let graph = config
            .model
            .build::<dyn Model>()?
            .graph(data.shape, data.classes)
            .context("[model] does not fit the data")?;
        let budgets = config.budgets()?;
        Search::preflight(&graph, &config.bits, config.search.accounting, &budgets)?;
        let weights = config.weights.as_ref().map(|weights| weights.load(&graph, config.seed)).transpose()?;
        write!(out, "{}", config.to_toml())?;
        writeln!(out)?;
        let (train, test) = (data.train.len(), data.test.len());
        writeln!(out, "# data: {train} training and {test} test images of {}, {} classes", data.shape, data.classes)?;
        let (all, searched) = (graph.layers().len(), graph.searchable().len());
        writeln!(out, "# network: {all} layers, bits are searched for {searched} of them")?;
        if let Some(weights) = weights {
            writeln!(out, "# weights: {} tensors fit, SHA-256 of the file {}", weights.state.0.len(), weights.sha256)?;
        }
        for Budget { text, cost } in budgets {
            let precisions = config.bits.pairs().chain(text.precision());
            let table = CostTable::new(&text.name, cost.as_ref(), &graph, precisions, config.search.accounting);
            let (limit, full) = (table.printed(text.limit(&table)?), table.printed(table.at_32_bits()));
            writeln!(out, "# budget {text}: {limit:.6} {}; at 32 bits {full:.6}", table.unit.symbol())?;
        }
        writeln!(out, "# ok: limpq run {} --out DIR", self.config.display())?;
        Ok(())
    }
}

//! `limpq check`: checks a config, and lists which of its stages have to run.

use super::table::table;
use clap::Args;
use limpq_core::{
    run::{Config, Setup, StageState, report_stages},
    train::{NoCheckpoints, Plan, TrainContext},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Check a config, its data and its network, and list its stages, without training anything. Given weights that are
/// used without training are tested on a batch.
#[derive(Args, Debug)]
pub struct Check {
    /// The experiment's TOML file.
    config: PathBuf,
    /// A value that overrides the file's, such as search.alpha=1.5; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder, to see which stages are finished [default: runs/NAME]. Nothing is changed there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Check {
    /// Prints the resolved config and a summary of the run.
    ///
    /// # Errors
    /// Whatever would stop the run before its first stage.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let config = Config::read(&self.config, &self.set)?;
        let setup = Setup::new(&config, &())?;
        let Setup { data, graph, budgets, .. } = &setup;
        let compiled = setup.constraints().compile()?;
        if let (Some(weights), 0) = (&setup.weights, config.pretrain.epochs) {
            let train = TrainContext {
                data,
                device: &setup.devices[0],
                others: &[],
                seed: config.seed,
                workers: config.split.workers(),
                progress: &(),
                cancel: None,
                checkpoints: &NoCheckpoints,
            };
            let plan = Plan::full_precision(graph.clone(), setup.quantizer.clone());
            train.check_finite("the given network", &plan, &weights.state, config.indicators.batch_size)?;
        }
        write!(out, "{}", config.to_toml())?;
        writeln!(out)?;
        let (train, test) = (data.train.len(), data.test.len());
        let held = data.validation.as_ref().map(|held| format!(", {} validation", held.len())).unwrap_or_default();
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
        for remark in &graph.remarks {
            writeln!(out, "# note: {remark}")?;
        }
        if let Some(weights) = &setup.weights {
            writeln!(out, "# weights: {} tensors fit, SHA-256 of the file {}", weights.state.0.len(), weights.sha256)?;
            if let Some(remark) = setup.model.weights_remark() {
                writeln!(out, "# note: {remark}")?;
            }
        }
        for ((budget, table), limits) in budgets.iter().zip(&compiled.tables).zip(&compiled.limits) {
            let number = |cost: u64| format!("{:.6} {}", table.printed(cost), table.unit.symbol());
            let least = limits.least.map(|least| format!("at least {}, ", number(least))).unwrap_or_default();
            let most = limits.most.map(|most| format!("at most {}", number(most))).unwrap_or_default();
            let full = table.at_32_bits().map(|full| format!("; at 32 bits {}", number(full))).unwrap_or_default();
            writeln!(out, "# budget {}: {least}{most}{full}", budget.text)?;
        }
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
        print_stages(out, &setup, &folder)?;
        let place = self.out.as_ref().map_or_else(|| "DIR".to_owned(), |folder| folder.display().to_string());
        writeln!(out, "# ok: limpq run {} --out {place}", self.config.display())?;
        Ok(())
    }
}

/// Prints each stage with what it reads and writes, and whether it has to run.
fn print_stages(out: &mut dyn Write, setup: &Setup, folder: &Path) -> anyhow::Result<()> {
    let mut rows = table(&["stage", "what it does", "reads", "writes", "state"]);
    for stage in report_stages(setup, folder)? {
        let state = match stage.state {
            StageState::Done => "done".to_owned(),
            StageState::ToRun => "to run".to_owned(),
            StageState::NotAskedFor => "not in the config".to_owned(),
            StageState::Damaged(why) => format!("damaged: {why}"),
        };
        rows.add_row([stage.name, stage.does.to_owned(), stage.reads.join(" "), stage.leaves.join(" "), state]);
    }
    writeln!(out, "# stages of a run in {}:", folder.display())?;
    rows.to_string().lines().try_for_each(|line| writeln!(out, "# {line}"))?;
    Ok(())
}

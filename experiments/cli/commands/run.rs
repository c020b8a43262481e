//! `limpq run`: every stage of an experiment, and the table that compares its networks.

use super::{
    belongs::print_warnings,
    table::{figure, gap, table},
};
use crate::observers::{LogOptions, Observers, listen};
use clap::Args;
use limpq_core::{
    run::{Config, Place, Summary, run_in},
    search::Status,
    train::Score,
};
use std::{io::Write, path::PathBuf};

/// Train, search, fine-tune and evaluate as a config says.
///
/// All results are in one folder: the config with every default, the versions, and the artifacts of each stage. The
/// same command again reuses finished stages; a folder with results of another config, another budget included, is
/// refused.
#[derive(Args, Debug)]
pub struct Run {
    /// The experiment's TOML file.
    config: PathBuf,
    /// A value that overrides the file's, such as search.alpha=1.5; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace results of another config, and damaged ones: results that still fit are kept, and earlier ones stay
    /// until all new ones exist.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    logs: LogOptions,
}

impl Run {
    /// Runs the stages and prints the summary.
    ///
    /// # Errors
    /// Faulty configs, unreadable data, training that diverges, budgets that no policy is within, a full disk; plots
    /// that could not be drawn, after everything else is done.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let config = Config::read(&self.config, &self.set)?;
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
        let cancel = listen()?;
        let place = Place { folder: &folder, others: &[], replace: self.replace };
        let observers = Observers::new(&folder, self.logs);
        let summary = run_in(&config, place, &observers, &cancel)?;
        print(out, &summary)?;
        writeln!(out, "\neverything is in {}", folder.display())?;
        observers.check()
    }
}

fn print(out: &mut dyn Write, summary: &Summary) -> anyhow::Result<()> {
    let mut bits = table(&["layer", ">weight bits", ">activation bits"]);
    for layer in &summary.policy.policy {
        bits.add_row([layer.layer.clone(), layer.weight_bits.to_string(), layer.act_bits.to_string()]);
    }
    writeln!(out, "{bits}\n")?;
    let used: Vec<String> = summary.budgets.iter().map(|budget| format!(">{}, {}", budget.name, budget.unit)).collect();
    let mut head = vec!["network", ">top-1", ">top-5", ">loss"];
    head.extend(used.iter().map(String::as_str));
    head.push(">objective");
    let mut networks = table(&head);
    for network in &summary.networks {
        let Score { accuracy, top5, loss, images, .. } = network.score;
        let mut row = vec![network.name.clone(), share(accuracy, images), share(top5, images), format!("{loss:.4}")];
        row.extend(network.used.iter().map(|&used| used.map_or("not known".into(), figure)));
        row.push(network.objective.map_or("-".into(), figure));
        networks.add_row(row);
    }
    let mut limits = vec!["(budget)".to_owned(), String::new(), String::new(), String::new()];
    limits.extend(summary.budgets.iter().map(|budget| budget.limit.map(figure).unwrap_or_default()));
    networks.add_row(limits);
    writeln!(out, "{networks}\n")?;
    let (proof, accounting) = (&summary.proof, summary.accounting);
    let proven = match proof.status {
        Status::Optimal => "proven optimal for the indicators".to_owned(),
        Status::Stopped => format!("stopped by a limit, at most {} above the optimum", gap(proof.gap, 3)),
        Status::Heuristic => format!("without proof, at most {} above the optimum", gap(proof.gap, 3)),
    };
    writeln!(
        out,
        "policy from {} ({proven}), alpha {}, accounting {accounting}, seed {}, {} test images",
        summary.sensitivity,
        summary.alpha,
        summary.seed,
        summary.networks.first().map_or(0, |network| network.score.images)
    )?;
    let anew = summary.networks.iter().map(|network| network.score.batch_norm_images).max().unwrap_or(0);
    if anew > 0 {
        writeln!(out, "batch-norm statistics were re-estimated on {anew} training images before each evaluation")?;
    }
    if let Some(refined) = &summary.refined {
        let kept = if refined.swaps.is_empty() { "no swap helped".to_owned() } else { refined.swaps.join("; ") };
        writeln!(
            out,
            "refined by {} measurements of the loss, {:.4} before and {:.4} after: {kept}",
            refined.evaluations, refined.loss_before, refined.loss_after
        )?;
    }
    print_warnings(out, &summary.warnings)?;
    if !summary.networks.iter().any(|network| network.name.starts_with("uniform")) {
        writeln!(out, "no uniform policy is within these budgets, so there is no baseline")?;
    }
    Ok(())
}

/// A fraction of the images with its standard error, so that a difference within chance is not mistaken for more.
fn share(share: f64, images: usize) -> String {
    let error = (share * (1.0 - share) / images.max(1) as f64).sqrt();
    format!("{:.2} % ± {:.2}", 100.0 * share, 100.0 * error)
}

//! `limpq run`: every stage of an experiment, and the table that compares its networks.

use super::table::{figure, table};
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use limpq_core::{
    run::{Config, Summary},
    search::Status,
    train::{Progress, Score, Step},
};
use std::{
    cell::RefCell,
    io::Write,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

/// Train, search, fine-tune and evaluate as a config says.
///
/// Everything lands in one folder: the config with every default, the versions, and an artifact for each stage. The same
/// command again takes finished stages from there.
#[derive(Args, Debug)]
pub struct Run {
    /// The experiment's TOML file.
    config: PathBuf,
    /// A value that replaces the file's, such as search.alpha=1.5; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder; runs/NAME if not given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Run {
    /// Runs the stages and prints the summary.
    ///
    /// # Errors
    /// Faulty configs, unreadable data, training that diverges, budgets out of reach, a full disk.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let config = Config::read(&self.config, &self.set)?;
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&config.name));
        listen()?;
        let summary = limpq_core::run::run(&config, &folder, &Bars::default())?;
        print(out, &summary)?;
        writeln!(out, "\neverything is in {}", folder.display())?;
        Ok(())
    }
}

fn print(out: &mut dyn Write, summary: &Summary) -> anyhow::Result<()> {
    let mut bits = table(&["layer", ">weight bits", ">activation bits"]);
    for layer in &summary.policy.policy {
        bits.add_row([layer.layer.clone(), layer.weight_bits.to_string(), layer.act_bits.to_string()]);
    }
    writeln!(out, "{bits}\n")?;
    let used: Vec<String> = summary.budgets.iter().map(|budget| format!(">{}, {}", budget.name, budget.unit)).collect();
    let mut head = vec!["network", ">accuracy", ">loss"];
    head.extend(used.iter().map(String::as_str));
    head.push(">objective");
    let mut networks = table(&head);
    for entrant in &summary.entrants {
        let mut row = vec![entrant.name.clone(), accuracy(entrant.score), format!("{:.4}", entrant.score.loss)];
        row.extend(entrant.used.iter().map(|&used| used.map_or("not known".into(), figure)));
        row.push(entrant.objective.map_or("-".into(), figure));
        networks.add_row(row);
    }
    let mut limits = vec!["(budget)".to_owned(), String::new(), String::new()];
    limits.extend(summary.budgets.iter().map(|budget| budget.limit.map(figure).unwrap_or_default()));
    networks.add_row(limits);
    writeln!(out, "{networks}\n")?;
    let (proof, accounting) = (&summary.proof, summary.accounting);
    let proven = match proof.status {
        Status::Optimal => "proven optimal".to_owned(),
        Status::Stopped => format!("stopped by a limit, at most {:.3} % above the optimum", 100.0 * proof.gap),
        Status::Heuristic => format!("without proof, at most {:.3} % above the optimum", 100.0 * proof.gap),
    };
    writeln!(
        out,
        "policy from {} ({proven}), alpha {}, accounting {accounting}, seed {}, {} test images",
        summary.sensitivity,
        summary.alpha,
        summary.seed,
        summary.entrants.first().map_or(0, |entrant| entrant.score.images)
    )?;
    if let Some(refined) = &summary.refined {
        let kept = if refined.swaps.is_empty() { "no swap helped".to_owned() } else { refined.swaps.join("; ") };
        writeln!(
            out,
            "refined by {} measurements of the loss, {:.4} before and {:.4} after: {kept}",
            refined.evaluations, refined.loss_before, refined.loss_after
        )?;
    }
    if !summary.entrants.iter().any(|entrant| entrant.name.starts_with("uniform")) {
        writeln!(out, "no uniform policy keeps these budgets, so none stands beside it")?;
    }
    Ok(())
}

/// Accuracy with its standard error, so that a difference within chance is not taken for more.
fn accuracy(score: Score) -> String {
    let share = score.accuracy;
    let error = (share * (1.0 - share) / score.images.max(1) as f64).sqrt();
    format!("{:.2} % ± {:.2}", 100.0 * share, 100.0 * error)
}

/// A progress bar for each long stage; plain lines when the output is no terminal.
#[derive(Default)]
pub(super) struct Bars(RefCell<Option<ProgressBar>>);

impl Progress for Bars {
    fn start(&self, stage: &str, steps: usize, done: usize) {
        let style = ProgressStyle::with_template("{prefix:>18} {bar:32} {pos}/{len} {msg} {eta} left");
        let style = style.expect("the template is a constant that parses");
        let bar = ProgressBar::new(steps as u64).with_style(style).with_prefix(stage.to_owned());
        bar.set_position(done as u64);
        bar.reset_eta();
        match (bar.is_hidden(), done) {
            (true, 0) => eprintln!("{stage}: {steps} steps"),
            (true, _) => eprintln!("{stage}: {steps} steps, going on after step {done}"),
            (false, _) => {}
        }
        self.0.replace(Some(bar));
    }

    fn step(&self, step: &Step) {
        self.note(&format!("loss {:.3}", step.loss()));
    }

    fn note(&self, note: &str) {
        if let Some(bar) = self.0.borrow().as_ref() {
            bar.set_message(note.to_owned());
            bar.inc(1);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.0.take() {
            if bar.is_hidden() {
                eprintln!("{}: done, {}, {:.0} s", bar.prefix(), bar.message(), bar.elapsed().as_secs_f64());
            }
            bar.abandon();
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The first Ctrl-C ends the run after the current step, the second one at once.
pub(super) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nfinishing this step, then saving; Ctrl-C again ends at once");
    })
    .context("cannot listen for Ctrl-C")
}

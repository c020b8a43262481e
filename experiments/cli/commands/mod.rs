//! The commands of `limpq`, one file each. A new command is a file, and a variant of [`Command`].

mod arguments;
mod belongs;
mod build;
#[cfg(feature = "train")]
mod check;
mod compare;
mod files;
mod hints;
mod kinds;
mod latency_check;
mod latency_template;
mod list;
mod pareto;
#[cfg(feature = "train")]
mod plot;
mod profile;
mod question;
#[cfg(feature = "train")]
mod run;
mod search;
mod show;
mod stability;
#[cfg(feature = "train")]
mod study;
mod sweep_alpha;
mod table;
mod unread;

pub use arguments::{Network, Settings, accounting, named, rising_indicators};
#[cfg(feature = "train")]
pub use check::Check;
pub use compare::Compare;
pub use kinds::{PluginKind, Registered};
pub use latency_check::LatencyCheck;
pub use latency_template::LatencyTemplate;
pub use list::List;
pub use pareto::Pareto;
#[cfg(feature = "train")]
pub use plot::Plot;
pub use profile::Profile;
#[cfg(feature = "train")]
pub use run::Run;
pub use search::Search;
pub use show::Show;
pub use stability::Stability;
#[cfg(feature = "train")]
pub use study::Study;
pub use sweep_alpha::SweepAlpha;

use clap::Parser;
use limpq_core::escape::{Escaped, escaped};
use limpq_core::registry::{self, RegistryError};
use std::io::{self, Write};
use std::process::ExitCode;

/// Mixed-precision quantization: learned importance indicators, one integer program, fine-tuning.
#[derive(Debug, Parser)]
#[command(name = "limpq", version, long_version = build::long_version(), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command of `limpq`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the plugins: quantizers, models, costs, solvers, sensitivities, data sets
    List(List),
    /// Show one plugin: what it is, where its source is, its options
    Show(Show),
    /// Count a network's layers, multiply-accumulates, weights and costs
    Profile(Profile),
    /// Find the bits of every layer that lose least within the budgets
    Search(Search),
    /// Sweep one or two budgets: the best policy at every limit of a range
    Pareto(Pareto),
    /// Sweep alpha, the weight of the weights' indicators relative to the activations'
    SweepAlpha(SweepAlpha),
    /// Find the layers whose bits depend on noise in the indicators
    Stability(Stability),
    /// Compare two policies
    Compare(Compare),
    /// Write the file to fill in with latencies measured on a device
    LatencyTemplate(LatencyTemplate),
    /// Check a file of measured latencies
    LatencyCheck(LatencyCheck),
    /// Check a config and summarise its run, without training anything
    #[cfg(feature = "train")]
    Check(Check),
    /// Train, search, fine-tune and evaluate as a config says
    #[cfg(feature = "train")]
    Run(Run),
    /// Run several variants with several seeds and put them into one table
    #[cfg(feature = "train")]
    Study(Study),
    /// Plot loss and step sizes of a run
    #[cfg(feature = "train")]
    Plot(Plot),
}

impl Command {
    /// Runs the command; results go to `out`.
    ///
    /// An error that is a bare [`io::Error`] comes from `out`: errors of files are typed and name the file.
    ///
    /// # Errors
    /// Whatever stops the command, in words for users.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(out),
            Self::Show(show) => show.run(out),
            Self::Profile(profile) => profile.run(out),
            Self::Search(search) => search.run(out),
            Self::Pareto(pareto) => pareto.run(out),
            Self::SweepAlpha(sweep) => sweep.run(out),
            Self::Stability(stability) => stability.run(out),
            Self::Compare(compare) => compare.run(out),
            Self::LatencyTemplate(template) => template.run(out),
            Self::LatencyCheck(check) => check.run(out),
            #[cfg(feature = "train")]
            Self::Check(check) => check.run(out),
            #[cfg(feature = "train")]
            Self::Run(run) => run.run(out),
            #[cfg(feature = "train")]
            Self::Study(study) => study.run(out),
            #[cfg(feature = "train")]
            Self::Plot(plot) => plot.run(out),
        }
    }
}

/// The program: parses the arguments, runs the command, reports errors on stderr.
///
/// Exits with 1 if the command fails and with 2 if its arguments are invalid. A reader that closes the pipe early
/// (`limpq list | head -1`) is not a failure.
pub fn main() -> ExitCode {
    build::build().record();
    let mut hint = None;
    let result = match Cli::try_parse() {
        Ok(cli) => {
            belongs::tell_warnings(&unread::warnings(&cli.command, std::env::vars_os().map(|(name, _)| name)));
            let mut out = Escaped(io::stdout().lock());
            let result = start().and_then(|()| cli.command.run(&mut out));
            hint = result.as_ref().err().and_then(|error| hints::hint(&cli.command, error));
            result
        }
        Err(wrong) if wrong.use_stderr() => wrong.exit(),
        // Help or the version; `exit` would report success even if it could not be printed.
        Err(asked_for) => asked_for.print().map_err(Into::into),
    };
    let Err(error) = result.and_then(|()| Ok(io::stdout().flush()?)) else { return ExitCode::SUCCESS };
    // Not `error.downcast_ref`, which would find the cause of an error about a file.
    let printing = error.chain().next().and_then(|error| error.downcast_ref::<io::Error>());
    if printing.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let place = if printing.is_some() { "cannot write to standard output: " } else { "" };
    // Errors are ignored: stderr may be closed, too.
    let _ = write!(io::stderr(), "error: {place}{}", escaped(&chain(&error)));
    if let Some(hint) = hint {
        let _ = writeln!(io::stderr(), "  hint: {}", escaped(&hint));
    }
    ExitCode::FAILURE
}

/// Fails if plugins clash. A kind without plugins only stops commands that need that kind; `list` shows it.
fn start() -> anyhow::Result<()> {
    match registry::check() {
        Ok(()) | Err(RegistryError::Empty { .. }) => Ok(()),
        Err(clash) => Err(clash.into()),
    }
}

/// An error and its causes, one per line.
fn chain(error: &anyhow::Error) -> String {
    let mut text = format!("{error}\n");
    for cause in error.chain().skip(1) {
        text += &format!("  caused by: {cause}\n");
    }
    text
}

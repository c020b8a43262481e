//! `limpq study`: one config, several variants of its settings, several seeds, one table.

mod report;

use crate::observers::{LogOptions, Observers, listen, tell};
use anyhow::Context;
use limpq_core::{
    input,
    run::{Config, Place, RunError, Summary, run_in},
    train::TrainError,
};
use report::{Cell, Form, Report};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

/// Run several variants with several seeds and put them into one table.
///
/// Every variant runs once with every seed, each run in its own folder. Whatever runs have in common, such as the
/// pre-trained network of a seed, is computed once. The same command again continues an interrupted study.
#[derive(clap::Args, Debug)]
pub struct Study {
    /// The study's TOML file.
    study: PathBuf,
    /// A value that overrides those of base and variants, such as pretrain.epochs=1; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the runs [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the table: .csv, .md or .json (everything); may be repeated.
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// List the runs, and those that are refused with the reason, without running any.
    #[arg(long)]
    dry_run: bool,
    /// Replace results of another config, and damaged ones; earlier results of a run stay until all new ones exist.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    logs: LogOptions,
}

/// The contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// Name of the study.
    name: String,
    /// The config that variants change, relative to this file.
    base: PathBuf,
    /// Each variant runs with each of these.
    seeds: Vec<u64>,
    /// Settings of all variants, which override the base.
    #[serde(default)]
    common: toml::Table,
    /// Settings of each variant, which override those.
    variants: BTreeMap<String, toml::Table>,
}

impl Study {
    /// Runs what is not done yet, prints the table, writes the files.
    ///
    /// # Errors
    /// A faulty study, an interruption, a disk that cannot be written to; or all runs failed.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let forms = self.out.iter().map(|path| Form::of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let plan = Plan::read(&self.study)?;
        let base = self.study.parent().unwrap_or(Path::new("")).join(&plan.base);
        let folder = self.dir.clone().unwrap_or_else(|| PathBuf::from("runs").join(&plan.name));
        let cells: Vec<(&String, u64, PathBuf, _)> = plan.cells(&base, &folder, &self.set)?;
        if self.dry_run {
            for (variant, seed, folder, config) in &cells {
                let said = config.as_ref().map_or_else(|refused| format!("refused: {refused}"), |_| String::new());
                writeln!(out, "{variant}, seed {seed}: {} {said}", folder.display())?;
            }
            return Ok(());
        }
        let cancel = listen()?;
        let folders: Vec<PathBuf> = cells.iter().map(|(_, _, folder, _)| folder.clone()).collect();
        let mut faults = vec![];
        let mut report = Report { study: plan.name.clone(), cells: vec![] };
        for (place, (variant, seed, folder, config)) in cells.into_iter().enumerate() {
            tell(&format!("[{} of {}] {variant}, seed {seed}", place + 1, folders.len()));
            let result = match config {
                Ok(config) => {
                    let place = Place { folder: &folder, others: &folders, replace: self.replace };
                    let observers = Observers::new(&folder, self.logs);
                    let done = finished(run_in(&config, place, &observers, &cancel))?;
                    faults.extend(observers.check().err());
                    done
                }
                Err(refused) => Err(refused),
            };
            if let Err(reason) = &result {
                tell(&format!("left out: {reason}"));
            }
            report.cells.push(Cell::new(variant, seed, result));
        }
        let left_out = report.cells.iter().all(|cell| cell.left_out.is_some());
        report.print(out)?;
        anyhow::ensure!(!left_out, "no run of the study was completed; the reasons are above");
        for (path, form) in self.out.iter().zip(forms) {
            report.write(path, form)?;
            writeln!(out, "written: {}", path.display())?;
        }
        writeln!(out, "\neverything is in {}", folder.display())?;
        faults.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Separates errors that stop one run only from errors that would stop all others, too.
fn finished(result: Result<Summary, RunError>) -> anyhow::Result<Result<Summary, String>> {
    match result {
        Ok(summary) => Ok(Ok(summary)),
        Err(
            error @ (RunError::Train(
                TrainError::Interrupted { .. }
                | TrainError::InterruptedMeasuring { .. }
                | TrainError::Damaged(_)
                | TrainError::Write(_),
            )
            | RunError::Write(_)
            | RunError::Folder(_)
            | RunError::Damaged(_)
            | RunError::Threads(_)
            | RunError::Program(_)),
        ) => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Variant, seed, folder, and the config or why it is refused.
type Planned<'a> = (&'a String, u64, PathBuf, Result<Config, String>);

impl Plan {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = input::read_text(path).with_context(|| format!("cannot read the study {shown}"))?;
        input::toml(&text).map_err(|why| anyhow::anyhow!("the study {shown} cannot be understood: {why}"))?;
        let renamed = text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("entrants"));
        anyhow::ensure!(!renamed, "{shown}: the section [entrants] has been renamed; write [variants] instead");
        let plan: Self = toml::from_str(&text).with_context(|| format!("the study {shown} cannot be understood"))?;
        let names = || std::iter::once(&plan.name).chain(plan.variants.keys());
        let plain = |name: &&String| name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)) && !name.is_empty();
        if let Some(name) = names().find(|name| !plain(name)) {
            anyhow::bail!("{shown}: {name:?} is used as a folder's name; use letters, digits, - and _");
        }
        anyhow::ensure!(!plan.variants.is_empty(), "{shown}: [variants] is empty; name at least one");
        let mut seeds = plan.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        let distinct = !seeds.is_empty() && seeds.len() == plan.seeds.len();
        anyhow::ensure!(distinct, "{shown}: seeds must be at least one, and each once, got {:?}", plan.seeds);
        Ok(plan)
    }

    /// All runs, ordered by seed, so that a study that is stopped early has compared all variants.
    fn cells(&self, base: &Path, folder: &Path, sets: &[String]) -> anyhow::Result<Vec<Planned<'_>>> {
        let shown = base.display();
        let text = input::read_text(base).with_context(|| format!("cannot read the study's base {shown}"))?;
        let pairs = self.seeds.iter().flat_map(|&seed| self.variants.iter().map(move |variant| (seed, variant)));
        let cell = |(seed, (name, own)): (u64, (&'_ String, &toml::Table))| {
            let mut all = vec![];
            flatten("", &self.common, &mut all);
            flatten("", own, &mut all);
            all.extend(sets.iter().cloned());
            all.extend([format!("seed={seed}"), format!("name=\"{}-{name}\"", self.name)]);
            Config::parse(&shown.to_string(), &text, &all).map_err(|error| error.to_string())
        };
        let planned = pairs.map(|(seed, variant)| {
            (variant.0, seed, folder.join(format!("{}-seed{seed}", variant.0)), cell((seed, variant)))
        });
        Ok(planned.collect())
    }
}

/// Flattens nested tables to `key.key=value`, the form of `--set`.
fn flatten(prefix: &str, table: &toml::Table, sets: &mut Vec<String>) {
    for (key, value) in table {
        // A name such as layer4.* is quoted, because of its dot.
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let key = if plain { key.clone() } else { toml::Value::from(key.as_str()).to_string() };
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, sets),
            value => sets.push(format!("{prefix}{key}={value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_for_set() {
        let table = "a.b = \"x\"\na.c = [1, 2]\nd = { e = { f = 1.5 } }\ng = true\nh.'i.*' = 'w3'".parse().unwrap();
        let mut sets = vec![];
        flatten("", &table, &mut sets);
        assert_eq!(sets, ["a.b=\"x\"", "a.c=[1, 2]", "d.e.f=1.5", "g=true", "h.\"i.*\"=\"w3\""]);
        let name = limpq_core::settings::Setting::parse(&sets[4]).unwrap().path;
        assert_eq!(name, ["h", "i.*"]);
    }
}

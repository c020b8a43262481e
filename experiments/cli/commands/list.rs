//! `limpq list [KIND]`: lists the registered plugins.

use super::{PluginKind, Registered, table::table};
use clap::ValueEnum;
use std::io::Write;

/// Arguments of `limpq list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only this kind
    kind: Option<PluginKind>,
}

impl List {
    /// Prints a table of plugins, and below it errors of kinds without plugins or with name clashes.
    ///
    /// # Errors
    /// Only when `out` cannot be written to.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let kinds = self.kind.as_ref().map_or(PluginKind::value_variants(), std::slice::from_ref);
        let mut rows = table(&["kind", "name", "what it is"]);
        let mut problems = vec![];
        for kind in kinds {
            match kind.entries() {
                Ok(entries) => {
                    rows.add_rows(entries.iter().map(|entry| [kind.name().into(), names(entry), entry.about.into()]));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !rows.is_empty() {
            writeln!(out, "{rows}")?;
        }
        for problem in problems {
            writeln!(out, "{problem}")?;
        }
        Ok(())
    }
}

/// The name, with aliases in parentheses.
fn names(entry: &Registered) -> String {
    match entry.aliases {
        [] => entry.name.to_owned(),
        aliases => format!("{} ({})", entry.name, aliases.iter().map(|alias| alias.0).collect::<Vec<_>>().join(", ")),
    }
}

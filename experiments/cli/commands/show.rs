//! `limpq show KIND NAME`: shows one plugin and its options.

use super::{PluginKind, table::table};
use std::io::Write;

/// Arguments of `limpq show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its kind
    kind: PluginKind,
    /// Its name or one of its aliases (see `limpq list KIND`)
    name: String,
}

impl Show {
    /// Prints what the plugin is, its source file, aliases and options.
    ///
    /// # Errors
    /// An unknown name.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let plugin = self.kind.find(&self.name)?;
        writeln!(out, "{} {}: {}", self.kind.name(), plugin.name, plugin.about)?;
        writeln!(out, "source: {}", plugin.file)?;
        for (alias, option, value) in plugin.aliases {
            writeln!(out, "alias: {alias} is {} with {option} = {value:?}", plugin.name)?;
        }
        let mut options = (plugin.options)();
        if self.kind == PluginKind::Model {
            options.push(limpq_core::graph::fixed_option());
        }
        if options.is_empty() {
            writeln!(out, "options: none")?;
            return Ok(());
        }
        let mut rows = table(&["option", "default", "meaning"]);
        rows.add_rows(options.into_iter().map(|o| [o.name, o.default.unwrap_or_else(|| "(none)".into()), o.about]));
        writeln!(out, "\n{rows}")?;
        Ok(())
    }
}

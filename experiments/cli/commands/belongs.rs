//! The network that indicators and policies belong to, from their file, from the command line, or by assumption.

use super::{Network, named};
use anyhow::Context;
use limpq_core::escape::Escaped;
use limpq_core::graph::{self, Graph};
use limpq_core::search::{Indicators, NetworkRecord, Policy};
use std::io::Write;

/// What a file records about its network.
#[derive(Clone, Copy, Default)]
pub struct Recorded<'a> {
    /// Name of its model.
    pub model: Option<&'a str>,
    /// The network of that model.
    pub network: Option<&'a NetworkRecord>,
}

impl<'a> From<&'a Indicators> for Recorded<'a> {
    fn from(indicators: &'a Indicators) -> Self {
        Self { model: indicators.model.as_deref(), network: indicators.provenance.network.as_ref() }
    }
}

impl<'a> From<&'a Policy> for Recorded<'a> {
    fn from(policy: &'a Policy) -> Self {
        Self { model: policy.model.as_deref(), network: policy.network.as_ref() }
    }
}

impl Network {
    /// The graph that a file belongs to, where the command line overrides the file, and a list of the values that
    /// neither gives. The reader of the file checks that both agree; `file` names it in errors.
    ///
    /// # Errors
    /// No model; an unknown model or option; an input that does not fit.
    pub fn recorded(
        &self,
        file: &str,
        model: Option<&str>,
        set: &toml::Table,
        recorded: Recorded,
    ) -> anyhow::Result<(Graph, Vec<String>)> {
        let model = model.or(recorded.model).with_context(|| {
            format!("{file} does not say which model it belongs to; give --model (see `limpq list model`)")
        })?;
        let (model, path) = named(model);
        // The record is about another model; the file's reader refuses it.
        let network = recorded.network.filter(|_| recorded.model == Some(model));
        let mut options = network.and_then(|network| network.options.clone()).unwrap_or_default();
        let known = options.clone();
        let set: toml::Table = path.into_iter().chain(set.clone()).collect();
        options.extend(set.clone());
        let shaped = Self {
            input: self.input.or(network.map(|network| network.input)),
            classes: self.classes.or(network.and_then(|network| u64::try_from(network.classes).ok())),
        };
        let graph = shaped.graph(model, &options)?;
        let mut assumed = vec![];
        let own = graph::model(model, &options)?;
        if shaped.input.is_none() && own.own_input()?.is_none() {
            assumed.push(format!("input {}", graph.input));
        }
        if shaped.classes.is_none() && own.own_classes(graph.input)?.is_none() {
            assumed.push(format!("{} classes", graph.classes));
        }
        let resolved = graph::resolved(model, &options)?;
        let told = |key: &String| known.contains_key(key) || set.contains_key(key) || key == "sha256";
        let defaults = resolved.iter().filter(|(key, _)| !told(key));
        assumed.extend(defaults.map(|(key, value)| format!("model.{key} = {value}")));
        Ok((graph, assumed))
    }
}

/// The warning about values that a file does not give.
pub fn assumption(file: &str, assumed: &[String]) -> Option<String> {
    (!assumed.is_empty()).then(|| {
        let assumed = assumed.join(", ");
        format!("{file} does not fully describe its network; assumed: {assumed}. If that is not so, give it on the command line")
    })
}

/// Prints warnings among the other lines of an answer.
///
/// # Errors
/// Output that cannot be written.
pub fn print_warnings(out: &mut dyn Write, warnings: &[String]) -> std::io::Result<()> {
    warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
}

/// Prints warnings to stderr, next to an answer that is data.
pub fn tell_warnings(warnings: &[String]) {
    // Errors are ignored: stderr may be closed, and the data contains the warnings, too.
    let _ = print_warnings(&mut Escaped(std::io::stderr()), warnings);
}

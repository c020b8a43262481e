//! What indicators and policies belong to: what their file says, what the command line says, and what neither does.

use super::{Network, named};
use anyhow::Context;
use limpq_core::escape::Escaped;
use limpq_core::graph::{self, Graph};
use limpq_core::search::{Indicators, NetworkRecord, Policy};
use std::io::Write;

/// What a file says about the network behind it.
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
    /// The graph that a file belongs to, with what the command line says in the place of what the file says, and in words what
    /// neither says. Whether both agree is for the reader of the file to check; `file` names it in errors.
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
        // Of another model nothing holds; the file's reader refuses it.
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

/// The warning about what a file does not say.
pub fn assumption(file: &str, assumed: &[String]) -> Option<String> {
    (!assumed.is_empty()).then(|| {
        let assumed = assumed.join(", ");
        format!("{file} does not say all that it belongs to, and the command line neither; assumed: {assumed}")
    })
}

/// Warnings between an answer's other lines.
///
/// # Errors
/// Output that cannot be written.
pub fn print_warnings(out: &mut dyn Write, warnings: &[String]) -> std::io::Result<()> {
    warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
}

/// Warnings beside an answer that is data.
pub fn tell_warnings(warnings: &[String]) {
    // Nobody is left to tell when stderr is closed; the data holds them too.
    let _ = print_warnings(&mut Escaped(std::io::stderr()), warnings);
}

//! Configs are read strictly from TOML, environment variables and `key=value` pairs; errors point at line and column.

use super::config::{Config, Plugin};
use crate::{
    options::{self, OptionsError},
    registry::{self, Kind},
    search::CostModel,
    train::{Keep, Recipe, Split},
};
use serde::Deserialize;
use std::path::Path;

/// What is wrong with a config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Not TOML; the message has line and column.
    #[error("{path} is not TOML: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// What the parser said.
        message: String,
    },
    /// A key or value is wrong.
    #[error("{place}: {error}")]
    Value {
        /// `file:line:column`, or the `--set` that it came from.
        place: String,
        /// What is wrong.
        error: OptionsError,
    },
    /// A `--set` that is not `key=value`.
    #[error("cannot read --set {0:?}: expected KEY=VALUE, for example search.alpha=1.5")]
    Set(String),
    /// Layers could not be merged.
    #[error("cannot merge the config with --set: {0}")]
    Merge(String),
}

impl Config {
    /// Reads a file, lays environment variables (`LIMPQ__SEARCH__ALPHA=1.5`) and then `key=value` pairs over it, and
    /// checks everything, plugins' own options included. Every default is written out in what it returns.
    ///
    /// # Errors
    /// Point at the line and column of the file, or at the pair.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: shown.clone(), error })?;
        Self::parse(&shown, &text, sets)
    }

    /// The same, from text; `path` is for the messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), message: error.to_string() };
        text.parse::<toml::Table>().map_err(syntax)?;
        let merge = |error: config::ConfigError| ConfigError::Merge(error.to_string());
        let environment = config::Environment::with_prefix("LIMPQ").prefix_separator("__").separator("__");
        let mut layers = config::Config::builder()
            .add_source(config::File::from_str(text, config::FileFormat::Toml))
            .add_source(environment.try_parsing(true));
        for set in sets {
            let (key, value) = set.split_once('=').ok_or_else(|| ConfigError::Set(set.clone()))?;
            layers = layers.set_override(key.trim(), value_of(value.trim())).map_err(merge)?;
        }
        let mut merged: toml::Table = layers.build().and_then(config::Config::try_deserialize).map_err(merge)?;
        if merged.contains_key("weights") {
            let pretrain = merged.entry("pretrain").or_insert_with(|| toml::Table::new().into());
            if let Some(pretrain) = pretrain.as_table_mut() {
                pretrain.entry("epochs").or_insert(toml::Value::Integer(0));
            }
        }
        let place = |error: OptionsError| ConfigError::Value { place: locate(path, text, sets, &error.path), error };
        let mut config: Self = options::parse(&merged).map_err(place)?;
        config.resolve().map_err(place)?;
        Ok(config)
    }

    /// Checks plugins and recipes and writes every default of the plugins out.
    fn resolve(&mut self) -> Result<(), OptionsError> {
        fn plugin<P: ?Sized + Kind>(section: &str, plugin: &mut Plugin) -> Result<(), OptionsError> {
            let entry = registry::find::<P>(&plugin.name)
                .map_err(|error| OptionsError { path: format!("{section}.name"), message: error.to_string() })?;
            plugin.options = (entry.resolve)(&plugin.options).map_err(|error| {
                let path = format!("{section}.{}", error.path).trim_end_matches('.').to_owned();
                OptionsError { path, message: error.message }
            })?;
            Ok(())
        }
        plugin::<dyn crate::train::Dataset>("dataset", &mut self.dataset)?;
        plugin::<dyn crate::graph::Model>("model", &mut self.model)?;
        plugin::<dyn crate::train::Quantizer>("quantizer", &mut self.quantizer)?;
        plugin::<dyn crate::train::Sensitivity>("sensitivity", &mut self.sensitivity)?;
        plugin::<dyn crate::search::Solver>("solver", &mut self.solver)?;
        self.check_indicators()?;
        if let Some((key, message)) = self.split.fault() {
            return Err(OptionsError { path: format!("split.{key}"), message });
        }
        for (section, recipe) in self.recipes() {
            let fault = recipe.fault().or_else(|| stage_fault(section, recipe, &self.split));
            if let Some((key, message)) = fault {
                return Err(OptionsError { path: format!("{section}.{key}"), message });
            }
        }
        if !(self.search.alpha.is_finite() && self.search.alpha > 0.0) {
            let message = format!("must be a positive number, got {}", self.search.alpha);
            return Err(OptionsError { path: "search.alpha".into(), message });
        }
        if self.refine.images == 0 {
            return Err(OptionsError { path: "refine.images".into(), message: "must be at least 1, got 0".into() });
        }
        if self.search.budgets.is_empty() {
            let message = "give at least one budget, for example bitops = \"w3a3\"".into();
            return Err(OptionsError { path: "search.budgets".into(), message });
        }
        let plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        if self.name.trim_matches(['.', ' ']).is_empty() || !self.name.chars().all(plain) {
            let message = format!("must be a plain file name (letters, digits, - _ .), got {:?}", self.name);
            return Err(OptionsError { path: "name".into(), message });
        }
        if self.bits.iter().any(|bits| bits.get() < 2) {
            let message =
                "bit-width 1 cannot be trained: a signed grid of 1 bit holds no positive number; use 2 or more";
            return Err(OptionsError { path: "bits".into(), message: message.into() });
        }
        self.search.rules().map_err(|(path, error)| OptionsError { path, message: error.to_string() })?;
        for name in self.search.budgets.keys() {
            registry::find::<dyn CostModel>(name)
                .map_err(|error| OptionsError { path: format!("search.budgets.{name}"), message: error.to_string() })?;
        }
        for (name, options) in &mut self.cost {
            let entry = registry::find::<dyn CostModel>(name)
                .map_err(|error| OptionsError { path: format!("cost.{name}"), message: error.to_string() })?;
            *options = (entry.resolve)(options).map_err(|error| OptionsError {
                path: format!("cost.{name}.{}", error.path),
                message: error.message,
            })?;
        }
        Ok(())
    }

    /// That the sensitivity gets from the quantizer what it asks for; hours of training must not end in finding out.
    fn check_indicators(&self) -> Result<(), OptionsError> {
        let fault = |path: &str, message: String| OptionsError { path: path.into(), message };
        let sensitivity = self.sensitivity.build::<dyn crate::train::Sensitivity>();
        let sensitivity = sensitivity.map_err(|error| fault("sensitivity", error.to_string()))?;
        let quantizer = self.quantizer.build::<dyn crate::train::Quantizer>();
        let quantizer = quantizer.map_err(|error| fault("quantizer", error.to_string()))?;
        crate::train::preflight(&self.sensitivity.name, sensitivity.as_ref(), quantizer.as_ref())
            .map_err(|error| fault("quantizer.name", error.to_string()))
    }
}

/// What a recipe asks for that its stage does not have.
fn stage_fault(section: &str, recipe: &Recipe, split: &Split) -> Option<(&'static str, String)> {
    if section == "pretrain" && recipe.distillation > 0.0 {
        return Some(("distillation", "there is no teacher to distil from before pre-training".to_owned()));
    }
    if section == "indicators" && recipe.keep == Keep::Best {
        let message = "indicators are those of the last step; \"best\" is for pretrain and finetune".to_owned();
        return Some(("keep", message));
    }
    if recipe.keep == Keep::Best && split.validation == 0.0 {
        let message = "\"best\" is judged on held-out images; give split.validation, for example 0.1".to_owned();
        return Some(("keep", message));
    }
    None
}

/// A value as TOML if it reads as such (`3`, `true`, `[4, 2]`), else as text.
fn value_of(text: &str) -> config::Value {
    #[derive(Deserialize)]
    struct Holder {
        value: config::Value,
    }
    let holder = toml::from_str::<Holder>(&format!("value = {text}"));
    holder.map_or_else(|_| config::Value::from(text), |holder| holder.value)
}

/// Where a key stands: the pair or the environment variable that set it, or line and column in the file; the nearest enclosing table if it is missing.
fn locate(path: &str, text: &str, sets: &[String], key: &str) -> String {
    if let Some(set) = sets.iter().find(|set| set.split('=').next().map(str::trim) == Some(key)) {
        return format!("--set {set}");
    }
    let variable = format!("LIMPQ__{}", key.replace('.', "__"));
    if let Some((name, value)) = std::env::vars().find(|(name, _)| name.eq_ignore_ascii_case(&variable)) {
        return format!("environment variable {name}={value}");
    }
    let mut offset = None;
    if let Ok(document) = toml::de::DeTable::parse(text) {
        let mut table = Some(document.get_ref());
        for part in key.split('.').map(|part| part.split('[').next().unwrap_or(part)) {
            let Some((name, value)) = table.and_then(|table| table.get_key_value(part)) else { break };
            offset = Some(name.span().start);
            table = value.get_ref().as_table();
        }
    }
    let Some(offset) = offset else { return path.to_owned() };
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    format!("{path}:{line}:{column}")
}

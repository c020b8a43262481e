//! Reads configs strictly from TOML, environment variables and `key=value` pairs. Errors name line and column, or the
//! setting that overrides the file.

use super::{
    Stage,
    config::{Config, Plugin},
    variables::{Variable, VariableError, variables},
};
use crate::{
    graph::{self, FIXED_BITS},
    input,
    options::{self, OptionsError},
    registry::{self, Kind, RegistryError},
    search::{CostModel, DEFAULT_ALPHA},
    settings::{Setting, UnreadableSetting},
    train::{Keep, Recipe, Split},
};
use std::{collections::BTreeMap, path::Path};

/// Largest magnitude of a gradient element in joint training, as published by LIMPQ.
const INDICATORS_CLIP_VALUE: f64 = 1.0;

/// What is wrong with a config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// Not TOML; the message has line and column.
    #[error("{path} is not TOML: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// The parser's error.
        message: String,
    },
    /// A key or value is wrong.
    #[error("{place}: {error}")]
    Value {
        /// `file:line:column`, or the setting or environment variable that it came from.
        place: String,
        /// What is wrong.
        error: OptionsError,
    },
    /// A setting that is not `key=value`.
    #[error(transparent)]
    Set(#[from] UnreadableSetting),
    /// An environment variable that looks like a setting but is not one.
    #[error(transparent)]
    Variable(#[from] VariableError),
}

/// A setting that overrides the file, and where it came from.
struct Override {
    shown: String,
    setting: Setting,
}

impl Config {
    /// Reads a file, overrides it by environment variables (`LIMPQ__SEARCH__ALPHA=1.5`) and then by `key=value` pairs,
    /// and checks everything, the plugins' own options included. The returned config has every default written out.
    ///
    /// # Errors
    /// Point at the line and column of the file, at the variable, or at the pair.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = input::read_text(path).map_err(|error| ConfigError::Read { path: shown.clone(), error })?;
        Self::parse(&shown, &text, sets)
    }

    /// The same, from text; `path` is for the messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        Self::layered(path, text, variables(std::env::vars_os())?, sets)
    }

    fn layered(path: &str, text: &str, variables: Vec<Variable>, sets: &[String]) -> Result<Self, ConfigError> {
        let syntax = |message| ConfigError::Syntax { path: path.to_owned(), message };
        let file = input::toml(text).map_err(syntax)?;
        let variable = |Variable { name, value, setting }: Variable| {
            let shown = format!("environment variable {name}={value}");
            Override { shown, setting }
        };
        let pairs = sets.iter().zip(Setting::parse_all(sets)?);
        let pairs = pairs.map(|(text, setting)| Override { shown: format!("setting {text}"), setting });
        let overrides: Vec<Override> = variables.into_iter().map(variable).chain(pairs).collect();
        let without = |left_out: usize| {
            let kept = overrides.iter().enumerate().filter(|(place, _)| *place != left_out);
            Self::over(file.clone(), kept.map(|(_, kept)| &kept.setting))
        };
        Self::over(file.clone(), overrides.iter().map(|kept| &kept.setting)).map_err(|error| {
            // The setting that gives the offending value, or else the setting without which there is no error: some
            // errors are in two values together.
            let brought = overrides.iter().rev().find(|one| brings(&one.setting, &error.path));
            let alone = || (0..overrides.len()).rev().find(|&place| without(place).is_ok());
            let place = match brought.or_else(|| alone().map(|place| &overrides[place])) {
                Some(to_blame) => to_blame.shown.clone(),
                None => locate(path, text, &error.path),
            };
            ConfigError::Value { place, error }
        })
    }

    fn over<'a>(mut table: toml::Table, settings: impl Iterator<Item = &'a Setting>) -> Result<Self, OptionsError> {
        settings.for_each(|setting| setting.lay_over(&mut table));
        if table.contains_key("weights") {
            let pretrain = table.entry("pretrain").or_insert_with(|| toml::Table::new().into());
            if let Some(pretrain) = pretrain.as_table_mut() {
                pretrain.entry("epochs").or_insert(toml::Value::Integer(0));
            }
        }
        default_of_stages(&mut table);
        let mut config: Self = options::parse(&table)?;
        config.resolve()?;
        Ok(config)
    }

    /// Checks the model and writes out all its defaults; `fixed` is allowed besides its own options.
    fn resolve_model(&mut self) -> Result<(), OptionsError> {
        let Plugin { name, options } = &mut self.model;
        *options = graph::resolved(name, options).map_err(|error| match error {
            RegistryError::Options { error: OptionsError { path, message }, .. } => {
                OptionsError { path: format!("model.{path}").trim_end_matches('.').to_owned(), message }
            }
            other => OptionsError { path: "model.name".to_owned(), message: other.to_string() },
        })?;
        Ok(())
    }

    /// Checks plugins and recipes and writes out all defaults of the plugins.
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
        self.resolve_model()?;
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
        self.search.rising_indicators = Some(self.search.rising());
        if !(self.search.alpha.is_finite() && self.search.alpha >= 0.0) {
            let message = format!("must be 0 or a positive number, got {}", self.search.alpha);
            return Err(OptionsError { path: "search.alpha".into(), message });
        }
        if self.image_bits != FIXED_BITS && !self.plain_images() {
            let message =
                format!("must be {FIXED_BITS}, or 32 for images that are not quantized, got {}", self.image_bits);
            return Err(OptionsError { path: "image_bits".into(), message });
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
        fn by_name<P: ?Sized + Kind>(
            section: &str,
            plugins: &mut BTreeMap<String, toml::Table>,
        ) -> Result<(), OptionsError> {
            for (name, options) in plugins {
                let path = format!("{section}.{name}");
                let entry = registry::find::<P>(name)
                    .map_err(|error| OptionsError { path: path.clone(), message: error.to_string() })?;
                *options = (entry.resolve)(options).map_err(|error| {
                    let path = format!("{path}.{}", error.path).trim_end_matches('.').to_owned();
                    OptionsError { path, message: error.message }
                })?;
            }
            Ok(())
        }
        by_name::<dyn CostModel>("cost", &mut self.cost)?;
        by_name::<dyn Stage>("stages", &mut self.stages)
    }

    /// Checks that the quantizer gives the indicators that the sensitivity asks for, before hours of training.
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

/// Defaults that depend on other settings: LIMPQ's recipe clips gradients where indicators are trained, and alpha
/// depends on the sensitivity.
fn default_of_stages(merged: &mut toml::Table) {
    let indicators = merged.entry("indicators").or_insert_with(|| toml::Table::new().into());
    if let Some(indicators) = indicators.as_table_mut() {
        indicators.entry("clip_value").or_insert(toml::Value::Float(INDICATORS_CLIP_VALUE));
    }
    let alpha = merged.get("sensitivity").and_then(alpha_of).unwrap_or(DEFAULT_ALPHA);
    if let Some(search) = merged.get_mut("search").and_then(toml::Value::as_table_mut) {
        search.entry("alpha").or_insert(toml::Value::Float(alpha));
    }
}

/// The alpha of a sensitivity that can be built; other faults are reported later.
fn alpha_of(sensitivity: &toml::Value) -> Option<f64> {
    let sensitivity: Plugin = sensitivity.clone().try_into().ok()?;
    Some(sensitivity.build::<dyn crate::train::Sensitivity>().ok()?.alpha())
}

/// A recipe setting that does not apply to its stage.
fn stage_fault(section: &str, recipe: &Recipe, split: &Split) -> Option<(&'static str, String)> {
    if section == "pretrain" && recipe.distillation > 0.0 {
        return Some(("distillation", "before pre-training there is no teacher to distil from".to_owned()));
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

/// Whether a setting gives the value at a dotted path.
fn brings(setting: &Setting, path: &str) -> bool {
    fn has(value: &toml::Value, rest: &str) -> bool {
        match value {
            _ if rest.is_empty() || rest.starts_with('[') => true,
            toml::Value::Table(table) => {
                table.iter().any(|(key, value)| after(rest, key).is_some_and(|r| has(value, r)))
            }
            _ => false,
        }
    }
    let rest = setting.path.iter().try_fold(path, |rest, key| after(rest, key));
    rest.is_some_and(|rest| has(&setting.value, rest))
}

/// The rest of a dotted path after a key, which may contain dots.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None => (rest.is_empty() || rest.starts_with('[')).then_some(rest),
    }
}

/// Line and column of a key in the file; of the nearest enclosing table if it is missing.
fn locate(path: &str, text: &str, key: &str) -> String {
    let mut offset = None;
    if let Ok(document) = toml::de::DeTable::parse(text) {
        let (mut table, mut rest) = (Some(document.get_ref()), key);
        while let Some((name, value, behind)) = table
            .and_then(|table| table.iter().find_map(|(name, value)| Some((name, value, after(rest, name.get_ref())?))))
        {
            offset = Some(name.span().start);
            (table, rest) = (value.get_ref().as_table(), behind);
        }
    }
    let Some(offset) = offset else { return path.to_owned() };
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    format!("{path}:{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_has_the_value_is_to_blame() {
        let brought = |setting: &str, path: &str| brings(&Setting::parse(setting).unwrap(), path);
        for (setting, path) in [
            ("model.width=x", "model.width"),
            ("model={width='x'}", "model.width"),
            ("bits=[4,0]", "bits[1]"),
            ("bits=[4,0]", "bits"),
            ("search={layers={'layer4.*'='2'}}", "search.layers.layer4.*"),
            ("search.layers.'layer4.*'=2", "search.layers.layer4.*"),
            ("model=3", "model"),
        ] {
            assert!(brought(setting, path), "{setting} brings {path}");
        }
        for (setting, path) in [
            ("model.width=3", "model.name"),
            ("model.width=3", "model"),
            ("model.wid=3", "model.width"),
            ("model={stem='a'}", "model.width"),
            ("seed=3", ""),
        ] {
            assert!(!brought(setting, path), "{setting} does not bring {path}");
        }
    }

    #[test]
    fn keys_with_dots_are_found_in_the_file() {
        let text = "[search]\nshare = []\n[search.layers]\n  \"layer4.*\" = 'w3'\n";
        assert_eq!(locate("a.toml", text, "search.layers.layer4.*"), "a.toml:4:3");
        assert_eq!(locate("a.toml", text, "search.layers.other"), "a.toml:3:9");
        assert_eq!(locate("a.toml", text, "bits"), "a.toml");
    }
}

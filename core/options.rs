//! Tables of options: read strictly (an unknown key is an error that names the key), and described for `limpq show`.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// What is wrong in a table, and under which key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct OptionsError {
    /// Keys that lead to the offending value, joined by dots; empty for the table itself.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Reads a table strictly.
///
/// # Errors
/// Names the key that is unknown, missing or of the wrong type.
pub fn parse<T: DeserializeOwned>(table: &toml::Table) -> Result<T, OptionsError> {
    serde_path_to_error::deserialize(toml::Value::Table(table.clone())).map_err(|error| {
        let mut path = error.path().to_string();
        let message = error.inner().message().trim().to_owned();
        if path == "." {
            path.clear();
        }
        // serde reports an unknown field at its table; the message names the field.
        let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        if let Some(field) = unknown.filter(|field| path.rsplit('.').next() != Some(field)) {
            path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        }
        OptionsError { path, message }
    })
}

/// Reads a table strictly and writes it back with every default.
///
/// # Errors
/// As [`parse`].
pub fn resolve<T: DeserializeOwned + Serialize>(table: &toml::Table) -> Result<toml::Table, OptionsError> {
    let options: T = parse(table)?;
    Ok(toml::Table::try_from(options).expect("options are a table"))
}

/// One option of a plugin or a section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptionInfo {
    /// Its key.
    pub name: String,
    /// Its value when none is given, as TOML; `None` when it must be given or may be left out.
    pub default: Option<String>,
    /// What it means.
    pub about: String,
}

/// All options of a plugin or a section, in the order of its fields.
pub type Options = Vec<OptionInfo>;

/// The options of a type: its fields, their doc comments, and the values of its `Default`.
pub fn describe<T: JsonSchema + Default + Serialize>() -> Options {
    let schema = schemars::schema_for!(T);
    let defaults = serde_json::to_value(T::default()).expect("options are plain data");
    let properties = schema.get("properties").and_then(|p| p.as_object()).cloned().unwrap_or_default();
    let about = |name: &str| {
        let text = properties.get(name).and_then(|p| p.get("description")).and_then(|d| d.as_str());
        text.unwrap_or_default().replace('\n', " ")
    };
    // A flat table's keys come from the schema; keys without a default are not in the serialised default.
    let mut names: Vec<&String> = properties.keys().collect();
    let order: Vec<&String> = defaults.as_object().map(|o| o.keys().collect()).unwrap_or_default();
    names.sort_by_key(|name| (order.iter().position(|o| o == name).unwrap_or(usize::MAX), (*name).clone()));
    names
        .into_iter()
        .map(|name| OptionInfo {
            name: name.clone(),
            default: defaults.get(name).filter(|value| !value.is_null()).map(serde_json::Value::to_string),
            about: about(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Options for the tests.
    #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        /// How large.
        size: u32,
        /// Parts of it.
        parts: Vec<Part>,
    }

    /// A part.
    #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Part {
        /// Its name.
        name: String,
    }

    #[test]
    fn errors_name_the_key() {
        let read = |text: &str| parse::<Sample>(&text.parse().unwrap()).unwrap_err();
        assert_eq!(read("sise = 1").path, "sise");
        assert!(read("sise = 1").message.contains("expected `size` or `parts`"));
        assert_eq!(read("size = 'x'").path, "size");
        assert!(read("parts = [{ name = 3 }]").path.starts_with("parts[0].name"));
        assert!(read("parts = [{ nome = 'a' }]").path.contains("nome"));
    }

    #[test]
    fn describes_fields_with_defaults() {
        let options = describe::<Sample>();
        assert_eq!(
            options[0],
            OptionInfo { name: "size".into(), default: Some("0".into()), about: "How large.".into() }
        );
    }
}

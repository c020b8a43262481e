//! Tables of options: parsed strictly (an unknown key is an error that names it), and described for `limpq show`.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is wrong in a table, and under which key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct OptionsError {
    /// Path of the offending value, joined by dots; empty for the table itself.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Parses a table strictly.
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

/// Parses a table strictly and writes it back with every default.
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
    /// Its default value, as TOML; `None` if it must be given or may be left out.
    pub default: Option<String>,
    /// Its meaning.
    pub about: String,
}

/// All options of a plugin or a section, in the order of its fields.
pub type Options = Vec<OptionInfo>;

/// Maximum depth of nested schemas, which may be recursive.
const DEEPEST: usize = 16;

/// The properties of a schema: its own, those it refers to (a newtype's inner struct) and those of its parts (flattened
/// structs, variants of an enum).
fn properties(schema: &Value, root: &Value, depth: usize, found: &mut serde_json::Map<String, Value>) {
    if depth == DEEPEST {
        return;
    }
    if let Some(own) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in own {
            found.entry(name).or_insert_with(|| property.clone());
        }
    }
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|place| root.pointer(place.strip_prefix('#')?));
    let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    target.into_iter().chain(parts).for_each(|part| properties(part, root, depth + 1, found));
}

/// The options of a type: its fields, their doc comments, and the values of its `Default`. Fields of a struct that it wraps or
/// flattens are its own.
pub fn describe<T: JsonSchema + Default + Serialize>() -> Options {
    let schema = schemars::schema_for!(T).to_value();
    let defaults = serde_json::to_value(T::default()).expect("options are plain data");
    let mut all = serde_json::Map::new();
    properties(&schema, &schema, 0, &mut all);
    let properties = all;
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
            default: defaults.get(name).filter(|value| !value.is_null()).map(Value::to_string),
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

    /// A wrapped struct.
    #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(transparent)]
    struct Wrapped(Sample);

    /// A flattened struct with a neighbour.
    #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Flattened {
        /// Another one.
        more: bool,
        #[serde(flatten)]
        sample: Sample,
    }

    #[test]
    fn fields_of_wrapped_and_flattened_structs_are_options() {
        assert_eq!(describe::<Wrapped>(), describe::<Sample>());
        let mut names: Vec<String> = describe::<Flattened>().into_iter().map(|option| option.name).collect();
        names.sort();
        assert_eq!(names, ["more", "parts", "size"]);
        assert!(describe::<Flattened>().iter().all(|option| option.default.is_some() && !option.about.is_empty()));
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

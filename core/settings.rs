//! Single settings `KEY=VALUE` with a dotted key, which override a table.

use toml::{Table, Value};

/// A setting that cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// No `=`, or nothing before it.
    #[error("expected KEY=VALUE, for example search.alpha=1.5")]
    NoPair,
    /// The key is not one of TOML.
    #[error(
        "{0:?} is not a key; a key is names joined by dots, such as search.alpha, and a name with other characters than letters, \
         digits, - and _ stands in quotes. A list is given as a whole, for example bits=[4,2]"
    )]
    Key(String),
}

/// A text that is not a setting, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("cannot read the setting {text:?}: {error}")]
pub struct UnreadableSetting {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub error: SettingError,
}

/// A value and the path of table names that leads to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// At least one.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
}

impl Setting {
    /// Parses `KEY=VALUE`: a dotted TOML key, and a value as [`value`] parses it.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let (key, text) = text.split_once('=').ok_or(SettingError::NoPair)?;
        let key = key.trim();
        if key.is_empty() {
            return Err(SettingError::NoPair);
        }
        let path = path(key).ok_or_else(|| SettingError::Key(key.to_owned()))?;
        Ok(Self { path, value: value(text.trim()) })
    }

    /// Parses several.
    ///
    /// # Errors
    /// Names the first that is not a setting.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, UnreadableSetting> {
        let unreadable = |text: &String, error| UnreadableSetting { text: text.clone(), error };
        texts.iter().map(|text| Self::parse(text).map_err(|error| unreadable(text, error))).collect()
    }

    /// Puts the value into a table. Missing tables on the path are created; two tables in one place are merged.
    pub fn lay_over(&self, table: &mut Table) {
        let mut value = self.value.clone();
        for name in self.path.iter().rev() {
            value = Value::Table(Table::from_iter([(name.clone(), value)]));
        }
        if let Value::Table(from) = value {
            merge(table, from);
        }
    }
}

/// The names of a dotted key. TOML's parser bounds how many.
fn path(key: &str) -> Option<Vec<String>> {
    // More than one line could contain more than a key.
    let plain = !key.contains(['\n', '\r', '#']);
    let mut table = format!("{key} = 0").parse::<Table>().ok().filter(|_| plain)?;
    let mut path = vec![];
    loop {
        let (name, value) = table.into_iter().next()?;
        path.push(name);
        match value {
            Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

/// A value as TOML if it parses as such (`3`, `true`, `[4, 2]`), else as text.
pub fn value(text: &str) -> Value {
    let table = format!("value = {text}").parse::<Table>();
    // A second line could contain further keys.
    let read = table.ok().filter(|_| !text.contains('\n')).and_then(|mut table| table.remove("value"));
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(settings: &[&str]) -> Table {
        let mut table = Table::new();
        settings.iter().for_each(|text| Setting::parse(text).unwrap().lay_over(&mut table));
        table
    }

    #[test]
    fn later_settings_win_and_keep_their_types() {
        let set = table(&["model.width=8", "model.stem=small", "solver.gap = 0.5", "model.width=16"]);
        let wanted = "model = { width = 16, stem = 'small' }\nsolver = { gap = 0.5 }";
        assert_eq!(set, wanted.parse::<Table>().unwrap());
        let set = table(&["a={b=1}", "a.c=[2, 3]", "a.'layer4.*'=w3", "d=", "d.e=1"]);
        let wanted = "a = { b = 1, c = [2, 3], 'layer4.*' = 'w3' }\nd = { e = 1 }";
        assert_eq!(set, wanted.parse::<Table>().unwrap());
    }

    #[test]
    fn a_value_cannot_bring_further_keys() {
        assert_eq!(table(&["a=1\nb=2"])["a"].as_str(), Some("1\nb=2"));
    }

    /// The crate `config`, which read keys before, makes room for as many values as an index asks for, and panics at a negative
    /// one (rust-cli/config-rs#619).
    #[test]
    fn a_place_in_a_list_is_no_key() {
        for key in
            ["a[0]", "a[99999999999]", "a[-1]", "a[-9223372036854775808]", "a.b[1].c", "[a]", "a b", "a..b", "#a"]
        {
            let error = Setting::parse(&format!("{key}=1")).unwrap_err();
            assert_eq!(error, SettingError::Key(key.to_owned()));
        }
        for text in ["a", "=1", " =1", ""] {
            assert_eq!(Setting::parse(text), Err(SettingError::NoPair));
        }
        assert!(Setting::parse("[a]\nb=1").is_err() && Setting::parse("a\nb=1").is_err());
    }

    #[test]
    fn keys_and_values_of_any_depth_are_read_or_refused() {
        let deep = vec!["a"; 100_000].join(".");
        assert_eq!(Setting::parse(&format!("{deep}=1")), Err(SettingError::Key(deep)));
        for (open, close) in [("[", "]"), ("{a=", "}")] {
            let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(Setting::parse(&format!("a={nested}")).unwrap().value, Value::String(nested));
        }
        let shallow = Setting::parse("a={b={c.d=[[1]]}}").unwrap();
        assert_eq!(shallow.value["b"]["c"]["d"][0][0].as_integer(), Some(1));
    }
}

//! Python's pickle format, read as data. No code that a pickle names is ever run or looked up: a class is its name, and
//! an object consists of the arguments that its class would be called with.
//!
//! All values of a pickle are in one list and refer to each other by index. So a value that is used many times is
//! stored once, a million nested lists need no deep recursion, and a list may contain itself. Readers set their own
//! limits of depth and size.

mod machine;
mod scalars;

pub use machine::{MOST_OPERATIONS, Names, read};

use std::borrow::Cow;

/// The index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

/// A value. Long texts are borrowed from the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'b> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number of more than 64 bits, as it stands in the file.
    Long(&'b [u8]),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Cow<'b, str>),
    /// Bytes, including Python 2's `str`.
    Bytes(Cow<'b, [u8]>),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A set, frozen or not.
    Set(Vec<Id>),
    /// A dict, an `OrderedDict` or a `defaultdict`. If a key has several values, the last counts.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function.
    Name {
        /// Its module.
        module: Id,
        /// Its name there.
        name: Id,
    },
    /// An object that a class or function would make.
    Object(Box<Object>),
    /// A value outside the pickle, by its key.
    Outside(Id),
}

/// An object that a class or function would make.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The class or function.
    pub maker: Id,
    /// A tuple of its arguments.
    pub arguments: Id,
    /// Items that are appended to it.
    pub items: Vec<Id>,
    /// Keys that are set in it.
    pub pairs: Vec<(Id, Id)>,
    /// The state that its attributes are set from.
    pub state: Option<Id>,
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle<'b> {
    values: Vec<Value<'b>>,
    root: Id,
    /// Its length in bytes; more data may follow.
    pub length: usize,
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// No end.
    #[error("it ends early; copy it again")]
    Early,
    /// It names code where only plain data is expected.
    #[error("it wants to call {0}")]
    Call(String),
    /// An operation that plain data does not need.
    #[error("its byte {at}, {operation:#04x}, is an operation that plain data does not use")]
    Foreign {
        /// Its offset.
        at: usize,
        /// Its code.
        operation: u8,
    },
    /// Not written by Python.
    #[error("it is damaged at byte {at}: {why}")]
    Damaged {
        /// The offset.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// Too many values.
    #[error("it holds more than {MOST_OPERATIONS} values, the most that is read")]
    Long,
}

impl<'b> Pickle<'b> {
    /// The outermost value.
    pub fn root(&self) -> Id {
        self.root
    }

    /// A value.
    pub fn value(&self, id: Id) -> &Value<'b> {
        &self.values[id.0 as usize]
    }

    /// All values, in order of creation.
    pub fn values(&self) -> &[Value<'b>] {
        &self.values
    }

    /// Text, including Python 2's `str`.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self, id: Id) -> Option<i64> {
        match *self.value(id) {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The name of a class or function: its module and itself.
    pub fn name(&self, id: Id) -> Option<(&str, &str)> {
        match *self.value(id) {
            Value::Name { module, name } => Some((self.text(module)?, self.text(name)?)),
            _ => None,
        }
    }

    /// Keys and values of a dict, or of an object with items, such as that of a dict's subclass.
    pub fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.value(id) {
            Value::Dict(pairs) => Some(pairs),
            Value::Object(object) if !object.pairs.is_empty() => Some(&object.pairs),
            _ => None,
        }
    }

    /// Items of a list or tuple, or of an object with items, such as that of a list's subclass.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            Value::Object(object) if !object.items.is_empty() => Some(&object.items),
            _ => None,
        }
    }

    /// The value of a text key in a dict.
    pub fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        pairs.iter().rev().find(|(found, _)| self.text(*found) == Some(key)).map(|&(_, value)| value)
    }

    /// A short description of a value, for messages.
    pub fn described(&self, id: Id) -> String {
        match self.value(id) {
            Value::None => "None".to_owned(),
            Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Long(_) => "a number of more than 64 bits".to_owned(),
            Value::Float(number) => number.to_string(),
            Value::Text(_) | Value::Bytes(_) => match self.text(id) {
                Some(text) if text.chars().nth(40).is_some() => {
                    format!("{:?}...", text.chars().take(40).collect::<String>())
                }
                Some(text) => format!("{text:?}"),
                None => "bytes".to_owned(),
            },
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Tuple(items) => format!("a tuple of {}", items.len()),
            Value::Set(items) => format!("a set of {}", items.len()),
            Value::Dict(pairs) => format!("a dict of {}", pairs.len()),
            Value::Name { .. } => {
                self.name(id).map_or("a name".to_owned(), |(module, name)| format!("{module}.{name}"))
            }
            Value::Object(object) => format!("an object of {}", self.described_maker(object.maker)),
            Value::Outside(_) => "something outside the pickle".to_owned(),
        }
    }

    fn described_maker(&self, id: Id) -> String {
        match self.name(id) {
            Some((module, name)) => format!("{module}.{name}"),
            None => "an unnamed class".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

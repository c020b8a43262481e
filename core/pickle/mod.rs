//! Python's pickle format, read as data. No code that a pickle names is ever run or even looked for: a class is its name,
//! and an object is what its class would have been called with.
//!
//! All values of a pickle lie in one list and refer to each other by their place there. So a value that stands at many
//! places is held once, a million lists in one another are no deeper than one, and a list may hold itself. Whoever goes
//! through the values sets the limit of how deep, and how often.

mod machine;
mod scalars;

pub use machine::{MOST_OPERATIONS, Names, read};

use std::borrow::Cow;

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

/// A value. Long text is not copied out of the file.
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
    /// Bytes; what Python 2 called text, too.
    Bytes(Cow<'b, [u8]>),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A set, frozen or not.
    Set(Vec<Id>),
    /// A dict, an `OrderedDict` or a `defaultdict`. The last of several values of a key counts.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function.
    Name {
        /// Its module.
        module: Id,
        /// Its name there.
        name: Id,
    },
    /// Something that a class or function would make.
    Object(Box<Object>),
    /// What stands outside the pickle, by its key.
    Outside(Id),
}

/// Something that a class or function would make.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The class or function.
    pub maker: Id,
    /// A tuple of what it would be called with.
    pub arguments: Id,
    /// Items that are appended to it.
    pub items: Vec<Id>,
    /// Keys that are set in it.
    pub pairs: Vec<(Id, Id)>,
    /// What its attributes are set from.
    pub state: Option<Id>,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'b> {
    values: Vec<Value<'b>>,
    root: Id,
    /// How many bytes it takes; more may follow.
    pub length: usize,
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// No end.
    #[error("it ends early; copy it again")]
    Early,
    /// It names code where only plain data is wanted.
    #[error("it wants to call {0}")]
    Call(String),
    /// An operation that what is wanted has no use for.
    #[error("its byte {at}, {operation:#04x}, is an operation that plain data has no use for")]
    Foreign {
        /// Where it stands.
        at: usize,
        /// Its code.
        operation: u8,
    },
    /// Not written by Python.
    #[error("it is damaged at byte {at}: {why}")]
    Damaged {
        /// Where.
        at: usize,
        /// What does not fit.
        why: &'static str,
    },
    /// More than is read.
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

    /// All values there are, in the order in which they were made.
    pub fn values(&self) -> &[Value<'b>] {
        &self.values
    }

    /// Text, in Python 2's form too.
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

    /// Keys and values of a dict, and of an object that had keys set, as subclasses of dict have.
    pub fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.value(id) {
            Value::Dict(pairs) => Some(pairs),
            Value::Object(object) if !object.pairs.is_empty() => Some(&object.pairs),
            _ => None,
        }
    }

    /// What is in a list or tuple, and in an object that items were appended to, as subclasses of list have.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            Value::Object(object) if !object.items.is_empty() => Some(&object.items),
            _ => None,
        }
    }

    /// What a dict has under a key of text.
    pub fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        pairs.iter().rev().find(|(found, _)| self.text(*found) == Some(key)).map(|&(_, value)| value)
    }

    /// A value in a few words, for messages.
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

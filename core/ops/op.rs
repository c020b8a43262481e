//! An operator with its attributes, as a node holds it.

use super::Operator;
use crate::registry::{self, RegistryError};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{fmt, ops::Deref, sync::Arc};

/// An operator with its attributes. It dereferences to [`Operator`].
#[derive(Clone)]
pub struct Op {
    operator: Arc<dyn Operator>,
    attributes: toml::Table,
}

impl Op {
    /// An operator given as a value.
    pub fn new<O: Operator + Serialize + 'static>(operator: O) -> Self {
        let attributes = toml::Table::try_from(&operator).expect("attributes are plain data");
        Self { operator: Arc::new(operator), attributes }
    }

    /// A registered operator by name or alias, with these attributes.
    ///
    /// # Errors
    /// Unknown names and attributes.
    pub fn named(name: &str, attributes: &toml::Table) -> Result<Self, RegistryError> {
        let operator: Box<dyn Operator> = registry::build::<dyn Operator>(name, attributes)?;
        Ok(Self { operator: operator.into(), attributes: registry::resolve::<dyn Operator>(name, attributes)? })
    }

    /// Its attributes, every default written out.
    pub fn attributes(&self) -> &toml::Table {
        &self.attributes
    }
}

impl Deref for Op {
    type Target = dyn Operator;

    fn deref(&self) -> &Self::Target {
        self.operator.as_ref()
    }
}

impl PartialEq for Op {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.attributes == other.attributes
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operator.fmt(f)
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operator", self.name())?;
        for (key, value) in &self.attributes {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

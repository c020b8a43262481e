//! The cost model of a file of measurements, for any quantity.

use super::{FileError, Measured, MeasuredOptions, Quantity};
use limpq_core::graph::{Graph, Layer};
use limpq_core::search::{Accounting, CostError, CostModel, Precision, Unit};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, marker::PhantomData};

/// The quantity in a file, as a type.
pub trait Measures: Send + Sync + 'static {
    /// The quantity.
    const QUANTITY: Quantity;
}

/// The sum over layers of the values in a file.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "MeasuredOptions", into = "MeasuredOptions", bound = "Q: Measures")]
pub struct MeasuredCost<Q>(Measured, PhantomData<fn() -> Q>);

impl<Q> Clone for MeasuredCost<Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<Q: Measures> Default for MeasuredCost<Q> {
    fn default() -> Self {
        Self(Measured::default(), PhantomData)
    }
}

impl<Q: Measures> TryFrom<MeasuredOptions> for MeasuredCost<Q> {
    type Error = FileError;

    fn try_from(options: MeasuredOptions) -> Result<Self, FileError> {
        Ok(Self(Measured::read(options, Q::QUANTITY)?, PhantomData))
    }
}

impl<Q> From<MeasuredCost<Q>> for MeasuredOptions {
    fn from(cost: MeasuredCost<Q>) -> Self {
        cost.0.into_options()
    }
}

impl<Q> JsonSchema for MeasuredCost<Q> {
    fn schema_name() -> Cow<'static, str> {
        MeasuredOptions::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        MeasuredOptions::json_schema(generator)
    }
}

impl<Q: Measures> CostModel for MeasuredCost<Q> {
    fn unit(&self) -> Unit {
        Q::QUANTITY.unit()
    }

    fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
        self.0.value(layer, bits).unwrap_or_default()
    }

    fn counts_fixed_layers(&self, _: Accounting) -> bool {
        self.0.counts_fixed_layers()
    }

    fn covers(&self, layer: &Layer, bits: Precision) -> bool {
        self.0.value(layer, bits).is_some()
    }

    fn check(&self, graph: &Graph) -> Result<(), CostError> {
        self.0.check(graph).map_err(|error| CostError(error.into()))
    }
}

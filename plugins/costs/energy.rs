//! Energy as measured on a device or simulated for one: the sum over layers of what a file says for each at its bits, in
//! picojoules. The file's columns are described in [`super::measured`].

use super::measured::{FileError, Measured, MeasuredOptions, Quantity};
use limpq_core::graph::{Graph, Layer};
use limpq_core::search::{Accounting, CostError, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Picojoules for one image as measured, layer by layer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "MeasuredOptions", into = "MeasuredOptions")]
pub struct Energy(Measured);

impl TryFrom<MeasuredOptions> for Energy {
    type Error = FileError;

    fn try_from(options: MeasuredOptions) -> Result<Self, FileError> {
        Measured::read(options, Quantity::Picojoules).map(Self)
    }
}

impl From<Energy> for MeasuredOptions {
    fn from(Energy(measured): Energy) -> Self {
        measured.into_options()
    }
}

impl CostModel for Energy {
    fn unit(&self) -> Unit {
        Unit::Picojoules
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

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "energy",
    "energy for one image as measured or simulated, from a CSV or JSON file",
    Energy
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{ResNet20, reference::imagenet};
    use limpq_core::registry;

    #[test]
    fn counts_whole_picojoules() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("energy.csv");
        std::fs::write(&path, "layer,w_bits,a_bits,picojoules\nlayer1.0.conv1,8,8,1500000.4\n").unwrap();
        let build = || {
            let options = format!("path = '{}'", path.display()).parse().unwrap();
            registry::build::<dyn CostModel>("energy", &options).map_err(|error| error.to_string())
        };
        let model = build().unwrap();
        let layer = &imagenet(&ResNet20::default()).searchable()[0];
        assert_eq!(model.cost(layer, "w8a8".parse().unwrap(), Accounting::Exact), 1_500_000);
        assert!(!model.covers(layer, "w4a4".parse().unwrap()));
        std::fs::write(&path, "layer,w_bits,a_bits,microseconds\nlayer1.0.conv1,8,8,15\n").unwrap();
        let error = build().err().unwrap();
        assert!(error.contains("unknown column \"microseconds\"") && error.contains("a_bits, picojoules"), "{error}");
    }
}

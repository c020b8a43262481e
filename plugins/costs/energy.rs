//! Energy, measured on a device or simulated: the sum over layers of the values in a file, in picojoules. The file's
//! columns are described in [`super::measured`].

use super::measured::{MeasuredCost, Measures, Quantity};

/// A file of energies.
pub struct EnergyFile;

impl Measures for EnergyFile {
    const QUANTITY: Quantity = Quantity::Picojoules;
}

/// Measured picojoules for one image, summed over layers.
pub type Energy = MeasuredCost<EnergyFile>;

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "energy",
    "energy for one image as measured or simulated, from a CSV or JSON file",
    Energy
);

#[cfg(test)]
mod tests {
    use crate::models::{ResNet20, reference::imagenet};
    use limpq_core::registry;
    use limpq_core::search::{Accounting, CostModel};

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

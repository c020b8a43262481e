//! Two costs of a crate outside. The first: weights that must be fetched from memory because a layer's weights do not
//! fit into the cache, all of them or none. The second, with a unit of its own, is [`brick_cycles`].

pub mod brick_cycles;

use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bits of the weights of layers that do not fit into a cache.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheMisses {
    /// Size of the cache in bits.
    pub cache_bits: u64,
}

impl CostModel for CacheMisses {
    fn unit(&self) -> Unit {
        Unit::Bits
    }

    fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
        let weights = layer.weights * bits.weight.get();
        if weights > self.cache_bits { weights } else { 0 }
    }
}

limpq_core::plugin!(CostModel, "cache_misses", "bits of weights that do not fit into a cache", CacheMisses);

#[test]
fn layers_that_fit_cost_nothing() {
    use limpq as _; // brings the models
    let options = "cache_bits = 15000".parse().unwrap();
    let cost = limpq_core::registry::build::<dyn CostModel>("cache_misses", &options).unwrap();
    let model = limpq_core::registry::build::<dyn limpq_core::graph::Model>("resnet20", &Default::default()).unwrap();
    let first = &model.graph("3x32x32".parse().unwrap(), 10).unwrap().searchable()[0]; // 16*16*9 = 2304 weights
    let at = |bits: &str| cost.cost(first, bits.parse().unwrap(), Accounting::Exact);
    assert_eq!((at("w6a8"), at("w7a8")), (0, 7 * 2304));
}

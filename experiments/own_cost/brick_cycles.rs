//! Clock cycles of an accelerator whose multipliers are fused from bricks of 2 x 2 bits (Bit Fusion; Sharma et al.,
//! ISCA 2018): a product of w-bit weights and a-bit activations takes `ceil(w/2)·ceil(a/2)` bricks, so a layer takes
//! `ceil(macs·ceil(w/2)·ceil(a/2) / bricks)` cycles when all bricks are busy.

use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// Clock cycles for one image on 2 x 2-bit bricks that are all busy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrickCycles {
    /// Number of bricks that work in parallel.
    pub bricks: NonZeroU64,
}

impl Default for BrickCycles {
    fn default() -> Self {
        Self { bricks: NonZeroU64::new(8192).expect("it is not zero") }
    }
}

impl CostModel for BrickCycles {
    fn unit(&self) -> Unit {
        Unit::Own {
            symbol: "kcycles",
            parts: 1_000,
            suffixes: &[("cycles", 1), ("kcycles", 1_000), ("Mcycles", 1_000_000)],
        }
    }

    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64 {
        let bricks = bits.weight.get().div_ceil(2) * bits.act.get().div_ceil(2);
        (accounting.macs(layer) * bricks).div_ceil(self.bricks.get())
    }
}

limpq_core::plugin!(CostModel, "brick_cycles", "clock cycles for one image on 2 x 2-bit multipliers", BrickCycles);

#[test]
fn a_budget_in_cycles_is_read_and_printed() {
    use limpq as _; // brings the models
    use limpq_core::search::{BudgetText, CostTable};
    let model = limpq_core::registry::build::<dyn limpq_core::graph::Model>("resnet20", &Default::default()).unwrap();
    let graph = model.graph("3x32x32".parse().unwrap(), 10).unwrap();
    let cost = limpq_core::registry::build::<dyn CostModel>("brick_cycles", &Default::default()).unwrap();
    let first = &graph.searchable()[0]; // 16*16*9*32*32 = 2359296 multiply-accumulates, 288 for each brick
    let at = |bits: &str| cost.cost(first, bits.parse().unwrap(), Accounting::Exact);
    assert_eq!((at("w2a2"), at("w3a2"), at("w4a4"), at("w8a8")), (288, 2 * 288, 4 * 288, 16 * 288));
    let bits: Precision = "w4a4".parse().unwrap();
    let table = CostTable::new("brick_cycles", &*cost, &graph, [bits], Accounting::Exact);
    let most = |text: &str| text.parse::<BudgetText>().unwrap().limits(&table).unwrap().most;
    assert_eq!(most("brick_cycles=20.5kcycles"), Some(20_500));
    assert_eq!(most("brick_cycles=w4a4"), table.uniform(bits));
    assert_eq!((table.printed(20_500), table.unit.symbol()), (20.5, "kcycles"));
    let error = "brick_cycles=3us".parse::<BudgetText>().unwrap().limits(&table).unwrap_err().to_string();
    assert!(error.contains("8kcycles") && error.contains("12.2x"), "{error}");
}

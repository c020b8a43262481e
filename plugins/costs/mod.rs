//! Costs, one file each: what a layer costs at given bits, for budgets and reports.

mod activation_memory;
mod average_bits;
mod bitops;
mod device;
mod energy;
mod latency_roofline;
mod latency_table;
pub mod measured;
mod memory;
mod size;
mod total_memory;

pub use activation_memory::ActivationMemory;
pub use average_bits::{AverageBits, Of};
pub use bitops::BitOps;
pub use device::{Device, DeviceError, Native, PRESETS};
pub use energy::Energy;
pub use latency_roofline::{LatencyRoofline, RooflineOptions};
pub use latency_table::LatencyTable;
pub use size::Size;
pub use total_memory::TotalMemory;

/// LIMPQ's published policy for ResNet-50 at W3A4 and 12.2x compression, with what its code reports for it.
#[cfg(test)]
pub(crate) mod published {
    use limpq_core::graph::Graph;
    use limpq_core::search::{Accounting, BitWidth, CostModel, CostTable, Precision};

    const WEIGHT_BITS: [u64; 52] = [
        6, 3, 4, 5, 4, 4, 5, 4, 4, 5, 4, 3, 4, 3, 3, 3, 4, 4, 3, 4, 4, 3, 4, 3, 2, 3, 2, 3, 2, 3, 3, 2, 2, 3, 2, 2, 2,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    ];
    const ACT_BITS: [u64; 52] = [
        6, 4, 6, 6, 6, 3, 4, 6, 3, 4, 5, 3, 5, 5, 6, 3, 4, 5, 3, 4, 5, 3, 4, 4, 4, 6, 5, 5, 4, 5, 5, 4, 6, 5, 3, 5, 6,
        3, 5, 6, 3, 6, 4, 4, 6, 2, 6, 4, 6, 6, 4, 6,
    ];

    /// The network that the policy is for.
    pub fn graph() -> Graph {
        crate::models::reference::imagenet(&crate::models::ResNet50::default())
    }

    /// The table of a cost for that network, and the policy's cost in it.
    pub fn cost(model: &dyn CostModel, accounting: Accounting) -> (CostTable, u64) {
        let bits = |bits| BitWidth::new(bits).unwrap();
        let policy: Vec<_> =
            WEIGHT_BITS.iter().zip(ACT_BITS).map(|(&w, a)| Precision { weight: bits(w), act: bits(a) }).collect();
        let w3a4 = "w3a4".parse().unwrap();
        let table = CostTable::new("cost", model, &graph(), policy.iter().copied().chain([w3a4]), accounting);
        let cost = table.total(policy.into_iter()).unwrap();
        (table, cost)
    }
}

//! Latency by the roofline model (Williams et al., CACM 2009): a layer takes as long as its operations at the device's peak
//! or its data at the memory's bandwidth, whichever is longer, and a constant overhead:
//! `overhead + max(2·MACs / peak(W, A), (weights·w' + inputs·a' + outputs·a') / (8·bandwidth))`.
//!
//! (W, A) is a pair that the device has arithmetic for, with `W >= w` and `A >= a`: the fastest one for the layer, so
//! that the latency never falls when bits rise. Data is stored at that pair (`w' = W`, `a' = A`), or packed at the
//! layer's own bits. An output is counted at the bits of the layer's input, since its own bits depend on its readers.
//! Nothing is cached between layers, and only convolutions and fully connected layers take time.
//!
//! Data-sheet peaks are hardly ever reached with one image at a time: good for comparing policies, not for predicting
//! milliseconds. For that, measure (`latency_table`).

use super::device::{Device, DeviceError, Native};
use limpq_core::graph::Layer;
use limpq_core::search::{Accounting, BitWidth, CostModel, Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LatencyRoofline`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RooflineOptions {
    /// The device: a100, h100, jetson_agx_orin, t4, or the path of a description that ends in .toml (as those in
    /// plugins/costs/devices). Must be given.
    pub device: String,
    /// Time of every layer besides computing and moving data, in nanoseconds; overrides the description's value, which
    /// is 0 in the presets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead_ns: Option<u64>,
    /// Whether data is stored at exactly its bits, instead of the bits that the device computes with.
    pub packed: bool,
}

/// Nanoseconds for one image on a device, from its data sheet. The default has no device and knows no layer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RooflineOptions", into = "RooflineOptions")]
pub struct LatencyRoofline {
    options: RooflineOptions,
    device: Option<Device>,
}

impl LatencyRoofline {
    /// Nanoseconds with one pair of the device, rounded up.
    fn on(&self, (device, native): (&Device, &Native), layer: &Layer, bits: Precision, accounting: Accounting) -> u64 {
        // 10^9 operations per second are one per nanosecond; 10^6 bytes per second are one per 1000 nanoseconds.
        let ops = 2 * u128::from(accounting.macs(layer));
        let computing = ops.div_ceil(native.giga_ops_per_second.get().into());
        let (weight, act) = match self.options.packed {
            true => (bits.weight, bits.act),
            false => (native.weight_bits, native.act_bits),
        };
        let stored = |elements: u64, bits: BitWidth| u128::from(elements) * u128::from(bits.get());
        let activations = (layer.in_shape.elements() + layer.out_shape.elements()) as u64;
        let second = layer.weights + layer.second_activations();
        let moved = stored(second, weight) + stored(activations, act);
        let moving = (1000 * moved).div_ceil(8 * u128::from(device.megabytes_per_second.get()));
        u64::try_from(computing.max(moving)).unwrap_or(u64::MAX)
    }

    /// The pairs with at least these bits.
    fn holding(&self, bits: Precision) -> impl Iterator<Item = (&Device, &Native)> {
        let pairs = self.device.iter().flat_map(|device| device.native.iter().map(move |native| (device, native)));
        pairs.filter(move |(_, native)| native.weight_bits >= bits.weight && native.act_bits >= bits.act)
    }
}

impl CostModel for LatencyRoofline {
    fn unit(&self) -> Unit {
        Unit::Nanoseconds
    }

    fn cost(&self, layer: &Layer, bits: Precision, accounting: Accounting) -> u64 {
        let overhead = self.device.as_ref().map_or(0, |device| device.overhead_ns);
        let overhead = self.options.overhead_ns.unwrap_or(overhead);
        let fastest = self.holding(bits).map(|native| self.on(native, layer, bits, accounting)).min();
        fastest.unwrap_or_default().saturating_add(overhead)
    }

    fn covers(&self, _: &Layer, bits: Precision) -> bool {
        self.holding(bits).next().is_some()
    }
}

impl TryFrom<RooflineOptions> for LatencyRoofline {
    type Error = DeviceError;

    fn try_from(options: RooflineOptions) -> Result<Self, DeviceError> {
        Ok(Self { device: Some(Device::find(&options.device)?), options })
    }
}

impl From<LatencyRoofline> for RooflineOptions {
    fn from(roofline: LatencyRoofline) -> Self {
        roofline.options
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "latency_roofline",
    "latency for one image by the roofline model: a device's peak operations, memory bandwidth and overhead",
    LatencyRoofline
);

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::graph::{Builder, Conv, Shape};
    use limpq_core::ops::{ChannelSlice, Matmul, Pad};
    use limpq_core::registry;
    use limpq_core::search::CostTable;

    /// 10^6 weights and multiply-accumulates, 1000 inputs and 1000 outputs.
    fn layer() -> Layer {
        let (mut b, x) = Builder::new("tiny", Shape::new(1000, 1, 1).unwrap(), 2);
        b.conv("body", x, Conv::new(1000, 1));
        b.finish().unwrap().searchable().remove(0)
    }

    /// 1000 operations and 1 byte per nanosecond at 8 bits, twice the operations at 4.
    fn device() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text = r#"
            name = "mine"
            source = "made up for tests"
            date = "2026"
            megabytes_per_second = 1000
            overhead_ns = 7
            native = [
                { weight_bits = 8, act_bits = 8, giga_ops_per_second = 1000 },
                { weight_bits = 4, act_bits = 4, giga_ops_per_second = 2000 },
            ]
        "#;
        std::fs::write(&path, text).unwrap();
        (folder, path.display().to_string())
    }

    fn build(options: &str) -> Result<Box<dyn CostModel>, registry::RegistryError> {
        registry::build::<dyn CostModel>("latency_roofline", &options.parse().unwrap())
    }

    fn latency(options: &str, bits: &str) -> u64 {
        let (_folder, path) = device();
        let model = build(&format!("device = '{path}'\n{options}")).unwrap();
        model.cost(&layer(), bits.parse().unwrap(), Accounting::Exact)
    }

    #[test]
    fn one_layer_by_hand() {
        // 2*10^6 operations take 2000 ns; 10^6 weights and 2000 activations of a byte take 1002000 ns.
        assert_eq!(latency("", "w8a8"), 1_002_000 + 7);
        assert_eq!(latency("", "w5a2"), 1_002_000 + 7, "5 bits are computed on and stored as 8");
        assert_eq!(latency("", "w3a4"), 501_000 + 7);
        assert_eq!(latency("packed = true", "w3a4"), (3_000_000 + 8_000) / 8 + 7);
        assert_eq!(latency("overhead_ns = 100", "w8a8"), 1_002_100);
    }

    /// Both operands of a product are read, each at the bits of its slot: 600 values at the activation's, 900 at the weight's.
    #[test]
    fn a_product_of_activations_by_hand() {
        let (mut b, x) = Builder::new("product", Shape::new(1, 20, 30).unwrap(), 2);
        let wide = b.conv("wide", x, Conv::new(3, 1));
        let y = b.apply("", ChannelSlice { start: 0, end: 1 }, &[wide]);
        let x = b.apply("", Pad { padding: [5, 0, 5, 0] }, &[y]);
        b.apply("qk", Matmul { transpose: true, ..Matmul::default() }, &[y, x]);
        let graph = b.finish().unwrap();
        let layer = graph.searchable().remove(1);
        assert_eq!((layer.name.as_str(), layer.macs, layer.out_shape.to_string()), ("qk", 18_000, "1x20x30".into()));
        let (_folder, path) = device();
        let model = build(&format!("device = '{path}'\npacked = true\noverhead_ns = 0")).unwrap();
        let at = |bits: &str| model.cost(&layer, bits.parse().unwrap(), Accounting::Exact);
        // 600 values in, 600 out at 8 bits, 900 at 8 or 4: a byte for each nanosecond. 36000 operations take 36 ns.
        assert_eq!((at("w8a8"), at("w4a8")), (2_100, 1_650));
    }

    #[test]
    fn a_layer_of_many_operations_takes_the_time_to_compute() {
        let mut layer = layer();
        layer.macs = 3_000_000_001;
        let (_folder, path) = device();
        let model = build(&format!("device = '{path}'")).unwrap();
        let at = |bits: &str| model.cost(&layer, bits.parse().unwrap(), Accounting::Exact);
        assert_eq!(at("w8a8"), 6_000_001 + 7, "rounded up");
        assert_eq!(at("w4a4"), 3_000_001 + 7);
    }

    #[test]
    fn bits_that_the_device_cannot_hold_are_not_known() {
        let (_folder, path) = device();
        let model = build(&format!("device = '{path}'")).unwrap();
        assert!(model.covers(&layer(), "w8a8".parse().unwrap()));
        assert!(!model.covers(&layer(), "w16a8".parse().unwrap()));
    }

    #[test]
    fn resnet18_on_a_t4() {
        let graph = crate::models::reference::imagenet(&crate::models::ResNet18::default());
        let at = |options: &str| {
            let model = build(options).unwrap();
            let w8a8 = "w8a8".parse().unwrap();
            CostTable::new("t4", &*model, &graph, [w8a8], Accounting::Exact).uniform(w8a8).unwrap()
        };
        // Every layer alone takes no longer than all their operations and bytes would one after another.
        let ops = 2 * graph.layers().iter().map(|layer| layer.macs).sum::<u64>() / 130_000;
        let all = |layer: &Layer| layer.weights + (layer.in_shape.elements() + layer.out_shape.elements()) as u64;
        let bytes = graph.layers().iter().map(all).sum::<u64>() / 320;
        let t4 = at("device = 't4'");
        assert!(t4 > ops.max(bytes) && t4 < ops + bytes, "{t4} ns, {ops} ns of operations, {bytes} ns of bytes");
        assert_eq!(at("device = 't4'\noverhead_ns = 1000"), t4 + 21 * 1000);
    }

    #[test]
    fn a_device_must_be_given() {
        let error = build("").err().unwrap().to_string();
        assert_eq!(
            error,
            "cost \"latency_roofline\": no device is given; set device to one of a100, h100, jetson_agx_orin, t4, or to \
             the path of a description that ends in .toml"
        );
        assert!(build("devise = 't4'").err().unwrap().to_string().contains("devise"));
    }

    #[test]
    fn the_option_s_text_names_every_preset() {
        let options = limpq_core::options::describe::<LatencyRoofline>();
        for (preset, _) in super::super::device::PRESETS {
            assert!(options[0].about.contains(preset), "{preset}");
        }
    }
}

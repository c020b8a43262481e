//! Activation memory: the peak number of bits of all tensors that are alive at one time while the network runs on one
//! image, `max over steps of Σ elements·bits`. `memory.rs` describes the schedule of steps, and at which bits a tensor
//! is stored.
//!
//! It is not a sum over layers but a maximum of sums: a budget on it is one row of the integer program per sum, which
//! is exact. Sums and averages are not quantized in this program's training; the default of 8 bits for them is common
//! practice in integer inference.

use super::memory::{Held, Schedule};
use limpq_core::graph::{Graph, Layer};
use limpq_core::search::{Accounting, BitWidth, CostError, CostModel, Precision, Step, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bits of all tensors that are alive at one time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationMemory {
    /// Minimum bits of a tensor that an addition or an average reads, such as the shortcut of a residual block.
    #[schemars(with = "u64")]
    pub residual_bits: BitWidth,
}

impl Default for ActivationMemory {
    fn default() -> Self {
        Self { residual_bits: BitWidth::new(8).expect("8 is a bit-width") }
    }
}

impl ActivationMemory {
    /// The sums whose maximum is the peak.
    pub(super) fn sums(&self, graph: &Graph) -> Vec<Held> {
        Schedule::new(graph).sums(graph).expect("`check` has passed this network")
    }
}

impl CostModel for ActivationMemory {
    fn unit(&self) -> Unit {
        Unit::Bits
    }

    /// Only the layer's inputs.
    fn cost(&self, layer: &Layer, bits: Precision, _: Accounting) -> u64 {
        layer.in_shape.elements() as u64 * bits.act.get() + layer.second_activations() * bits.weight.get()
    }

    fn check(&self, graph: &Graph) -> Result<(), CostError> {
        Schedule::new(graph).sums(graph).map_err(|error| CostError(error.into()))?;
        Ok(())
    }

    fn steps<'a>(&'a self, graph: &'a Graph) -> Vec<Step<'a>> {
        let residual = self.residual_bits;
        let step = |held: Held| Step {
            name: held.name.clone(),
            constant: held.constant * residual.get(),
            layers: held.by_layer.keys().cloned().collect(),
            cost: Box::new(move |layer, bits| held.bits(layer, bits, residual)),
        };
        self.sums(graph).into_iter().map(step).collect()
    }
}

limpq_core::plugin!(
    limpq_core::search::CostModel,
    "activation_memory",
    "peak memory of activations for one image: all tensors that are alive at one time",
    ActivationMemory
);

#[cfg(test)]
mod tests {
    use super::*;
    use limpq_core::graph::{Builder, Conv, Shape};
    use limpq_core::ops::{ChannelSlice, Linear, Matmul, MergeHeads, Softmax, SplitHeads};
    use limpq_core::search::CostTable;

    /// A residual block with a projection. Elements: image 2*16, x 4*16 (stem), y 8*4 (a), z 8*4 (b), s 8*4 (down).
    fn block() -> Graph {
        let (mut b, image) = Builder::new("block", Shape::new(2, 4, 4).unwrap(), 3);
        let x = b.fixed_conv("stem", image, Conv::new(4, 3));
        let x = b.relu(x);
        let y = b.conv("a", x, Conv::new(8, 3).stride(2));
        let y = b.batch_norm("bn", y);
        let y = b.relu(y);
        let z = b.conv("b", y, Conv::new(8, 3));
        let s = b.conv("down", x, Conv::new(8, 1).stride(2));
        let sum = b.add(z, s);
        let x = b.relu(sum);
        let x = b.global_avg_pool(x);
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    fn table(model: &ActivationMemory, graph: &Graph, bits: &[Precision]) -> CostTable {
        model.check(graph).unwrap();
        CostTable::new("activation_memory", model, graph, bits.iter().copied(), Accounting::Exact)
    }

    #[test]
    fn a_residual_block_by_hand() {
        let graph = block();
        let names: Vec<_> = ActivationMemory::default().steps(&graph).into_iter().map(|step| step.name).collect();
        let steps = ["stem", "a", "b", "down", "average pool after down", "fc"];
        for step in steps {
            assert!(names.iter().any(|name| name.starts_with(step)), "{step}: {names:?}");
        }
        let [a, b, down] = ["w8a4", "w8a6", "w8a2"].map(|bits| bits.parse().unwrap());
        let peak = |residual: u64, bits: [Precision; 3]| {
            let model = ActivationMemory { residual_bits: BitWidth::new(residual).unwrap() };
            table(&model, &graph, &bits).total(bits.into_iter()).unwrap()
        };
        // stem: image at 8, x at max(4, 2). b: x, y at 6, and z, which only the sum reads. down: x, z and the sum, which the
        // average reads.
        let stem = 32 * 8 + 64 * 4;
        let at_b = |residual: u64| 64 * 4 + 32 * 6 + 32 * residual;
        let at_down = |residual: u64| 64 * 4 + 32 * residual + 32 * residual;
        assert_eq!((stem, at_b(5), at_down(5), at_b(8), at_down(8)), (512, 608, 576, 704, 768));
        assert_eq!(peak(8, [a, b, down]), at_down(8));
        assert_eq!(peak(5, [a, b, down]), at_b(5));
        assert_eq!(peak(1, [a, b, down]), stem);
        // x is stored at the bits of whichever of its readers has more.
        assert_eq!(peak(5, [down, b, a]), at_b(5));
        let [low, high] = ["w8a2", "w8a8"].map(|bits| bits.parse().unwrap());
        assert_eq!(peak(16, [low, low, high]), 64 * 8 + 32 * 16 + 32 * 16);
    }

    /// Attention of one head: qkv 6x4x1 (24 values), read as q by the product's first operand, as k by its second, and as v by the
    /// second operand of the other. Scores are 1x4x4.
    #[test]
    fn the_operands_of_products_are_held_at_their_own_bits() {
        let (mut b, image) = Builder::new("attention", Shape::new(2, 4, 1).unwrap(), 3);
        let qkv = b.linear("qkv", image, Linear { out: 6, bias: true });
        let [q, k, v] = [0, 2, 4].map(|start| {
            let part = b.apply("", ChannelSlice { start, end: start + 2 }, &[qkv]);
            b.apply("", SplitHeads { heads: 1 }, &[part])
        });
        let scores = b.apply("qk", Matmul { transpose: true, ..Matmul::default() }, &[q, k]);
        let scores = b.apply("", Softmax::default(), &[scores]);
        let mean = b.apply("av", Matmul::default(), &[scores, v]);
        let mean = b.apply("", MergeHeads {}, &[mean]);
        b.classifier("fc", mean);
        let graph = b.finish().unwrap();
        let peak = |[qk, av]: [&str; 2]| {
            let bits = ["w8a8", qk, av].map(|bits| bits.parse().unwrap());
            table(&ActivationMemory::default(), &graph, &bits).total(bits.into_iter()).unwrap()
        };
        // The largest step is the slice of v: qkv (24 values at the most of its readers' bits) and q, k, v of 8 each.
        assert_eq!(peak(["w8a8", "w8a8"]), (24 + 3 * 8) * 8);
        assert_eq!(peak(["w2a4", "w3a2"]), 24 * 4 + 8 * (4 + 2 + 3));
        assert_eq!(peak(["w6a4", "w3a2"]), 24 * 6 + 8 * (4 + 6 + 3));
        assert_eq!(peak(["w2a4", "w8a2"]), 24 * 8 + 8 * (4 + 2 + 8));
        // The scores, 16 values, at the first operand's bits of the second product, beside v and the mean, which the classifier
        // reads at 8: 16*32 + 8*2 + 8*8 at 32 bits.
        assert_eq!(peak(["w2a2", "w2a32"]), 16 * 32 + 8 * 2 + 8 * 8);
    }

    #[test]
    fn budgets_on_it_become_rows() {
        let table = table(&ActivationMemory::default(), &block(), &["w8a2".parse().unwrap()]);
        // At every step some layer's reading is the largest; sums that never are the largest are removed.
        assert!(table.sums.len() > 1, "{:?}", table.sums);
    }

    /// Peak bytes at 8 bits by running the graph: a value is allocated when it is computed and freed after its last
    /// reader; values inside a fused kernel take no memory.
    fn by_running(graph: &Graph) -> u64 {
        let uses = |id| graph.nodes.iter().flat_map(|node| &node.inputs).filter(|&&input| input == id).count();
        let through = |id: usize| {
            let sole = |next: &limpq_core::graph::Node| {
                ["batch_norm", "relu"].contains(&next.op.name())
                    || next.op.name() == "add" && next.inputs.iter().max() == Some(&id)
            };
            uses(id) == 1 && graph.nodes.iter().any(|next| next.inputs.contains(&id) && sole(next))
        };
        let mut left: Vec<usize> = (0..graph.nodes.len()).map(uses).collect();
        let (mut alive, mut peak) = (vec![], 0);
        let mut done: Vec<usize> = vec![];
        for (id, node) in graph.nodes.iter().enumerate() {
            done.extend(&node.inputs);
            if through(id) {
                continue; // still inside the kernel
            }
            alive.push(id);
            peak = peak.max(alive.iter().map(|&id| graph.nodes[id].shape.elements() as u64).sum());
            done.drain(..).for_each(|input| left[input] -= 1);
            alive.retain(|&id| left[id] > 0);
        }
        peak
    }

    #[test]
    fn networks_at_8_bits_hold_what_running_them_holds() {
        use crate::models::{MobileNetV1, ResNet18, ResNet20, ResNet50, reference::imagenet};
        let w8a8 = "w8a8".parse().unwrap();
        let bytes = |graph: &Graph| table(&ActivationMemory::default(), graph, &[w8a8]).uniform(w8a8).unwrap() / 8;
        let (resnet18, mobilenet) = (imagenet(&ResNet18::default()), imagenet(&MobileNetV1::default()));
        // The max pool reads 64x112x112 and writes 64x56x56; the first pointwise reads 32x112x112, writes 64x112x112.
        assert_eq!(bytes(&resnet18), 64 * (112 * 112 + 56 * 56));
        assert_eq!(bytes(&mobilenet), (32 + 64) * 112 * 112);
        for graph in [resnet18, mobilenet, imagenet(&ResNet50::default()), imagenet(&ResNet20::default())] {
            assert_eq!(bytes(&graph), by_running(&graph), "{}", graph.model);
        }
    }

    #[test]
    fn too_many_readers_are_refused_with_the_reason() {
        let (mut b, x) = Builder::new("star", Shape::new(2, 4, 4).unwrap(), 3);
        let mut x = b.conv("start", x, Conv::new(2, 1));
        // Five tensors of seven readers each, all still needed at the end: 7^5 sums.
        let mut wanted = vec![];
        for tensor in 0..5 {
            x = b.conv(&format!("t{tensor}"), x, Conv::new(2, 1));
            wanted.push(x);
        }
        let mut sum = x;
        for (tensor, &x) in wanted.iter().enumerate() {
            for reader in 0..7 {
                let y = b.conv(&format!("t{tensor}r{reader}"), x, Conv::new(2, 1));
                sum = b.add(sum, y);
            }
        }
        b.classifier("fc", sum);
        let error = ActivationMemory::default().check(&b.finish().unwrap()).unwrap_err().to_string();
        assert!(error.contains("of star holds tensors that") && error.contains("more than 4096 sums"), "{error}");
    }
}

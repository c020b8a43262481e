//! DeiT-Tiny (Touvron et al., ICML 2021, table 1): a vision transformer (Dosovitskiy et al., ICLR 2021) of width 192. An image is cut
//! into patches of 16x16 pixels, each becomes a token by one matrix; with a class token before them and positions added, they pass
//! twelve blocks of attention and a small network, `x + f(LN(x))` each (eqs. 1 to 4); a last layer reads the class token. Names as
//! in timm's `deit_tiny_patch16_224`. Dropout and stochastic depth are left out.
//!
//! Tokens are `dim x tokens x 1` here, so that every matrix is a layer that is searched like a 1x1 convolution. Attention (Vaswani
//! et al., NeurIPS 2017, eq. 1), `softmax(q kᵀ / √d) v` for each head, has two products of activations, called `attn.qk` and
//! `attn.av`; both are quantized, at 8 bits unless `fixed` opens them to the search. Their bits called `weight` are those of k and v.

use limpq_core::graph::{Builder, Conv, Graph, GraphError, Model, NodeId, Shape};
use limpq_core::ops::{
    Axis, ChannelSlice, ClassToken, Gelu, LayerNorm, Linear, Matmul, MergeHeads, PositionEmbedding, RowSlice, Softmax,
    SplitHeads, Tokens,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The hidden layer of a block's small network is so many times as wide as a token.
const EXPANSION: usize = 4;
/// timm's.
const EPSILON: f64 = 1e-6;

/// DeiT-Tiny, and vision transformers of other sizes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeitTiny {
    /// Channels of a token; 384 and 768 for DeiT-Small and -Base.
    pub dim: u16,
    /// Number of blocks.
    pub depth: u16,
    /// Heads of attention; they divide `dim`. 6 and 12 for DeiT-Small and -Base.
    pub heads: u16,
    /// Side of a patch, in pixels; it divides the sides of the image.
    pub patch: u16,
}

impl Default for DeitTiny {
    fn default() -> Self {
        Self { dim: 192, depth: 12, heads: 3, patch: 16 }
    }
}

impl Model for DeitTiny {
    fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let [dim, heads, patch] = [self.dim, self.heads, self.patch].map(usize::from);
        if patch == 0 || !input.height.is_multiple_of(patch) || !input.width.is_multiple_of(patch) {
            let why = format!("must divide the sides of the image, {}x{}, got {patch}", input.height, input.width);
            return Err(GraphError::Option { name: "patch", why });
        }
        if heads == 0 || !dim.is_multiple_of(heads) {
            return Err(GraphError::Option { name: "heads", why: format!("must divide dim = {dim}, got {heads}") });
        }
        let (mut b, x) = Builder::new("deit_tiny", input, classes);
        let x = b.fixed_conv("patch_embed.proj", x, Conv::new(dim, patch).stride(patch).padding(0).bias(true));
        let x = b.apply("", Tokens {}, &[x]);
        let x = b.apply("cls_token", ClassToken {}, &[x]);
        let mut x = b.apply("pos_embed", PositionEmbedding {}, &[x]);
        for block in 0..self.depth {
            let name = |part: &str| format!("blocks.{block}.{part}");
            let y = b.apply(&name("norm1"), LayerNorm { epsilon: EPSILON }, &[x]);
            let y = attention(&mut b, &name("attn"), y, heads);
            x = b.add(x, y);
            let y = b.apply(&name("norm2"), LayerNorm { epsilon: EPSILON }, &[x]);
            let y = b.linear(&name("mlp.fc1"), y, Linear { out: EXPANSION * dim, bias: true });
            let y = b.apply("", Gelu::default(), &[y]);
            let y = b.linear(&name("mlp.fc2"), y, Linear { out: dim, bias: true });
            x = b.add(x, y);
        }
        // Only the class token is read, and tokens are normalised each by itself.
        let x = b.apply("", RowSlice { start: 0, end: 1 }, &[x]);
        let x = b.apply("norm", LayerNorm { epsilon: EPSILON }, &[x]);
        b.classifier("head", x);
        b.finish()
    }
}

/// Attention of all heads, between the matrices that come before and after it.
fn attention(b: &mut Builder, name: &str, x: NodeId, heads: usize) -> NodeId {
    let dim = b.channels(x);
    let qkv = b.linear(&format!("{name}.qkv"), x, Linear { out: 3 * dim, bias: true });
    let [q, k, v] = [0, 1, 2].map(|i| {
        let part = b.apply("", ChannelSlice { start: i * dim, end: (i + 1) * dim }, &[qkv]);
        b.apply("", SplitHeads { heads }, &[part])
    });
    let scale = 1.0 / ((dim / heads) as f64).sqrt();
    let weights = b.apply(&format!("{name}.qk"), Matmul { transpose: true, scale }, &[q, k]);
    b.fix(weights);
    let weights = b.apply("", Softmax { axis: Axis::Width }, &[weights]);
    let mean = b.apply(&format!("{name}.av"), Matmul::default(), &[weights, v]);
    b.fix(mean);
    let mean = b.apply("", MergeHeads {}, &[mean]);
    b.linear(&format!("{name}.proj"), mean, Linear { out: dim, bias: true })
}

limpq_core::plugin!(
    limpq_core::graph::Model,
    "deit_tiny",
    "DeiT-Tiny, and vision transformers of other sizes (Touvron et al., 2021; Dosovitskiy et al., 2021)",
    DeitTiny
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::reference::{imagenet, macs, names, trainable};

    #[test]
    fn counts_match_the_reference() {
        let graph = imagenet(&DeitTiny::default());
        // timm's; the paper's table 1 has 5 M. There are no running statistics.
        assert_eq!(trainable(&graph) + graph.other_parameters() / 2, 5_717_416);
        // Of a block: matrices of 12 dim^2 for each of 197 tokens, and two products of 197 x 197 x dim.
        let block = 197 * (12 * 192 * 192 + 2 * 197 * 192);
        assert_eq!(macs(&graph), 196 * 768 * 192 + 12 * block + 192 * 1000);
        assert_eq!(macs(&graph), 1_253_683_200, "1.3 G in timm's table");
    }

    #[test]
    fn sizes_are_options() {
        let small = DeitTiny { dim: 384, heads: 6, ..DeitTiny::default() };
        let graph = imagenet(&small);
        assert_eq!(trainable(&graph) + graph.other_parameters() / 2, 22_050_664, "timm's deit_small_patch16_224");
        let refused = |model: DeitTiny| model.graph("3x32x32".parse().unwrap(), 10).unwrap_err().to_string();
        let error = refused(DeitTiny { patch: 5, ..DeitTiny::default() });
        assert_eq!(error, "option patch: must divide the sides of the image, 32x32, got 5");
        let error = refused(DeitTiny { heads: 5, ..DeitTiny::default() });
        assert_eq!(error, "option heads: must divide dim = 192, got 5");
        let error = refused(DeitTiny { dim: 0, ..DeitTiny::default() });
        assert!(error.contains("patch_embed.proj: output channels must be at least 1"), "{error}");
    }

    #[test]
    fn products_are_layers_that_keep_8_bits() {
        let layers = imagenet(&DeitTiny::default()).layers();
        let names = names(&layers);
        assert_eq!(names.len(), 1 + 12 * 6 + 1);
        let block = ["attn.qkv", "attn.qk", "attn.av", "attn.proj", "mlp.fc1", "mlp.fc2"];
        assert_eq!(names[1..7], block.map(|name| format!("blocks.0.{name}")));
        let fixed: Vec<_> = layers.iter().filter(|layer| layer.fixed).map(|layer| layer.name.as_str()).collect();
        assert_eq!(fixed.len(), 2 + 24);
        assert_eq!(fixed[..3], ["patch_embed.proj", "blocks.0.attn.qk", "blocks.0.attn.av"]);
        assert_eq!(
            (layers[2].in_shape.to_string(), layers[2].out_shape.to_string()),
            ("3x197x64".into(), "3x197x197".into())
        );
        assert!(layers[2].signed_input && !layers[3].signed_input, "attention weights are not negative");
    }
}

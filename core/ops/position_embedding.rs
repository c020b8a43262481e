//! A learned value for each channel of each token, added to it: by it a transformer knows where in the image a token stands
//! (Dosovitskiy et al., ICLR 2021, sec. 3.1). The node's name is that of the tensor, `[1, tokens, dim]` as in PyTorch.

use super::{Init, OpError, Operator, Parameter, ParameterKind, tokens};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A learned value for each channel of each token, added to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PositionEmbedding {}

impl Operator for PositionEmbedding {
    fn name(&self) -> &'static str {
        "position_embedding"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        tokens(inputs)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let (shape, init) = (vec![1, inputs[0].height, inputs[0].channels], Init::Normal(0.02));
        vec![Parameter { name: "", shape, init, kind: ParameterKind::Learned, decay: false, above: None }]
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let input = call.input();
        let [_, channels, tokens, _] = input.dims();
        let learned = call.learned("").expect("it asked for it").reshape([1, tokens, channels, 1]);
        input + learned.swap_dims(1, 2)
    }
}

crate::plugin!(
    crate::ops::Operator,
    "position_embedding",
    "A learned value for each channel of each token, added",
    PositionEmbedding
);

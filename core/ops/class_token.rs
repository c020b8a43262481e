//! A learned token before all others, the same for every image: what a vision transformer classifies by (Dosovitskiy et al., ICLR
//! 2021, sec. 3.1). The node's name is that of the tensor, `[1, 1, dim]` as in PyTorch.

use super::{Init, OpError, Operator, Parameter, ParameterKind, tokens};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A learned token before all others.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassToken {}

impl Operator for ClassToken {
    fn name(&self) -> &'static str {
        "class_token"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = tokens(inputs)?;
        Ok(Shape { height: 1 + input.height, ..input })
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let (shape, init) = (vec![1, 1, inputs[0].channels], Init::Normal(0.02));
        vec![Parameter { name: "", shape, init, kind: ParameterKind::Learned, decay: false, above: None }]
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let token = call.learned("").expect("it asked for it").reshape([1, -1, 1, 1]);
        let input = call.input();
        let batch = input.dims()[0];
        burn::tensor::Tensor::cat(vec![token.repeat_dim(0, batch), input], 2)
    }
}

crate::plugin!(crate::ops::Operator, "class_token", "A learned token before all others", ClassToken);

//! Element-wise product of two inputs. An input of a single pixel is broadcast over the pixels of the other: the gate
//! of squeeze-and-excitation (Hu et al., CVPR 2018).

use super::{OpError, Operator, two};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Element-wise product.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mul {}

impl Operator for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn label(&self) -> &'static str {
        "product"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let [left, right] = two(inputs)?;
        let pixel = |shape: Shape| Shape { height: 1, width: 1, ..shape };
        match (left == right || pixel(left) == right, left == pixel(right)) {
            (true, _) => Ok(left),
            (_, true) => Ok(right),
            _ => Err(OpError::Differ { what: "channels or sides", left, right }),
        }
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs.contains(&true)
    }

    fn in_place(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        let [left, right] = call.two();
        left * right
    }
}

crate::plugin!(crate::ops::Operator, "mul", "Element-wise product; a single pixel is a gate for all pixels", Mul);

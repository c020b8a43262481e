//! Zero padding.

use super::{OpError, Operator, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Zero padding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pad {
    /// Its width: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn label(&self) -> &'static str {
        "padding"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let [top, left, bottom, right] = self.padding;
        let sum = |sides: [usize; 3]| sides.into_iter().try_fold(0usize, usize::checked_add);
        match (sum([top, input.height, bottom]), sum([left, input.width, right])) {
            (Some(height), Some(width)) => Ok(Shape { height, width, ..input }),
            _ => Err(OpError::Attribute(format!("its padding {:?} is too large", self.padding))),
        }
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        use burn::tensor::ops::PadMode;
        let [top, left, bottom, right] = self.padding;
        call.input().pad([(top, bottom), (left, right)], PadMode::Constant(0.0))
    }
}

crate::plugin!(crate::ops::Operator, "pad", "A border of zeros", Pad);

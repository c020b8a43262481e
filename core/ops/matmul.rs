//! Batched product of two activation tensors, as in attention: `batch x rows x inner` times `batch x inner x columns`.
//! Both operands are quantized; the bits called `weight` are those of the second.

use super::{OpError, Operand, Operator, two};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Product of two activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matmul {
    /// Whether the second input is given transposed: `batch x columns x inner`.
    pub transpose: bool,
    /// Factor of the product, such as 1 / sqrt(dim of a head).
    pub scale: f64,
}

impl Default for Matmul {
    fn default() -> Self {
        Self { transpose: false, scale: 1.0 }
    }
}

impl Operator for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let [left, right] = two(inputs)?;
        let (inner, columns) = if self.transpose { (right.width, right.height) } else { (right.height, right.width) };
        if left.channels != right.channels || left.width != inner {
            return Err(OpError::Differ { what: "batches or inner sides", left, right });
        }
        if !self.scale.is_finite() {
            return Err(OpError::Attribute(format!("scale must be finite, got {}", self.scale)));
        }
        Ok(Shape { width: columns, ..left })
    }

    fn operands(&self) -> Option<[Operand; 2]> {
        Some([Operand::Input(0), Operand::Input(1)])
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        (output.elements() * inputs[0].width) as u64
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs.contains(&true) || self.scale < 0.0
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        use crate::train::Arithmetic;
        use burn::tensor::FloatDType;
        let [left, right] = call.two();
        let right = if self.transpose { right.swap_dims(2, 3) } else { right };
        let product = match call.arithmetic {
            Arithmetic::Float32 => left.matmul(right),
            Arithmetic::BFloat16 => {
                left.cast(FloatDType::BF16).matmul(right.cast(FloatDType::BF16)).cast(FloatDType::F32)
            }
        };
        if self.scale == 1.0 { product } else { product * self.scale }
    }
}

crate::plugin!(crate::ops::Operator, "matmul", "Product of two activations, both quantized", Matmul);

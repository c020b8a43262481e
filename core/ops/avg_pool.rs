//! Mean over windows, as PyTorch's `AvgPool2d`.

use super::{OpError, Operator, Window, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean over windows. Pairs are height and width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AvgPool {
    /// Height and width of the window, in pixels.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows, in pixels.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
    /// Whether the padding counts in the divisor.
    pub count_include_pad: bool,
    /// Whether a last window that is only partly inside the image counts.
    pub ceil_mode: bool,
}

impl Default for AvgPool {
    fn default() -> Self {
        Self { kernel: [2; 2], stride: [2; 2], padding: [0; 4], count_include_pad: true, ceil_mode: false }
    }
}

impl Operator for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn label(&self) -> &'static str {
        "average pool"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let [height, width] = self.window().pooled(input, self.ceil_mode)?;
        Ok(Shape { height, width, ..input })
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, dilation: [1; 2], padding: self.padding }
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        use burn::tensor::{module::avg_pool2d, ops::AvgPoolOptions};
        let options = AvgPoolOptions::new(self.kernel)
            .with_stride(self.stride)
            .with_padding_pairs(self.window().pairs())
            .with_count_include_pad(self.count_include_pad)
            .with_ceil_mode(self.ceil_mode);
        avg_pool2d(call.input(), options)
    }
}

crate::plugin!(crate::ops::Operator, "avg_pool", "Mean over windows", AvgPool);

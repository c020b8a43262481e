//! Maximum over windows; the padding counts as minus infinity.

use super::{OpError, Operator, Window, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum over windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaxPool {
    /// Height and width of the window, in pixels.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows, in pixels.
    pub stride: [usize; 2],
    /// Distance between neighbouring elements of a window, in pixels.
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
    /// Whether a last window that is only partly inside the image counts.
    pub ceil_mode: bool,
}

impl Default for MaxPool {
    fn default() -> Self {
        Self::square(2, 2, 0)
    }
}

impl MaxPool {
    /// A square window with equal stride and padding on both axes.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        let Window { kernel, stride, dilation, padding } = Window::square(kernel, stride, padding);
        Self { kernel, stride, dilation, padding, ceil_mode: false }
    }
}

impl Operator for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn label(&self) -> &'static str {
        "max pool"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        let [height, width] = self.window().pooled(input, self.ceil_mode)?;
        Ok(Shape { height, width, ..input })
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, dilation: self.dilation, padding: self.padding }
    }

    fn can_be_negative(&self, inputs: &[bool]) -> bool {
        inputs[0]
    }

    fn selects(&self) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, mut call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        use burn::tensor::{module::max_pool2d, ops::MaxPoolOptions};
        let options = MaxPoolOptions::new(self.kernel)
            .with_stride(self.stride)
            .with_dilation(self.dilation)
            .with_padding_pairs(self.window().pairs())
            .with_ceil_mode(self.ceil_mode);
        max_pool2d(call.input(), options)
    }
}

crate::plugin!(crate::ops::Operator, "max_pool", "Maximum over windows", MaxPool);

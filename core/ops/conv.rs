//! 2-D convolution, as PyTorch's `Conv2d`: each output channel is the sum over a window of the input channels of its
//! group, times the weights `[out, in / groups, kernel height, kernel width]`, plus a bias.

use super::{Init, OpError, Operand, Operator, Parameter, Window, one};
use crate::graph::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// 2-D convolution. Pairs are height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Conv {
    /// Number of output channels.
    pub out: usize,
    /// Height and width of the kernel, in pixels.
    pub kernel: [usize; 2],
    /// Distance between neighbouring positions of the kernel, in pixels.
    pub stride: [usize; 2],
    /// Distance between neighbouring elements of the kernel, in pixels.
    pub dilation: [usize; 2],
    /// Zero padding: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
    /// Channel groups; as many as channels for a depthwise convolution.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Default for Conv {
    fn default() -> Self {
        Self::new(1, 1)
    }
}

impl Conv {
    /// `out` channels, a square kernel with "same" padding where its side is odd, stride 1, one group, no bias.
    pub fn new(out: usize, kernel: usize) -> Self {
        let Window { kernel, stride, dilation, padding } = Window::square(kernel, 1, kernel / 2);
        Self { out, kernel, stride, dilation, padding, groups: 1, bias: false }
    }

    /// The same with this stride on both axes.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// The same with this padding on all sides.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The same with this many groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The same with or without a bias.
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Number of weights of one output channel.
    fn fan_in(&self, input: Shape) -> usize {
        input.channels / self.groups * self.kernel[0] * self.kernel[1]
    }
}

impl Operator for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let input = one(inputs)?;
        for channels in [input.channels, self.out] {
            if self.groups == 0 || !channels.is_multiple_of(self.groups) {
                return Err(OpError::Groups { groups: self.groups, channels });
            }
        }
        if self.out == 0 {
            return Err(OpError::Zero { what: "output channels" });
        }
        let [height, width] = self.window().output(input)?;
        Ok(Shape { channels: self.out, height, width })
    }

    /// Kaiming normal initialisation by fan-out, as in torchvision's networks.
    fn parameters(&self, inputs: &[Shape]) -> Vec<Parameter> {
        let [height, width] = self.kernel;
        let fan_out = self.out * height * width;
        let shape = vec![self.out, inputs[0].channels / self.groups, height, width];
        let weight = Parameter::weight(shape, Init::Normal((2.0 / fan_out as f32).sqrt()));
        let bias = self.bias.then(|| Parameter::per_channel("bias", self.out, 0.0));
        [weight].into_iter().chain(bias).collect()
    }

    fn operands(&self) -> Option<[Operand; 2]> {
        Some([Operand::Input(0), Operand::Weight])
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        (output.elements() * self.fan_in(inputs[0])) as u64
    }

    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, dilation: self.dilation, padding: self.padding }
    }

    fn groups(&self) -> usize {
        self.groups
    }

    fn can_be_negative(&self, _: &[bool]) -> bool {
        true
    }

    #[cfg(feature = "train")]
    fn forward(&self, call: super::Call<'_>) -> burn::tensor::Tensor<4> {
        convolve(call, self.window(), self.groups)
    }
}

/// The convolution of an operator's input with its weights, plus its bias if it has one.
#[cfg(feature = "train")]
pub(super) fn convolve(mut call: super::Call<'_>, window: Window, groups: usize) -> burn::tensor::Tensor<4> {
    use crate::train::{Arithmetic, kernels};
    use burn::tensor::FloatDType;
    let Window { stride, dilation, padding, .. } = window;
    let window = kernels::Window { stride, dilation, padding, groups };
    let (input, weight) = (call.input(), call.weight.take().expect("it asked for weights"));
    let product = match call.arithmetic {
        Arithmetic::Float32 => kernels::convolution(input, weight, window),
        Arithmetic::BFloat16 => {
            let half = FloatDType::BF16;
            kernels::convolution(input.cast(half), weight.cast(half), window).cast(FloatDType::F32)
        }
    };
    match call.learned("bias") {
        None => product,
        Some(bias) => product + bias.reshape([1, -1, 1, 1]),
    }
}

crate::plugin!(crate::ops::Operator, "conv", "2-D convolution with quantized weights and inputs", Conv);

//! What the networks for mobile devices share: a convolution with its batch-norm, channels rounded to multiples of 8, and the
//! inverted residual block (Sandler et al., MobileNetV2, CVPR 2018, fig. 3): a 1x1 convolution widens, a depthwise one filters,
//! and a 1x1 one without activation narrows again. The narrow tensors are added where stride and channels allow.

use limpq_core::graph::{Builder, Conv, GraphError, NodeId};
use limpq_core::ops::BatchNorm;

/// Far beyond any published width, and far from overflow.
const MAX_WIDTH: f64 = 16.0;

/// The multiple of 8 nearest to `width * channels`, at least 8, and never below nine tenths of it.
pub(super) fn thinned(channels: usize, width: f64) -> usize {
    let exact = channels as f64 * width;
    let nearest = (((exact + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if nearest < 0.9 * exact { nearest + 8.0 } else { nearest }) as usize
}

/// Whether a multiplier on channels is above 0 and at most 16.
///
/// # Errors
/// One that is not.
pub(super) fn check_width(width: f64) -> Result<(), GraphError> {
    // NaN is in no range.
    match (f64::MIN_POSITIVE..=MAX_WIDTH).contains(&width) {
        true => Ok(()),
        false => {
            let why = format!("must be above 0 and at most {MAX_WIDTH}, got {width}");
            Err(GraphError::Option { name: "width", why })
        }
    }
}

/// The batch-norm of networks that came from TensorFlow: epsilon 1e-3, and a hundredth of the way for running statistics.
pub(super) const TENSORFLOW: BatchNorm = BatchNorm { epsilon: 1e-3, momentum: 0.01 };

/// A convolution and its batch-norm.
pub(super) fn normalised(b: &mut Builder, x: NodeId, [conv, norm]: [&str; 2], of: Conv, by: &BatchNorm) -> NodeId {
    let x = b.conv(conv, x, of);
    b.apply(norm, by.clone(), &[x])
}

/// The same for the stem, which keeps its bits.
pub(super) fn stem(b: &mut Builder, x: NodeId, [conv, norm]: [&str; 2], of: Conv, by: &BatchNorm) -> NodeId {
    let x = b.fixed_conv(conv, x, of);
    b.apply(norm, by.clone(), &[x])
}

/// The sum of a block's input and output if they are of one shape, else its output.
pub(super) fn residual(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    if b.shape(x) == b.shape(y) { b.add(x, y) } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_multiples_of_8() {
        assert_eq!([1.0, 0.75, 0.5, 0.25, 0.01].map(|width| thinned(32, width)), [32, 24, 16, 8, 8]);
        // 0.35 * 32 = 11.2 rounds to 8, which is less than nine tenths of it.
        assert_eq!(thinned(32, 0.35), 16);
    }
}

//! Conv, with everything that windows share: strides, dilations, borders given or found.

use super::{following_bias, one};
use crate::{
    graph::{Conv, Shape},
    onnx::{
        axes::Axes,
        names::folded_batch_norm,
        proto::Node,
        walk::{Map, Value, Walk},
    },
    ops::Window,
};

pub(super) fn conv<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let weight = walk.constant(node, 1)?.ok_or("has no weights")?;
    let [out, _, height, width] = *weight.shape() else {
        return Err(format!("is a convolution along {} axes, not 2", weight.shape().len().saturating_sub(2)));
    };
    let input = walk.image(&map)?;
    let Window { kernel, stride, dilation, padding } = window(node, [height, width], walk.builder.shape(input))?;
    let groups = usize::try_from(node.int("group").unwrap_or(1)).map_err(|_| "has a negative group")?;
    let given = walk.constant(node, 2)?;
    let apart = match given {
        None => following_bias(walk, &node.output[0], 4, 1, out),
        Some(_) => None,
    };
    let after = apart.as_ref().map(|(index, _)| *index);
    let bias = given.or(apart.map(|(_, bias)| bias));
    let name = walk.name(node, &[(1, "weight"), (2, "bias")]);
    let conv = Conv { out, kernel, stride, dilation, padding, groups, bias: bias.is_some() };
    let tensors = [("weight", weight)].into_iter().chain(bias.map(|bias| ("bias", bias))).collect();
    let result = walk.apply(&name, conv, &[input], tensors)?;
    walk.folded += usize::from(folded_batch_norm(node));
    let axes = Axes::image(walk.batch, walk.builder.shape(result));
    let value = Value::from(Map { node: result, axes });
    if let Some(after) = after {
        walk.absorb(after, value.clone());
    }
    one(Ok(value))
}

/// The window of a convolution or pool over images of this shape.
pub(super) fn window(node: &Node, kernel: [usize; 2], input: Shape) -> Result<Window, String> {
    let pair = |name: &str| match node.ints(name) {
        None => Ok([1; 2]),
        Some(&[rows, columns]) => {
            let side = |side: i64| usize::try_from(side).map_err(|_| format!("its {name} are negative"));
            Ok([side(rows)?, side(columns)?])
        }
        Some(list) => Err(format!("has {} {name}, not 2", list.len())),
    };
    let (stride, dilation) = (pair("strides")?, pair("dilations")?);
    if node.ints("kernel_shape").is_some() && pair("kernel_shape")? != kernel {
        return Err(format!("its kernel_shape is not that of its weights, {kernel:?}"));
    }
    let padding = match node.text("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" | "" => match node.ints("pads") {
            None => [0; 4],
            Some(list) => {
                let all: Option<Vec<usize>> = list.iter().map(|&pad| usize::try_from(pad).ok()).collect();
                all.and_then(|all| all.try_into().ok()).ok_or_else(|| format!("has the pads {list:?}"))?
            }
        },
        "VALID" => [0; 4],
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            let side = |axis: usize, size: usize| {
                let total = same_padding(size, kernel[axis], stride[axis], dilation[axis])?;
                let (less, more) = (total / 2, total - total / 2);
                Some(if same == "SAME_UPPER" { (less, more) } else { (more, less) })
            };
            let sides = side(0, input.height).zip(side(1, input.width));
            let ((top, bottom), (left, right)) = sides.ok_or("has a stride of 0, or a window that is too large")?;
            [top, left, bottom, right]
        }
        other => return Err(format!("has the auto_pad {other:?}")),
    };
    Ok(Window { kernel, stride, dilation, padding })
}

/// How much border there must be for `size / stride` places of the window, rounded up.
fn same_padding(size: usize, kernel: usize, stride: usize, dilation: usize) -> Option<usize> {
    let places = size.checked_add(stride.checked_sub(1)?)?.checked_div(stride)?;
    let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    Some(places.checked_sub(1)?.checked_mul(stride)?.checked_add(reach)?.saturating_sub(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_borders_are_those_of_tensorflow() {
        // tf.nn.conv2d of 224 pixels with a 7 window and stride 2 pads 2 and 3, a 3 window with stride 2 pads 0 and 1.
        assert_eq!(same_padding(224, 7, 2, 1), Some(5));
        assert_eq!(same_padding(224, 3, 2, 1), Some(1));
        assert_eq!(same_padding(225, 3, 2, 1), Some(2));
        assert_eq!(same_padding(10, 1, 2, 1), Some(0));
        assert_eq!(same_padding(10, 3, 1, 2), Some(4));
        assert_eq!(same_padding(10, 3, 0, 2), None);
    }
}

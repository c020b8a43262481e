//! Gemm and MatMul with a constant: fully connected layers, of a whole sample or of each of its pixels or tokens.

use super::{attention, following_bias, one};
use crate::{
    onnx::{
        axes::{Axes, Role, whole},
        constant::Constant,
        fold::{resized, scaled, spread, transpose},
        names::Wanted,
        proto::Node,
        walk::{Map, Value, Walk},
    },
    ops::Linear,
};

pub(super) fn gemm<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    if node.int("transA").unwrap_or(0) != 0 {
        return Err("transposes the activations".to_owned());
    }
    let map = walk.map(node, 0)?;
    let weight = walk.constant(node, 1)?.ok_or("has no weights")?;
    let weight = if node.int("transB").unwrap_or(0) != 0 { weight } else { transpose(&weight, None)? };
    let &[out, _] = weight.shape() else { return Err("its weights are not a matrix".to_owned()) };
    let weight = scaled(&weight, node.float("alpha").unwrap_or(1.0))?;
    let bias = walk.constant(node, 2)?.map(|bias| {
        let bias = scaled(&bias, node.float("beta").unwrap_or(1.0))?;
        resized(&spread(&bias, &[1, out])?, vec![out])
    });
    layer(walk, node, &map, weight, bias.transpose()?, &[(1, "weight"), (2, "bias")])
}

pub(super) fn matmul<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let Ok(weight) = walk.constant(node, 1) else { return attention::product(walk, node) };
    let weight = weight.ok_or("has no weights")?;
    if weight.shape().len() != 2 {
        return Err(format!("its weights {:?} are not a matrix", weight.shape()));
    }
    layer(walk, node, &map, transpose(&weight, None)?, None, &[(1, "weight")])
}

/// A layer with weights `[out, in]`.
fn layer<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    map: &Map,
    weight: Constant,
    bias: Option<Constant>,
    wanted: Wanted,
) -> Result<Vec<Value>, String> {
    let (map, order) = walk.flat(map)?;
    let (out, rank) = (weight.shape()[0], map.axes.0.len());
    let weight = match order {
        None => weight,
        Some(order) => in_order(&weight, &order)?,
    };
    let apart = match bias {
        None => following_bias(walk, &node.output[0], rank, rank - 1, out),
        Some(_) => None,
    };
    let after = apart.as_ref().map(|(index, _)| *index);
    let bias = bias.or(apart.map(|(_, bias)| bias));
    let name = walk.name(node, wanted);
    let linear = Linear { out, bias: bias.is_some() };
    let tensors = [("weight", weight)].into_iter().chain(bias.map(|bias| ("bias", bias))).collect();
    let result = walk.apply(&name, linear, &[map.node], tensors)?;
    let mut axes = map.axes;
    axes.0[rank - 1] = whole(Role::Channels, walk.builder.shape(result));
    let value = Value::from(Map { node: result, axes });
    if let Some(after) = after {
        walk.absorb(after, value.clone());
    }
    one(Ok(value))
}

/// Weights `[out, in]` for inputs that are flattened as `channels x height x width`; `order` is how the file flattens them.
fn in_order(weight: &Constant, order: &Axes) -> Result<Constant, String> {
    let [out, inputs] = [weight.shape()[0], weight.shape()[1]];
    let dims = order.dims();
    if dims.iter().product::<usize>() != inputs {
        return Err(format!("its weights take {inputs} inputs, not {dims:?}"));
    }
    let mut places: Vec<usize> = (0..dims.len()).collect();
    places.sort_by_key(|&place| (order.0[place][0].role, std::cmp::Reverse(order.0[place][0].stride)));
    if places.is_sorted() {
        return Ok(weight.clone());
    }
    let apart = resized(weight, [vec![out], dims].concat())?;
    let moved: Vec<i64> = [0].into_iter().chain(places.into_iter().map(|place| place as i64 + 1)).collect();
    resized(&transpose(&apart, Some(&moved))?, vec![out, inputs])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Shape, onnx::tensor::Array};

    #[test]
    fn weights_for_channels_that_come_last_are_moved() {
        // A 2x2 image of 3 channels, flattened rows first and channels last; weight i of the file is i.
        let shape = Shape { channels: 3, height: 2, width: 2 };
        let order = Axes::image(1, shape).permuted(&[2, 3, 1]);
        let weight: Constant = Array::wholes(vec![1, 12], (0..12).collect()).into();
        let moved = in_order(&weight, &order).unwrap().ints().unwrap();
        assert_eq!(moved, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    }
}

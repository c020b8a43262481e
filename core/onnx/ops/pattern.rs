//! Functions that exporters write as several nodes, found from their first one. They are taken only if nothing else reads what is
//! inside.

use super::{activation, along};
use crate::{
    onnx::{
        axes::Role,
        proto::Node,
        shape,
        walk::{Map, Value, Walk},
    },
    ops::{Gelu, HardSigmoid, HardSwish, Operator},
};
use serde::Serialize;

/// How far apart the constants of a function may be from the exact ones, as they are written in single precision.
const TOLERANCE: f32 = 1e-4;

/// An operator in the place of the node at hand and all of these, the last of which gives its value.
pub(super) fn absorbing(
    walk: &mut Walk,
    map: &Map,
    operator: impl Operator + Serialize + 'static,
    nodes: &[usize],
) -> Result<Vec<Value>, String> {
    let value = walk.elementwise(map, operator)?;
    nodes.iter().for_each(|&index| walk.absorb(index, value.clone()));
    Ok(vec![value])
}

/// The axis of a tensor that is the channels.
pub(super) fn channel_axis(walk: &Walk, map: &Map) -> Result<usize, String> {
    let shape = walk.shape(map);
    if shape.channels == 1 {
        // Of several axes of size 1 it is the one after the batch.
        return Ok(1.min(map.axes.0.len() - 1));
    }
    let found = (0..map.axes.0.len()).find(|&axis| map.axes.is_whole(axis, Role::Channels, shape));
    found.ok_or_else(|| format!("reads {}, whose channels are no axis of their own", map.axes.text()))
}

/// The only node that reads a tensor, if it is of this operator.
fn next<'a>(walk: &Walk<'a>, tensor: &str, operator: &str) -> Option<(usize, &'a Node)> {
    let index = walk.only_reader(tensor)?;
    let node = walk.node(index);
    (node.op_type == operator && node.output.len() == 1).then_some((index, node))
}

/// The only node that reads a tensor, if it combines it by this operator with this number.
fn next_with<'a>(walk: &Walk<'a>, tensor: &str, operator: &str, number: f32) -> Option<(usize, &'a Node)> {
    let (index, node) = next(walk, tensor, operator)?;
    let found = walk.constant_of(other(node, tensor)?, 4)?.uniform()?;
    ((found - number).abs() <= TOLERANCE * number.abs()).then_some((index, node))
}

/// The other input of a node with two.
fn other<'n>(node: &'n Node, tensor: &str) -> Option<&'n str> {
    match node.input.as_slice() {
        [left, right] if left == tensor => Some(right),
        [left, right] if right == tensor => Some(left),
        _ => None,
    }
}

/// The product of a gate with what it is the gate of, if nothing else reads the gate.
pub(super) fn gated(walk: &Walk, gate: &str, of: &str) -> Option<usize> {
    let (index, node) = next(walk, gate, "Mul")?;
    (other(node, gate)? == of).then_some(index)
}

/// The node after a tensor that divides it by 6, in either form.
fn sixth<'a>(walk: &Walk<'a>, tensor: &str) -> Option<(usize, &'a Node)> {
    next_with(walk, tensor, "Div", 6.0).or_else(|| next_with(walk, tensor, "Mul", 1.0 / 6.0))
}

/// `x + 3`, clipped to 0 and 6: with a sixth of it, hard sigmoid; times x, hard swish.
pub(super) fn hard<'a>(walk: &mut Walk<'a>, node: &'a Node, map: &Map) -> Option<Result<Vec<Value>, String>> {
    let x = node.input.iter().find(|name| matches!(walk.value(name), Some(Value::Map(_))))?;
    let three = walk.constant_of(other(node, x)?, 4)?.uniform()?;
    let (clip, clipped) = next(walk, &node.output[0], "Clip")?;
    if three != 3.0 || activation::bounds(walk, clipped).ok()? != (0.0, 6.0) {
        return None;
    }
    let bounded = &clipped.output[0];
    if let Some(product) = gated(walk, bounded, x) {
        let (last, _) = sixth(walk, &walk.node(product).output[0])?;
        return Some(absorbing(walk, map, HardSwish {}, &[clip, product, last]));
    }
    let (part, divided) = sixth(walk, bounded)?;
    match gated(walk, &divided.output[0], x) {
        Some(product) => Some(absorbing(walk, map, HardSwish {}, &[clip, part, product])),
        None => Some(absorbing(walk, map, HardSigmoid::default(), &[clip, part])),
    }
}

/// `x / sqrt(2)`, of which GELU takes the error function: `x (1 + erf(x / sqrt(2))) / 2`, in either order.
pub(super) fn gelu<'a>(walk: &mut Walk<'a>, node: &'a Node, map: &Map) -> Option<Result<Vec<Value>, String>> {
    let x = node.input.first()?;
    let number = walk.constant_of(node.input.get(1)?, 4)?.uniform()?;
    let root = std::f32::consts::SQRT_2;
    let wanted = if node.op_type == "Div" { root } else { root.recip() };
    if (number - wanted).abs() > TOLERANCE {
        return None;
    }
    let (erf, function) = next(walk, &node.output[0], "Erf")?;
    let (add, sum) = next_with(walk, &function.output[0], "Add", 1.0)?;
    let (mul, product) = next(walk, &sum.output[0], "Mul")?;
    let factor = other(product, &sum.output[0])?;
    if factor == x {
        let (half, _) = next_with(walk, &product.output[0], "Mul", 0.5)?;
        return Some(absorbing(walk, map, Gelu { approximate: false }, &[erf, add, mul, half]));
    }
    // Or 1 + erf is halved before it meets x.
    let half = walk.constant_of(factor, 4)?.uniform()?;
    let last = gated(walk, &product.output[0], x).filter(|_| half == 0.5)?;
    Some(absorbing(walk, map, Gelu { approximate: false }, &[erf, add, mul, last]))
}

/// A mean over the last axis with which a layer normalisation begins, as it was written before opset 17:
/// `(x - mean) / sqrt(mean((x - mean)^2) + epsilon) * weight + bias`.
pub(super) fn layer_norm<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Option<Value>, String> {
    let map = walk.map(node, 0)?;
    let Some(found) = layer_norm_nodes(walk, node, &map) else { return Ok(None) };
    let LayerNormNodes { absorbed, scale, weight, bias, epsilon } = found;
    let name = walk.name(scale, &[(0, "weight"), (1, "weight")]);
    let axis = map.axes.0.len() - 1;
    let value = super::norm::normalised(walk, &name, &map, axis, epsilon, weight, Some(bias))?;
    absorbed.into_iter().for_each(|index| walk.absorb(index, value.clone()));
    Ok(Some(value))
}

struct LayerNormNodes<'a> {
    absorbed: Vec<usize>,
    scale: &'a Node,
    weight: crate::onnx::constant::Constant,
    bias: crate::onnx::constant::Constant,
    epsilon: f64,
}

fn layer_norm_nodes<'a>(walk: &Walk<'a>, node: &'a Node, map: &Map) -> Option<LayerNormNodes<'a>> {
    let rank = map.axes.0.len();
    let last = |node: &Node| {
        let given = walk.constant(node, 1).ok()?;
        let axes = shape::axes(&shape::list(node, "axes", given.as_ref()).ok()??, rank).ok()?;
        (axes == [rank - 1]).then_some(())
    };
    last(node)?;
    let (sub, centred) = next(walk, &node.output[0], "Sub")?;
    if centred.input != [node.input[0].clone(), node.output[0].clone()] {
        return None;
    }
    let &[first, second] = walk.readers(&centred.output[0]) else { return None };
    let (pow, div) = match (walk.node(first).op_type.as_str(), walk.node(second).op_type.as_str()) {
        ("Pow", "Div") => (first, second),
        ("Div", "Pow") => (second, first),
        _ => return None,
    };
    let two = walk.constant_of(walk.node(pow).input(1)?, 4)?.uniform()?;
    let (mean, variance) = next(walk, &walk.node(pow).output[0], "ReduceMean").filter(|_| two == 2.0)?;
    last(variance)?;
    let (add, sum) = next(walk, &variance.output[0], "Add")?;
    let epsilon = walk.constant_of(other(sum, &variance.output[0])?, 4)?.uniform()?;
    let (sqrt, root) = next(walk, &sum.output[0], "Sqrt")?;
    let (divides, divided) = next(walk, &root.output[0], "Div")?;
    if divides != div || divided.input(0)? != centred.output[0] {
        return None;
    }
    let channels = walk.shape(map).channels;
    let parameter =
        |node: &Node, tensor: &str| along(&walk.constant_of(other(node, tensor)?, 4)?, rank, rank - 1, channels);
    let (mul, scale) = next(walk, &divided.output[0], "Mul")?;
    let weight = parameter(scale, &divided.output[0])?;
    let (shift, shifted) = next(walk, &scale.output[0], "Add")?;
    let bias = parameter(shifted, &scale.output[0])?;
    let absorbed = vec![sub, pow, mean, add, sqrt, div, mul, shift];
    Some(LayerNormNodes { absorbed, scale, weight, bias, epsilon: crate::onnx::tensor::decimal(epsilon) })
}

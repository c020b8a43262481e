//! Activation functions.

use super::{along, one, pattern};
use crate::{
    onnx::{
        proto::Node,
        walk::{Map, Value, Walk},
    },
    ops::{Axis, Clip, Gelu, HardSigmoid, HardSwish, LeakyRelu, Prelu, Relu, Sigmoid, Silu, Softmax, Tanh},
};

pub(super) fn relu<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    one(walk.elementwise(&map, Relu {}))
}

pub(super) fn tanh<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    one(walk.elementwise(&map, Tanh {}))
}

/// The bounds of a Clip: attributes until opset 10, then inputs; each may be left out.
pub(super) fn bounds(walk: &Walk, node: &Node) -> Result<(f64, f64), String> {
    let bound = |name: &str, place: usize, open: f32| {
        let input = walk.constant(node, place)?;
        let input = input.map(|input| input.scalar().ok_or_else(|| format!("its {name} is no single number")));
        let value = input.transpose()?.or_else(|| node.attribute(name)?.f);
        Ok::<_, String>(crate::onnx::tensor::decimal(value.unwrap_or(open).clamp(f32::MIN, f32::MAX)))
    };
    Ok((bound("min", 1, f32::MIN)?, bound("max", 2, f32::MAX)?))
}

pub(super) fn clip<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let (min, max) = bounds(walk, node)?;
    match (min == 0.0, max >= f64::from(f32::MAX)) {
        (true, true) => one(walk.elementwise(&map, Relu {})),
        _ => one(walk.elementwise(&map, Clip { min, max })),
    }
}

pub(super) fn sigmoid<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    match pattern::gated(walk, &node.output[0], &node.input[0]) {
        Some(product) => pattern::absorbing(walk, &map, Silu {}, &[product]),
        None => one(walk.elementwise(&map, Sigmoid {})),
    }
}

pub(super) fn swish<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    match node.float("alpha").unwrap_or(1.0) {
        1.0 => one(walk.elementwise(&map, Silu {})),
        alpha => Err(format!("has the alpha {alpha}, not 1")),
    }
}

pub(super) fn hard_sigmoid<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let (slope, offset) = (node.float("alpha").unwrap_or(0.2), node.float("beta").unwrap_or(0.5));
    let default = HardSigmoid::default();
    // Exporters write 1/6 in single precision.
    let slope = if (slope - default.slope).abs() < 1e-6 { default.slope } else { slope };
    if (slope, offset) == (default.slope, default.offset)
        && let Some(product) = pattern::gated(walk, &node.output[0], &node.input[0])
    {
        return pattern::absorbing(walk, &map, HardSwish {}, &[product]);
    }
    one(walk.elementwise(&map, HardSigmoid { slope, offset }))
}

pub(super) fn hard_swish<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    one(walk.elementwise(&map, HardSwish {}))
}

pub(super) fn leaky_relu<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let slope = node.float("alpha").unwrap_or(0.01);
    one(walk.elementwise(&map, LeakyRelu { slope }))
}

pub(super) fn gelu<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    one(walk.elementwise(&map, Gelu { approximate: node.text("approximate") == Some("tanh") }))
}

pub(super) fn prelu<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    let slope = walk.constant(node, 1)?.ok_or("has no slope")?;
    let (rank, channels) = (map.axes.0.len(), walk.shape(&map).channels);
    let single = slope.shape().iter().product::<usize>() == 1;
    let slopes = if single { 1 } else { channels };
    let axis = pattern::channel_axis(walk, &map)?;
    let weight = along(&slope, rank, axis, slopes).ok_or("has slopes that are not one for each channel")?;
    let name = walk.name(node, &[(1, "weight")]);
    let prelu = Prelu { per_channel: !single, ..Prelu::default() };
    let result = walk.apply(&name, prelu, &[map.node], vec![("weight", weight)])?;
    one(Ok(Map { node: result, axes: map.axes }.into()))
}

pub(super) fn softmax<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    use crate::onnx::{axes::Role, shape};
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    // Until opset 12 it went over all axes from this one on.
    let default = if walk.opset < 13 { 1 } else { -1 };
    let (rank, shape) = (map.axes.0.len(), walk.shape(&map));
    let at = shape::axis(node.int("axis").unwrap_or(default), rank)?;
    let others = walk.opset < 13 && map.axes.0[at + 1..].iter().any(|axis| !axis.is_empty());
    let known = [(Role::Channels, Axis::Channels), (Role::Height, Axis::Height), (Role::Width, Axis::Width)];
    let axis = known.into_iter().find(|&(role, _)| map.axes.is_whole(at, role, shape) && !others);
    let (_, axis) = axis.ok_or_else(|| format!("goes over axis {at} of {}", map.axes.text()))?;
    one(walk.elementwise(&map, Softmax { axis }))
}

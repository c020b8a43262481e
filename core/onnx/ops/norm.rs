//! BatchNormalization and LayerNormalization.

use super::one;
use crate::{
    onnx::{
        axes::Role,
        constant::Constant,
        proto::Node,
        shape,
        walk::{Map, Value, Walk},
    },
    ops::{BatchNorm, LayerNorm},
};

pub(super) fn batch<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    let shape = walk.shape(&map);
    if map.axes.0.len() < 2 || !map.axes.is_whole(1, Role::Channels, shape) {
        return Err(format!("normalises axis 1 of {}, which is not the channels", map.axes.text()));
    }
    let mut tensors = vec![];
    let wanted = [(1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")];
    for (place, name) in wanted {
        tensors.push((name, walk.constant(node, place)?.ok_or_else(|| format!("has no {name}"))?));
    }
    let name = walk.name(node, &wanted);
    // ONNX counts what stays of the old statistics, PyTorch what is taken of the new ones.
    let momentum = (1.0 - node.float("momentum").unwrap_or(0.9)).clamp(0.0, 1.0);
    let norm = BatchNorm { epsilon: node.float("epsilon").unwrap_or(1e-5), momentum: rounded(momentum) };
    let result = walk.apply(&name, norm, &[map.node], tensors)?;
    one(Ok(Map { node: result, axes: map.axes }.into()))
}

/// Without what subtraction leaves behind: 0.1, not 0.09999999999999998.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

pub(super) fn layer<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let rank = map.axes.0.len();
    let axis = shape::axis(node.int("axis").unwrap_or(-1), rank)?;
    let weight = walk.constant(node, 1)?.ok_or("has no scale")?;
    let bias = walk.constant(node, 2)?;
    let name = walk.name(node, &[(1, "weight"), (2, "bias")]);
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    one(normalised(walk, &name, &map, axis, epsilon, weight, bias))
}

/// A layer normalisation from this axis on, which must be the channels and the last one.
pub(super) fn normalised(
    walk: &mut Walk,
    name: &str,
    map: &Map,
    axis: usize,
    epsilon: f64,
    weight: Constant,
    bias: Option<Constant>,
) -> Result<Value, String> {
    let map = walk.in_order(map)?;
    let (rank, shape) = (map.axes.0.len(), walk.shape(&map));
    if axis + 1 != rank || !map.axes.is_whole(axis, Role::Channels, shape) {
        return Err(format!("normalises axes {axis}.. of {}, which are not the channels", map.axes.text()));
    }
    let bias = match bias {
        Some(bias) => bias,
        None => Constant::filled(vec![shape.channels], 0.0)?,
    };
    let tensors = vec![("weight", weight), ("bias", bias)];
    let node = walk.apply(name, LayerNorm { epsilon }, &[map.node], tensors)?;
    Ok(Map { node, axes: map.axes }.into())
}

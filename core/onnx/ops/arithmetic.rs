//! Sums, products and their inverses: of two activations, or of an activation and a constant for each channel.

use super::{along, attention, following_bias, one, pattern};
use crate::{
    onnx::{
        axes::Axes,
        constant::Constant,
        fold::{inverse, negative},
        proto::Node,
        walk::{Map, Value, Walk},
    },
    ops::{Add, Mul, Scale},
};

/// What a node with two inputs computes with.
enum Operands {
    Both(Map, Map),
    /// An activation and a constant, which comes first if `true`.
    One(Map, Constant, bool),
}

fn operands(walk: &Walk, node: &Node) -> Result<Operands, String> {
    let value = |place: usize| node.input(place).and_then(|name| walk.value(name));
    match (value(0), value(1)) {
        (Some(Value::Map(left)), Some(Value::Map(right))) => Ok(Operands::Both(left, right)),
        (Some(Value::Map(map)), Some(Value::Constant(constant))) => Ok(Operands::One(map, constant, false)),
        (Some(Value::Constant(constant)), Some(Value::Map(map))) => Ok(Operands::One(map, constant, true)),
        _ => Err("does not have two inputs".to_owned()),
    }
}

/// The axes of what two activations give, if they are arranged alike; axes of size 1 are repeated.
fn together(left: &Map, right: &Map) -> Result<Axes, String> {
    let (a, b) = (&left.axes.0, &right.axes.0);
    let rank = a.len().max(b.len());
    let axis = |axes: &Vec<Vec<_>>, place: usize| {
        (place + axes.len()).checked_sub(rank).map(|place| axes[place].clone()).unwrap_or_default()
    };
    let both = (0..rank).map(|place| match (axis(a, place), axis(b, place)) {
        (left, right) if left == right || right.is_empty() => Ok(left),
        (left, right) if left.is_empty() => Ok(right),
        _ => Err(format!("reads {} and {}", left.axes.text(), right.axes.text())),
    });
    Ok(Axes(both.collect::<Result<_, _>>()?))
}

fn added(walk: &mut Walk, left: &Map, right: &Map) -> Result<Map, String> {
    let axes = together(left, right)?;
    let node = walk.apply("", Add {}, &[left.node, right.node], vec![])?;
    Ok(Map { node, axes })
}

/// `weight x + bias` for each channel; what is not given is 1 or 0.
fn scaled<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    map: &Map,
    weight: Option<&Constant>,
    bias: Option<&Constant>,
) -> Result<Value, String> {
    let map = walk.in_order(map)?;
    let (rank, axis, channels) = (map.axes.0.len(), pattern::channel_axis(walk, &map)?, walk.shape(&map).channels);
    let of = |constant: &Constant| {
        let why =
            || format!("computes with a constant {:?}, which is not one number for each channel", constant.shape());
        along(constant, rank, axis, channels).ok_or_else(why)
    };
    let number = weight.map_or(Some(1.0), Constant::uniform);
    let init = number.map_or(1.0, crate::onnx::tensor::decimal);
    let weight = match weight {
        Some(weight) => of(weight)?,
        None => Constant::filled(vec![channels], 1.0)?,
    };
    let mut bias = bias.map(of).transpose()?;
    let mut after = None;
    if bias.is_none() {
        let apart = following_bias(walk, &node.output[0], rank, axis, channels);
        after = apart.as_ref().map(|(index, _)| *index);
        bias = apart.map(|(_, bias)| bias);
    }
    let tensor = node.input.iter().find(|name| !matches!(walk.value(name), Some(Value::Map(_))));
    let name = walk.names.of_tensor(node, tensor.map_or("", String::as_str));
    let scale = Scale { init, bias: bias.is_some() };
    let tensors = [("weight", weight)].into_iter().chain(bias.map(|bias| ("bias", bias))).collect();
    let result = walk.apply(&name, scale, &[map.node], tensors)?;
    let value = Value::from(Map { node: result, axes: map.axes });
    if let Some(after) = after {
        walk.absorb(after, value.clone());
    }
    Ok(value)
}

/// The same activation, if only a product of two activations reads the node: it takes over the number that the node multiplies
/// by.
fn factored<'a>(walk: &mut Walk<'a>, node: &'a Node, map: &Map) -> Option<Vec<Value>> {
    let output = node.output.first().filter(|output| attention::is_operand(walk, output))?;
    let factor = attention::factor(walk, node)?;
    walk.keep_factor(output, factor);
    Some(vec![map.clone().into()])
}

/// Whether an operation with this constant changes nothing.
fn is(constant: &Constant, number: f32) -> bool {
    constant.uniform() == Some(number)
}

pub(super) fn add<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    match operands(walk, node)? {
        Operands::Both(left, right) => one(added(walk, &left, &right).map(Value::from)),
        Operands::One(map, constant, _) => {
            if let Some(found) = pattern::hard(walk, node, &map) {
                return found;
            }
            if let Some(found) = attention::position_embedding(walk, node, &map, &constant)? {
                return Ok(vec![found]);
            }
            match is(&constant, 0.0) && constant.shape().len() <= map.axes.0.len() {
                true => one(Ok(map.into())),
                false => one(scaled(walk, node, &map, None, Some(&constant))),
            }
        }
    }
}

pub(super) fn sub<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    match operands(walk, node)? {
        Operands::Both(..) => Err("is a difference of two activations".to_owned()),
        Operands::One(map, constant, false) => one(scaled(walk, node, &map, None, Some(&negative(&constant)?))),
        Operands::One(map, constant, true) => {
            let minus = Constant::filled(vec![1], -1.0)?;
            one(scaled(walk, node, &map, Some(&minus), Some(&constant)))
        }
    }
}

pub(super) fn mul<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    match operands(walk, node)? {
        Operands::Both(left, right) => {
            let axes = together(&left, &right)?;
            let result = walk.apply("", Mul {}, &[left.node, right.node], vec![])?;
            one(Ok(Map { node: result, axes }.into()))
        }
        Operands::One(map, constant, first) => {
            if !first && let Some(found) = pattern::gelu(walk, node, &map) {
                return found;
            }
            if let Some(kept) = factored(walk, node, &map) {
                return Ok(kept);
            }
            match is(&constant, 1.0) && constant.shape().len() <= map.axes.0.len() {
                true => one(Ok(map.into())),
                false => one(scaled(walk, node, &map, Some(&constant), None)),
            }
        }
    }
}

pub(super) fn div<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    match operands(walk, node)? {
        Operands::One(map, constant, false) => {
            if let Some(found) = pattern::gelu(walk, node, &map) {
                return found;
            }
            if let Some(kept) = factored(walk, node, &map) {
                return Ok(kept);
            }
            one(scaled(walk, node, &map, Some(&inverse(&constant)?), None))
        }
        _ => Err("divides by activations".to_owned()),
    }
}

pub(super) fn sum<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let mut sum = walk.map(node, 0)?;
    for place in 1..node.input.len() {
        let next = walk.map(node, place)?;
        sum = added(walk, &sum, &next)?;
    }
    Ok(vec![sum.into()])
}

//! Operators that only arrange values: the axes are tracked, and nothing is computed.

use super::one;
use crate::{
    onnx::{
        axes::{Axes, Role},
        fold,
        proto::Node,
        shape,
        tensor::Kind,
        walk::{Map, Value, Walk},
    },
    ops::Pad,
};

/// Identity, and Dropout outside of training.
pub(super) fn same<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    if node.output.get(1).is_some_and(|mask| !walk.readers(mask).is_empty()) {
        return Err("gives its mask, too".to_owned());
    }
    Ok(vec![walk.map(node, 0)?.into()])
}

pub(super) fn cast<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    match Kind::of(node.int("to").unwrap_or_default() as i32) {
        Ok(kind) if kind.is_float() => Ok(vec![map.into()]),
        _ => Err("makes activations whole numbers".to_owned()),
    }
}

pub(super) fn cast_like<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    // Activations are floats; only the type of the second input matters.
    match node.input(0).and_then(|name| walk.value(name)) {
        Some(Value::Constant(constant)) => Ok(vec![fold::cast_like(&constant, true)?.into()]),
        _ => Ok(vec![walk.map(node, 0)?.into()]),
    }
}

pub(super) fn shape_of<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    Ok(vec![fold::shape_of(node, &map.axes.dims())?.into()])
}

fn arranged(map: Map, axes: Option<Axes>, dims: &[usize]) -> Result<Vec<Value>, String> {
    let why = || format!("makes {dims:?} of {}, which cuts an axis in parts that do not fit", map.axes.text());
    let axes = axes.ok_or_else(why)?;
    one(Ok(Map { node: map.node, axes }.into()))
}

pub(super) fn reshape<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let target = match node.ints("shape") {
        Some(list) => list.to_vec(),
        None => walk.constant(node, 1)?.ok_or("has no shape")?.ints()?,
    };
    let dims = shape::reshaped(&map.axes.dims(), &target, node.int("allowzero") == Some(1))?;
    let axes = map.axes.reshaped(&dims);
    arranged(map, axes, &dims)
}

pub(super) fn flatten<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let dims = shape::flattened(&map.axes.dims(), node.int("axis").unwrap_or(1))?;
    let axes = map.axes.reshaped(&dims);
    arranged(map, axes, &dims)
}

pub(super) fn transpose<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let rank = map.axes.0.len();
    let order = match node.ints("perm") {
        Some(list) => list.iter().map(|&axis| shape::axis(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(format!("its perm {order:?} is not an order of {rank} axes"));
    }
    one(Ok(Map { node: map.node, axes: map.axes.permuted(&order) }.into()))
}

pub(super) fn squeeze<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let given = walk.constant(node, 1)?;
    let away = shape::list(node, "axes", given.as_ref())?;
    let mut left = shape::squeezed(&map.axes.dims(), away.as_deref())?;
    // Without a list, a batch of one image stays an axis.
    let batch = map.axes.is_batch(0);
    if away.is_none() && batch && !left.contains(&0) {
        left.insert(0, 0);
    }
    if batch && !left.contains(&0) {
        return Err("takes the batch away".to_owned());
    }
    one(Ok(Map { node: map.node, axes: map.axes.permuted(&left) }.into()))
}

pub(super) fn unsqueeze<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let given = walk.constant(node, 1)?;
    let new = shape::list(node, "axes", given.as_ref())?.ok_or("has no axes")?;
    let rank = map.axes.0.len() + new.len();
    let places = shape::axes(&new, rank)?;
    if rank - places.len() != map.axes.0.len() {
        return Err("an axis is added twice".to_owned());
    }
    let mut old = map.axes.0.into_iter();
    let axes = (0..rank).map(|place| if places.contains(&place) { vec![] } else { old.next().unwrap_or_default() });
    one(Ok(Map { node: map.node, axes: Axes(axes.collect()) }.into()))
}

pub(super) fn expand<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let target = walk.constant(node, 1)?.ok_or("has no shape")?.ints()?;
    let target: Option<Vec<usize>> = target.iter().map(|&size| usize::try_from(size).ok()).collect();
    let dims = map.axes.dims();
    match shape::broadcast(&dims, &target.ok_or("has a negative shape")?)? == dims {
        true => Ok(vec![map.into()]),
        false => Err("repeats activations".to_owned()),
    }
}

pub(super) fn pad<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    let (rank, shape) = (map.axes.0.len(), walk.shape(&map));
    let given = walk.constant(node, 1)?;
    let pads = shape::list(node, "pads", given.as_ref())?.ok_or("has no pads")?;
    let mut of = vec![[0; 2]; rank];
    let axes = match walk.constant(node, 3)? {
        Some(axes) => axes.ints()?.iter().map(|&axis| shape::axis(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("has {} pads for {} axes", pads.len(), axes.len()));
    }
    for (place, axis) in axes.iter().enumerate() {
        let side = |pad: i64| usize::try_from(pad).map_err(|_| "cuts a border off".to_owned());
        of[*axis] = [side(pads[place])?, side(pads[place + axes.len()])?];
    }
    if of.iter().all(|pads| *pads == [0; 2]) {
        return Ok(vec![map.into()]);
    }
    let value = walk.constant(node, 2)?.map_or(node.float("value").map(|value| value as f32), |value| value.scalar());
    if node.text("mode").unwrap_or("constant") != "constant" || value.unwrap_or(0.0) != 0.0 {
        return Err("fills the border with other values than 0".to_owned());
    }
    let mut padding = [0; 4];
    for (axis, [before, after]) in of.into_iter().enumerate().filter(|(_, pads)| *pads != [0; 2]) {
        let side = [Role::Height, Role::Width].into_iter().position(|role| map.axes.is_whole(axis, role, shape));
        // An axis of size 1 may be either; the image's own order tells which.
        let side = if map.axes.is_image(shape) { axis.checked_sub(2) } else { side };
        let side = side.ok_or_else(|| format!("pads axis {axis} of {}", map.axes.text()))?;
        (padding[side], padding[side + 2]) = (before, after);
    }
    let dims: Vec<usize> = map.axes.0.iter().map(Vec::len).collect();
    let result = walk.apply("", Pad { padding }, &[map.node], vec![])?;
    let new = walk.builder.shape(result);
    let (was_image, mut axes) = (map.axes.is_image(shape), map.axes);
    if was_image {
        axes = Axes::image(walk.batch, new);
    } else {
        for (axis, &roles) in dims.iter().enumerate() {
            for role in [Role::Height, Role::Width] {
                if roles > 0 && axes.is_whole(axis, role, shape) {
                    axes.0[axis] = crate::onnx::axes::whole(role, new);
                }
            }
        }
    }
    one(Ok(Map { node: result, axes }.into()))
}

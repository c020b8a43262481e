//! Operators that take some of the channels, or put channels side by side.

use super::{attention, one};
use crate::{
    onnx::{
        axes::{Atom, Axes, Role, bare, joined, whole},
        proto::Node,
        shape,
        walk::{Map, Value, Walk},
    },
    ops::{ChannelSlice, Concat, RowSlice},
};

pub(super) fn concat<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    if let Some(with_token) = attention::class_token(walk, node)? {
        return Ok(vec![with_token]);
    }
    let mut maps = vec![];
    for place in 0..node.input.len() {
        let map = walk.map(node, place)?;
        maps.push(walk.in_order(&map)?);
    }
    let first = maps.first().ok_or("has no inputs")?.clone();
    let axis = shape::axis(node.int("axis").ok_or("has no axis")?, first.axes.0.len())?;
    for map in &maps {
        let alike = map.axes.0.len() == first.axes.0.len()
            && (0..first.axes.0.len()).all(|at| at == axis || map.axes.0[at] == first.axes.0[at]);
        if !alike || axis == 0 || !map.axes.is_whole(axis, Role::Channels, walk.shape(map)) {
            return Err(format!("puts axis {axis} of {} side by side, which is not the channels", map.axes.text()));
        }
    }
    let inputs: Vec<_> = maps.iter().map(|map| map.node).collect();
    let result = if let [only] = inputs[..] { only } else { walk.apply("", Concat {}, &inputs, vec![])? };
    let mut axes = first.axes;
    axes.0[axis] = whole(Role::Channels, walk.builder.shape(result));
    one(Ok(Map { node: result, axes }.into()))
}

/// `count` places of an axis from `start` on.
fn taken(walk: &mut Walk, map: &Map, axis: usize, start: usize, count: usize) -> Result<Map, String> {
    let size = map.axes.dims()[axis];
    if (start, count) == (0, size) {
        return Ok(map.clone());
    }
    let map = walk.in_order(map)?;
    let shape = walk.shape(&map);
    if shape.height > 1 && map.axes.is_whole(axis, Role::Height, shape) {
        let node = walk.apply("", RowSlice { start, end: start + count }, &[map.node], vec![])?;
        let mut axes = map.axes;
        axes.0[axis] = whole(Role::Height, walk.builder.shape(node));
        return Ok(Map { node, axes });
    }
    let channels = shape.channels;
    let why =
        || format!("takes a part of axis {axis} of {}, which is neither the channels nor the rows", map.axes.text());
    // The outermost part of the channels: what is taken lies together.
    let part = match bare(&map.axes.0[axis])[..] {
        [part] if part.role == Role::Channels && part.size * part.stride == channels => part,
        _ => return Err(why()),
    };
    if count == 0 {
        return Err("takes nothing".to_owned());
    }
    let slice = ChannelSlice { start: start * part.stride, end: (start + count) * part.stride };
    let node = walk.apply("", slice, &[map.node], vec![])?;
    let mut axes = map.axes;
    axes.0[axis] = if count == 1 { vec![] } else { vec![Atom { size: count, ..part }] };
    let axes = Axes(axes.0.into_iter().map(joined).collect());
    Ok(Map { node, axes })
}

pub(super) fn split<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    let dims = map.axes.dims();
    let axis = shape::axis(node.int("axis").unwrap_or(0), dims.len())?;
    let given = walk.constant(node, 1)?;
    let mut start = 0;
    let mut values = vec![];
    for (piece, size) in shape::pieces(node, dims[axis], given.as_ref())?.into_iter().enumerate() {
        let read = node.output.get(piece).is_some_and(|name| !walk.readers(name).is_empty());
        values.push(if read { taken(walk, &map, axis, start, size)?.into() } else { Value::Lost });
        start += size;
    }
    Ok(values)
}

pub(super) fn slice<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let mut map = walk.map(node, 0)?;
    let inputs = (0..node.input.len()).map(|place| if place == 0 { Ok(None) } else { walk.constant(node, place) });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<_> = inputs.iter().map(Option::as_ref).collect();
    let ranges = shape::slices(node, &map.axes.dims(), &inputs)?;
    for range in ranges {
        if range.step != 1 && range.count != 1 {
            return Err(format!("takes each {}th place of axis {}", range.step, range.axis));
        }
        map = taken(walk, &map, range.axis, range.start, range.count)?;
    }
    Ok(vec![map.into()])
}

pub(super) fn gather<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let map = walk.in_order(&map)?;
    let dims = map.axes.dims();
    let axis = shape::axis(node.int("axis").unwrap_or(0), dims.len())?;
    let indices = walk.constant(node, 1)?.ok_or("has no indices")?;
    let places: Vec<usize> =
        indices.ints()?.iter().map(|&index| shape::axis(index, dims[axis])).collect::<Result<_, _>>()?;
    let start = *places.first().ok_or("takes nothing")?;
    // PyTorch writes as_strided so: every place in turn, in another shape.
    if places.iter().copied().eq(0..dims[axis]) {
        let shape = [&dims[..axis], indices.shape(), &dims[axis + 1..]].concat();
        let axes = map.axes.reshaped(&shape).ok_or_else(|| format!("makes {shape:?} of {}", map.axes.text()))?;
        return one(Ok(Map { node: map.node, axes }.into()));
    }
    if indices.shape().len() > 1 || !places.iter().enumerate().all(|(at, &place)| place == start + at) {
        return Err(format!("takes places {places:?} of axis {axis}, which do not lie together"));
    }
    let of_batch = map.axes.is_batch(axis);
    let mut map = taken(walk, &map, axis, start, places.len())?;
    if indices.shape().is_empty() {
        if of_batch {
            return Err("takes the batch away".to_owned());
        }
        map.axes.0.remove(axis);
    }
    Ok(vec![map.into()])
}

//! Pools, and means over all pixels in the forms that they are written in.

use super::{conv::window, one, pattern};
use crate::{
    onnx::{
        axes::{Atom, Axes, Role, whole},
        proto::Node,
        shape,
        walk::{Map, Value, Walk},
    },
    ops::{AvgPool, GlobalAvgPool, MaxPool, Window},
};

/// The window of a pool and the node that it goes over.
fn pooled<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<(usize, Window, bool), String> {
    let map = walk.map(node, 0)?;
    let kernel: Option<Vec<usize>> =
        node.ints("kernel_shape").and_then(|list| list.iter().map(|&side| usize::try_from(side).ok()).collect());
    let kernel = kernel.ok_or("has no kernel_shape")?;
    let kernel: [usize; 2] = kernel.try_into().map_err(|_| "is a pool along other than 2 axes")?;
    let input = walk.image(&map)?;
    let window = window(node, kernel, walk.builder.shape(input))?;
    Ok((input, window, node.int("ceil_mode").unwrap_or(0) != 0))
}

fn image(walk: &Walk, node: usize) -> Vec<Value> {
    vec![Map { node, axes: Axes::image(walk.batch, walk.builder.shape(node)) }.into()]
}

pub(super) fn max<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    if node.output.get(1).is_some_and(|indices| !walk.readers(indices).is_empty()) {
        return Err("gives the places of its maxima, too".to_owned());
    }
    let (input, Window { kernel, stride, dilation, padding }, ceil_mode) = pooled(walk, node)?;
    let pool = MaxPool { kernel, stride, dilation, padding, ceil_mode };
    let result = walk.apply("", pool, &[input], vec![])?;
    Ok(image(walk, result))
}

pub(super) fn average<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let (input, Window { kernel, stride, dilation, padding }, ceil_mode) = pooled(walk, node)?;
    if dilation != [1; 2] {
        return Err("is dilated".to_owned());
    }
    let shape = walk.builder.shape(input);
    let result = if kernel == [shape.height, shape.width] && padding == [0; 4] {
        walk.apply("", GlobalAvgPool {}, &[input], vec![])?
    } else {
        let count_include_pad = node.int("count_include_pad").unwrap_or(0) != 0;
        let pool = AvgPool { kernel, stride, padding, count_include_pad, ceil_mode };
        walk.apply("", pool, &[input], vec![])?
    };
    Ok(image(walk, result))
}

pub(super) fn global_average<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let input = walk.image(&map)?;
    let result = walk.apply("", GlobalAvgPool {}, &[input], vec![])?;
    Ok(image(walk, result))
}

pub(super) fn global_max<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let map = walk.map(node, 0)?;
    let input = walk.image(&map)?;
    let shape = walk.builder.shape(input);
    let kernel = [shape.height, shape.width];
    let pool = MaxPool { kernel, stride: kernel, dilation: [1; 2], padding: [0; 4], ceil_mode: false };
    let result = walk.apply("", pool, &[input], vec![])?;
    Ok(image(walk, result))
}

pub(super) fn reduce_mean<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    if let Some(value) = pattern::layer_norm(walk, node)? {
        return one(Ok(value));
    }
    let map = walk.map(node, 0)?;
    let rank = map.axes.0.len();
    let given = walk.constant(node, 1)?;
    let axes = match shape::list(node, "axes", given.as_ref())? {
        Some(list) if !list.is_empty() => shape::axes(&list, rank)?,
        _ => return Err("is a mean over the batch, too".to_owned()),
    };
    let shape = walk.shape(&map);
    let mut away: Vec<Atom> = axes.iter().flat_map(|&axis| map.axes.0[axis].iter().copied()).collect();
    away.sort_by_key(|atom| atom.role);
    let pixels: Vec<Atom> = [Role::Height, Role::Width].into_iter().flat_map(|role| whole(role, shape)).collect();
    if away != pixels {
        return Err(format!("is a mean over axes {axes:?} of {}, which are not all pixels", map.axes.text()));
    }
    let result = if pixels.is_empty() { map.node } else { walk.apply("", GlobalAvgPool {}, &[map.node], vec![])? };
    let keeps = node.int("keepdims").unwrap_or(1) != 0;
    let left = map.axes.0.into_iter().enumerate().filter_map(|(axis, parts)| match axes.contains(&axis) {
        false => Some(parts),
        true => keeps.then(Vec::new),
    });
    one(Ok(Map { node: result, axes: Axes(left.collect()) }.into()))
}

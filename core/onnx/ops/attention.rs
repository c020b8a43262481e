//! Attention as exporters write it: a token and a position for each token, both learned, and products of two activations, one
//! matrix for each head.

use super::one;
use crate::{
    graph::{NodeId, Shape},
    onnx::{
        axes::{Atom, Role, bare, whole},
        constant::Constant,
        fold::resized,
        proto::Node,
        walk::{Map, Value, Walk},
    },
    ops::{ClassToken, Matmul, PositionEmbedding, SplitHeads, Tokens},
};

/// A value as a matrix for each head, `heads x rows x columns`.
struct Matrices {
    node: NodeId,
    /// Whether the file has its rows last.
    transposed: bool,
    /// The axis of the file's tensor that counts the heads, if it has one.
    heads: Option<usize>,
}

fn matrices(walk: &mut Walk, map: &Map) -> Result<Matrices, String> {
    let why = || format!("multiplies {}, which is not a matrix for each head", map.axes.text());
    let (shape, rank) = (walk.shape(map), map.axes.0.len());
    let [rows, columns] = [rank.checked_sub(2).ok_or_else(why)?, rank - 1];
    let counts = |axis: &usize| !map.axes.0[*axis].iter().all(|atom| atom.role == Role::Batch);
    let front: Vec<usize> = (0..rows).filter(counts).collect();
    let heads = match front[..] {
        [] => None,
        [axis] => Some(axis),
        _ => return Err(why()),
    };
    let axis = |axis: usize| &map.axes.0[axis];
    let is = |at: usize, role: Role| map.axes.is_whole(at, role, shape);
    let in_front = |atoms: Vec<Atom>| heads.map_or(atoms.is_empty(), |at| bare(axis(at)) == atoms);
    // What an earlier product gave.
    if shape.width > 1 {
        let transposed = is(rows, Role::Width) && is(columns, Role::Height);
        let fits = transposed || is(rows, Role::Height) && is(columns, Role::Width);
        return match fits && in_front(whole(Role::Channels, shape)) {
            true => Ok(Matrices { node: map.node, transposed, heads }),
            false => Err(why()),
        };
    }
    let transposed = is(columns, Role::Height);
    let dim = if transposed { rows } else { columns };
    let [inner] = bare(axis(dim))[..] else { return Err(why()) };
    let count = shape.channels / inner.size.max(1);
    let outer = Atom { role: Role::Channels, size: count, stride: inner.size };
    let parts = inner.role == Role::Channels && inner.stride == 1 && count * inner.size == shape.channels;
    let divided = in_front(if count == 1 { vec![] } else { vec![outer] });
    if !(parts && divided && (transposed || is(rows, Role::Height))) {
        return Err(why());
    }
    let node = walk.apply("", SplitHeads { heads: count }, &[map.node], vec![])?;
    Ok(Matrices { node, transposed, heads })
}

/// A product of two activations, which keeps its bits unless a config opens it to the search. It takes over the factors of its
/// operands and of its result.
pub(super) fn product<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Vec<Value>, String> {
    let (left, right) = (walk.map(node, 0)?, walk.map(node, 1)?);
    let first = matrices(walk, &left)?;
    let second = matrices(walk, &right)?;
    if first.transposed {
        return Err(format!("has its first matrix transposed: {}", left.axes.text()));
    }
    let after = walk.only_reader(&node.output[0]).and_then(|index| Some((index, factor(walk, walk.node(index))?)));
    let factors = node.input.iter().map(|name| walk.factor(name));
    let scale = factors.chain(after.map(|(_, factor)| factor)).product::<f64>();
    let name = walk.names.product(node, if second.transposed { "qk" } else { "av" });
    let matmul = Matmul { transpose: second.transposed, scale };
    let result = walk.apply(&name, matmul, &[first.node, second.node], vec![])?;
    walk.builder.fix(result);
    let (shape, rank) = (walk.builder.shape(result), left.axes.0.len());
    let mut axes = left.axes;
    if let Some(heads) = first.heads {
        axes.0[heads] = whole(Role::Channels, shape);
    }
    (axes.0[rank - 2], axes.0[rank - 1]) = (whole(Role::Height, shape), whole(Role::Width, shape));
    let value = Value::from(Map { node: result, axes });
    if let Some((index, _)) = after {
        walk.absorb(index, value.clone());
    }
    one(Ok(value))
}

/// The number that a node multiplies an activation by, if it does that alone.
pub(super) fn factor(walk: &Walk, node: &Node) -> Option<f64> {
    let number = |place: usize| Some(f64::from(walk.constant_of(node.input(place)?, 4)?.uniform()?));
    match node.op_type.as_str() {
        "Mul" => number(1).or_else(|| number(0)),
        "Div" => number(1).map(f64::recip),
        _ => None,
    }
}

/// Whether only a product of two activations reads a tensor.
pub(super) fn is_operand(walk: &Walk, tensor: &str) -> bool {
    let Some(reader) = walk.only_reader(tensor).map(|index| walk.node(index)) else { return false };
    reader.op_type == "MatMul" && reader.input.iter().all(|name| walk.constant_of(name, 4).is_none())
}

/// The pixels of an image, or tokens, as tokens: `batch x tokens x channels`, where they are that.
fn tokens(walk: &mut Walk, map: &Map) -> Result<Option<Map>, String> {
    let shape = walk.shape(map);
    let [batch, places, channels] = map.axes.0.as_slice() else { return Ok(None) };
    let pixels = [whole(Role::Height, shape), whole(Role::Width, shape)].concat();
    let fits = batch.iter().all(|atom| atom.role == Role::Batch) && *channels == whole(Role::Channels, shape);
    if !fits || *places != pixels || pixels.is_empty() {
        return Ok(None);
    }
    let node = if shape.width == 1 { map.node } else { walk.apply("", Tokens {}, &[map.node], vec![])? };
    let mut axes = map.axes.clone();
    axes.0[1] = whole(Role::Height, walk.builder.shape(node));
    Ok(Some(Map { node, axes }))
}

/// A learned token in front of all others, if that is what a node puts together.
pub(super) fn class_token<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Result<Option<Value>, String> {
    let [token, rest] = node.input.as_slice() else { return Ok(None) };
    let (Some(constant), Some(Value::Map(map))) = (walk.constant_of(token, 4), walk.value(rest)) else {
        return Ok(None);
    };
    let Some(map) = tokens(walk, &map)? else { return Ok(None) };
    let Shape { channels, .. } = walk.shape(&map);
    if node.int("axis") != Some(1) || constant.shape() != [1, 1, channels] {
        return Ok(None);
    }
    let name = walk.names.of_learned(node, token, "class_token");
    let result = walk.apply(&name, ClassToken {}, &[map.node], vec![("", constant)])?;
    let mut axes = map.axes;
    axes.0[1] = whole(Role::Height, walk.builder.shape(result));
    Ok(Some(Map { node: result, axes }.into()))
}

/// A learned value for each channel of each token, if that is what a node adds.
pub(super) fn position_embedding<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    map: &Map,
    constant: &Constant,
) -> Result<Option<Value>, String> {
    let Shape { channels, height, width } = walk.shape(map);
    let places = height * width;
    if places == 1 || !(constant.shape() == [1, places, channels] || constant.shape() == [places, channels]) {
        return Ok(None);
    }
    let Some(map) = tokens(walk, map)? else { return Ok(None) };
    let constant = resized(constant, vec![1, places, channels])?;
    let tensor = node.input.iter().find(|name| walk.constant_of(name, 4).is_some()).map_or("", String::as_str);
    let name = walk.names.of_learned(node, tensor, "position_embedding");
    let result = walk.apply(&name, PositionEmbedding {}, &[map.node], vec![("", constant)])?;
    Ok(Some(Map { node: result, axes: map.axes }.into()))
}

//! Operators on constants, computed while the file is read: what exporters write to find shapes, and what they do to weights.

mod arithmetic;
mod layout;

pub(super) use arithmetic::cast_like;
pub(super) use layout::{resized, spread, transpose};

use super::{constant::Constant, proto::Node, tensor};
use std::path::Path;

/// The outputs of a node all of whose inputs are constants; none if its operator is none of these.
pub(super) fn fold(
    node: &Node,
    inputs: &[Option<&Constant>],
    opset: i64,
    folder: &Path,
) -> Option<Result<Vec<Constant>, String>> {
    let one = |result: Result<Constant, String>| result.map(|constant| vec![constant]);
    let at = |place: usize| inputs.get(place).copied().flatten().ok_or_else(|| format!("has no input {place}"));
    Some(match node.op_type.as_str() {
        "Constant" => one(constant(node, folder)),
        "ConstantOfShape" => one(at(0).and_then(|shape| layout::filled(node, shape, folder))),
        "Range" => one(arithmetic::range(inputs)),
        "Shape" => one(at(0).and_then(|input| shape_of(node, input.shape()))),
        "Size" => {
            one(at(0)
                .map(|input| tensor::Array::wholes(vec![], vec![input.shape.iter().product::<usize>() as i64]).into()))
        }
        "Identity" | "Dropout" => one(at(0).cloned()),
        "Cast" => one(at(0).and_then(|input| arithmetic::cast(input, node.int("to").unwrap_or_default() as i32))),
        "CastLike" => one(at(0).and_then(|input| arithmetic::cast_like(input, at(1)?.is_float))),
        "Transpose" => one(at(0).and_then(|input| layout::transpose(input, node.ints("perm")))),
        "Reshape" => one(at(0).and_then(|input| layout::reshape(node, input, at(1)?))),
        "Flatten" => one(at(0).and_then(|input| layout::flatten(node, input))),
        "Unsqueeze" => one(at(0).and_then(|input| layout::unsqueeze(node, input, inputs.get(1).copied().flatten()))),
        "Squeeze" => one(at(0).and_then(|input| layout::squeeze(node, input, inputs.get(1).copied().flatten()))),
        "Slice" => one(at(0).and_then(|input| layout::slice(node, input, inputs))),
        "Split" => at(0).and_then(|input| layout::split(node, input, inputs.get(1).copied().flatten())),
        "Gather" => one(at(0).and_then(|input| layout::gather(node, input, at(1)?))),
        "Concat" => one(layout::concat(node, inputs)),
        "Expand" => one(at(0).and_then(|input| layout::expand(input, at(1)?))),
        "Where" => one(arithmetic::choose(inputs)),
        "ReduceProd" => one(at(0).and_then(|input| arithmetic::product(node, input, inputs.get(1).copied().flatten()))),
        // The axis along which inputs of these were laid over one another had its own attribute before opset 7.
        other if opset >= 7 => match (arithmetic::unary(other), arithmetic::binary(other)) {
            (Some(function), _) => one(at(0).and_then(|input| function.of(input))),
            (None, Some(function)) => one(function.of(inputs)),
            (None, None) => return None,
        },
        _ => return None,
    })
}

/// Operators on constants that are no operators of networks.
const ONLY_CONSTANTS: [&str; 6] = ["Constant", "ConstantOfShape", "Range", "ReduceProd", "Size", "Where"];

/// Whether an operator is computed where its inputs are constants.
pub(super) fn knows(operator: &str) -> bool {
    ONLY_CONSTANTS.contains(&operator)
        || arithmetic::unary(operator).is_some()
        || arithmetic::binary(operator).is_some()
}

/// The value that a node of the operator Constant is.
pub(super) fn constant(node: &Node, folder: &Path) -> Result<Constant, String> {
    if let Some(tensor) = node.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        return Ok(tensor::array(tensor, folder).map_err(|why| format!("its value {why}"))?.into());
    }
    if let Some(value) = node.int("value_int") {
        return Ok(tensor::Array::wholes(vec![], vec![value]).into());
    }
    if let Some(values) = node.ints("value_ints") {
        return Ok(Constant::list(values.to_vec()));
    }
    if let Some(value) = node.attribute("value_float").and_then(|attribute| attribute.f) {
        return Ok(tensor::Array::floats(vec![], vec![value]).into());
    }
    match node.attribute("value_floats") {
        Some(attribute) => Ok(tensor::Array::floats(vec![attribute.floats.len()], attribute.floats.clone()).into()),
        None => Err("its value is not a tensor of numbers".to_owned()),
    }
}

/// The sizes that a node of the operator Shape gives.
pub(super) fn shape_of(node: &Node, shape: &[usize]) -> Result<Constant, String> {
    let rank = shape.len() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(node.int("start").unwrap_or(0)), place(node.int("end").unwrap_or(rank)));
    Ok(Constant::list(shape[start..end.max(start)].iter().map(|&size| size as i64).collect()))
}

/// A constant times a number.
pub(super) fn scaled(input: &Constant, factor: f64) -> Result<Constant, String> {
    if factor == 1.0 {
        return Ok(input.clone());
    }
    of_floats(input, move |value| value * factor as f32)
}

/// 1 divided by each value.
pub(super) fn inverse(input: &Constant) -> Result<Constant, String> {
    of_floats(input, f32::recip)
}

/// Each value with the other sign.
pub(super) fn negative(input: &Constant) -> Result<Constant, String> {
    of_floats(input, |value| -value)
}

fn of_floats(input: &Constant, function: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Result<Constant, String> {
    let shape = input.shape.clone();
    Constant::computed(std::slice::from_ref(input), shape.clone(), true, move |mut arrays| {
        let values = arrays.swap_remove(0).into_floats();
        Ok(tensor::Array::floats(shape.clone(), values.into_iter().map(&function).collect()))
    })
}

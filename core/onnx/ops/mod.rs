//! The operators of ONNX that are read, one file for each family: what each is in terms of the operators here.

mod activation;
mod arithmetic;
mod attention;
mod conv;
mod layout;
mod linear;
mod norm;
mod pattern;
mod pool;
mod select;

use super::{
    constant::Constant,
    fold::resized,
    proto::Node,
    walk::{Value, Walk},
};

/// Describes a node to the walk's builder and says what its outputs are.
pub(super) type Reader = for<'a> fn(&mut Walk<'a>, &'a Node) -> Result<Vec<Value>, String>;

/// The operators that are read.
const READERS: &[(&str, Reader)] = &[
    ("Add", arithmetic::add),
    ("AveragePool", pool::average),
    ("BatchNormalization", norm::batch),
    ("Cast", layout::cast),
    ("CastLike", layout::cast_like),
    ("Clip", activation::clip),
    ("Concat", select::concat),
    ("Conv", conv::conv),
    ("Div", arithmetic::div),
    ("Dropout", layout::same),
    ("Expand", layout::expand),
    ("Flatten", layout::flatten),
    ("Gather", select::gather),
    ("Gelu", activation::gelu),
    ("Gemm", linear::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", layout::same),
    ("LayerNormalization", norm::layer),
    ("LeakyRelu", activation::leaky_relu),
    ("MatMul", linear::matmul),
    ("MaxPool", pool::max),
    ("Mul", arithmetic::mul),
    ("PRelu", activation::prelu),
    ("Pad", layout::pad),
    ("ReduceMean", pool::reduce_mean),
    ("Relu", activation::relu),
    ("Reshape", layout::reshape),
    ("Shape", layout::shape_of),
    ("Sigmoid", activation::sigmoid),
    ("Slice", select::slice),
    ("Softmax", activation::softmax),
    ("Split", select::split),
    ("Squeeze", layout::squeeze),
    ("Sub", arithmetic::sub),
    ("Sum", arithmetic::sum),
    ("Swish", activation::swish),
    ("Tanh", activation::tanh),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
];

/// Who reads an operator.
pub(super) fn reader(operator: &str) -> Option<Reader> {
    let place = READERS.binary_search_by_key(&operator, |(name, _)| name).ok()?;
    Some(READERS[place].1)
}

/// Names of the operators that are read.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    READERS.iter().map(|(name, _)| *name)
}

fn one(value: Result<Value, String>) -> Result<Vec<Value>, String> {
    value.map(|value| vec![value])
}

/// A constant that has one value for each place of an axis of a tensor with `rank` axes, or the same for all, as a list of `size`.
fn along(constant: &Constant, rank: usize, axis: usize, size: usize) -> Option<Constant> {
    let shape = constant.shape();
    let before = rank.checked_sub(shape.len())?;
    let alone =
        shape.iter().enumerate().all(|(place, &length)| length == 1 || place + before == axis && length == size);
    if !alone {
        return None;
    }
    match shape.iter().product::<usize>() == size {
        true => resized(constant, vec![size]).ok(),
        false => Constant::filled(vec![size], constant.scalar()?).ok(),
    }
}

/// The shift that a node after this tensor adds, if nothing else reads it: a bias that was written apart. Gives the node, too.
fn following_bias(walk: &Walk, tensor: &str, rank: usize, axis: usize, size: usize) -> Option<(usize, Constant)> {
    let index = walk.only_reader(tensor)?;
    let node = walk.node(index);
    if node.op_type != "Add" || node.input.len() != 2 {
        return None;
    }
    let other = node.input.iter().find(|name| *name != tensor)?;
    let constant = walk.constant_of(other, 4)?;
    Some((index, along(&constant, rank, axis, size)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_found() {
        assert!(READERS.is_sorted_by_key(|(name, _)| *name), "they are looked up by halves");
        assert!(reader("Conv").is_some() && reader("Resize").is_none());
    }

    #[test]
    fn constants_along_one_axis() {
        let of = |shape: &[usize]| {
            along(&Constant::filled(shape.to_vec(), 2.0).unwrap(), 4, 1, 3).map(|c| c.floats().unwrap())
        };
        for shape in [&[3, 1, 1][..], &[1, 3, 1, 1], &[1], &[]] {
            assert_eq!(of(shape), Some(vec![2.0; 3]), "{shape:?}");
        }
        for shape in [&[3][..], &[1, 3, 1, 2], &[1, 1, 3, 1, 1], &[2, 1, 1]] {
            assert_eq!(of(shape), None, "{shape:?}");
        }
    }
}

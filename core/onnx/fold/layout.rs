//! Operators that move the values of constants.

use crate::onnx::{
    constant::Constant,
    proto::Node,
    shape,
    tensor::{self, Array, Data},
};
use std::path::Path;

/// A view of an array: sizes, and how far apart neighbours along each axis are.
#[derive(Clone)]
struct View {
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
}

impl View {
    fn of(shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis] as isize;
        }
        Self { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// The values that it sees, in its own order.
    fn copied<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let total: usize = self.shape.iter().product();
        let mut all = Vec::with_capacity(total);
        let (mut index, mut place) = (vec![0; self.shape.len()], self.offset as isize);
        for _ in 0..total {
            all.push(values[place as usize]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                place += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                place -= self.strides[axis] * self.shape[axis] as isize;
                index[axis] = 0;
            }
        }
        all
    }

    fn copy(&self, array: &Array) -> Array {
        let data = match &array.data {
            Data::Floats(values) => Data::Floats(self.copied(values)),
            Data::Wholes(values) => Data::Wholes(self.copied(values)),
        };
        Array { shape: self.shape.clone(), data }
    }

    fn taken(self, input: &Constant) -> Result<Constant, String> {
        let shape = self.shape.clone();
        Constant::computed(std::slice::from_ref(input), shape, input.is_float, move |arrays| Ok(self.copy(&arrays[0])))
    }
}

pub(in crate::onnx) fn transpose(input: &Constant, order: Option<&[i64]>) -> Result<Constant, String> {
    let rank = input.shape.len();
    let order = match order {
        Some(order) => order.iter().map(|&axis| shape::axis(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect::<Vec<_>>(),
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(format!("its perm {order:?} is not an order of {rank} axes"));
    }
    let view = View::of(&input.shape);
    let (shape, strides) = order.iter().map(|&axis| (view.shape[axis], view.strides[axis])).unzip();
    View { shape, strides, offset: 0 }.taken(input)
}

/// The same values with other sizes.
pub(in crate::onnx) fn resized(input: &Constant, dims: Vec<usize>) -> Result<Constant, String> {
    let shape = dims.clone();
    Constant::computed(std::slice::from_ref(input), dims, input.is_float, move |mut arrays| {
        Ok(Array { shape: shape.clone(), data: arrays.swap_remove(0).data })
    })
}

pub(super) fn reshape(node: &Node, input: &Constant, target: &Constant) -> Result<Constant, String> {
    let dims = shape::reshaped(&input.shape, &target.ints()?, node.int("allowzero") == Some(1))?;
    resized(input, dims)
}

pub(super) fn flatten(node: &Node, input: &Constant) -> Result<Constant, String> {
    resized(input, shape::flattened(&input.shape, node.int("axis").unwrap_or(1))?)
}

pub(super) fn unsqueeze(node: &Node, input: &Constant, axes: Option<&Constant>) -> Result<Constant, String> {
    let axes = shape::list(node, "axes", axes)?.ok_or("has no axes")?;
    resized(input, shape::unsqueezed(&input.shape, &axes)?)
}

pub(super) fn squeeze(node: &Node, input: &Constant, axes: Option<&Constant>) -> Result<Constant, String> {
    let left = shape::squeezed(&input.shape, shape::list(node, "axes", axes)?.as_deref())?;
    resized(input, left.iter().map(|&axis| input.shape[axis]).collect())
}

pub(super) fn slice(node: &Node, input: &Constant, inputs: &[Option<&Constant>]) -> Result<Constant, String> {
    let mut view = View::of(&input.shape);
    for range in shape::slices(node, &input.shape, inputs)? {
        view.offset += range.start * view.strides[range.axis].unsigned_abs();
        // With a single value a step may be as long as it likes.
        let step = if range.count > 1 { range.step as isize } else { 0 };
        view.strides[range.axis] *= step;
        view.shape[range.axis] = range.count;
    }
    view.taken(input)
}

pub(super) fn split(node: &Node, input: &Constant, sizes: Option<&Constant>) -> Result<Vec<Constant>, String> {
    let axis = shape::axis(node.int("axis").unwrap_or(0), input.shape.len())?;
    let mut start = 0;
    let pieces = shape::pieces(node, input.shape[axis], sizes)?;
    let piece = |size: usize| {
        let mut view = View::of(&input.shape);
        (view.offset, view.shape[axis]) = (start * view.strides[axis].unsigned_abs(), size);
        start += size;
        view.taken(input)
    };
    pieces.into_iter().map(piece).collect()
}

pub(super) fn gather(node: &Node, input: &Constant, indices: &Constant) -> Result<Constant, String> {
    let axis = shape::axis(node.int("axis").unwrap_or(0), input.shape.len())?;
    let (size, before, after) = (input.shape[axis], &input.shape[..axis], &input.shape[axis + 1..]);
    let indices_of = |&index: &i64| shape::axis(index, size);
    let chosen: Vec<usize> = indices.ints()?.iter().map(indices_of).collect::<Result<_, _>>()?;
    let (outer, inner): (usize, usize) = (before.iter().product(), after.iter().product());
    let dims = [before, indices.shape(), after].concat();
    let shape = dims.clone();
    Constant::computed(std::slice::from_ref(input), dims, input.is_float, move |arrays| {
        let places = (0..outer).flat_map(|out| chosen.iter().map(move |&index| (out * size + index) * inner));
        let data = match &arrays[0].data {
            Data::Floats(values) => {
                Data::Floats(places.flat_map(|from| &values[from..from + inner]).copied().collect())
            }
            Data::Wholes(values) => {
                Data::Wholes(places.flat_map(|from| &values[from..from + inner]).copied().collect())
            }
        };
        Ok(Array { shape: shape.clone(), data })
    })
}

pub(super) fn concat(node: &Node, inputs: &[Option<&Constant>]) -> Result<Constant, String> {
    let inputs: Vec<Constant> = inputs.iter().flatten().map(|&input| input.clone()).collect();
    let first = inputs.first().ok_or("has no inputs")?;
    let axis = shape::axis(node.int("axis").ok_or("has no axis")?, first.shape.len())?;
    let mut dims = first.shape.clone();
    dims[axis] = 0;
    for input in &inputs {
        let alike = |at: usize| at == axis || input.shape.get(at) == Some(&first.shape[at]);
        if input.shape.len() != dims.len() || !(0..dims.len()).all(alike) || input.is_float != first.is_float {
            return Err(format!("{:?} and {:?} cannot be put together", first.shape, input.shape));
        }
        dims[axis] = dims[axis].checked_add(input.shape[axis]).ok_or("is too large")?;
    }
    let (shape, inner) = (dims.clone(), dims[axis + 1..].iter().product::<usize>());
    let outer: usize = dims[..axis].iter().product();
    Constant::computed(&inputs, dims, first.is_float, move |arrays| {
        fn together<T: Copy>(parts: &[(&[T], usize)], outer: usize) -> Vec<T> {
            (0..outer)
                .flat_map(|out| parts.iter().flat_map(move |&(values, row)| &values[out * row..][..row]))
                .copied()
                .collect()
        }
        let rows: Vec<usize> = arrays.iter().map(|array| array.shape[axis] * inner).collect();
        let floats: Vec<(&[f32], usize)> = arrays
            .iter()
            .zip(&rows)
            .filter_map(|(array, &row)| match &array.data {
                Data::Floats(values) => Some((values.as_slice(), row)),
                Data::Wholes(_) => None,
            })
            .collect();
        let wholes: Vec<(&[i64], usize)> = arrays
            .iter()
            .zip(&rows)
            .filter_map(|(array, &row)| match &array.data {
                Data::Wholes(values) => Some((values.as_slice(), row)),
                Data::Floats(_) => None,
            })
            .collect();
        let data = match wholes.is_empty() {
            true => Data::Floats(together(&floats, outer)),
            false => Data::Wholes(together(&wholes, outer)),
        };
        Ok(Array { shape: shape.clone(), data })
    })
}

pub(super) fn expand(input: &Constant, target: &Constant) -> Result<Constant, String> {
    let target: Vec<usize> = target
        .ints()?
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("cannot be made {size} long")))
        .collect::<Result<_, _>>()?;
    spread(input, &shape::broadcast(&input.shape, &target)?)
}

/// A constant with its axes of size 1 repeated.
pub(in crate::onnx) fn spread(input: &Constant, dims: &[usize]) -> Result<Constant, String> {
    if input.shape == dims {
        return Ok(input.clone());
    }
    tensor::count(dims)?;
    let view = View::of(&input.shape);
    let new = dims.len() - input.shape.len();
    let stride = |axis: usize| match axis.checked_sub(new) {
        Some(own) if input.shape[own] != 1 => view.strides[own],
        _ => 0,
    };
    let strides = (0..dims.len()).map(stride).collect();
    View { shape: dims.to_vec(), strides, offset: 0 }.taken(input)
}

pub(super) fn filled(node: &Node, shape: &Constant, folder: &Path) -> Result<Constant, String> {
    let dims: Vec<usize> = shape
        .ints()?
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("cannot be {size} long")))
        .collect::<Result<_, _>>()?;
    tensor::count(&dims)?;
    let value = match node.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(value) => tensor::array(value, folder).map_err(|why| format!("its value {why}"))?,
        None => Array::floats(vec![1], vec![0.0]),
    };
    let one = match value.data {
        Data::Floats(ref values) if values.len() == 1 => Array { shape: vec![1; dims.len()], ..value },
        Data::Wholes(ref values) if values.len() == 1 => Array { shape: vec![1; dims.len()], ..value },
        _ => return Err("its value is no single number".to_owned()),
    };
    spread(&one.into(), &dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::Attribute;

    fn counting(shape: &[usize]) -> Constant {
        let total = shape.iter().product::<usize>() as i64;
        Array::wholes(shape.to_vec(), (0..total).collect()).into()
    }

    fn with(name: &str, value: i64) -> Node {
        let attribute = Attribute { name: name.to_owned(), i: Some(value), ..Attribute::default() };
        Node { attribute: vec![attribute], ..Node::default() }
    }

    fn values(constant: &Constant) -> (Vec<usize>, Vec<i64>) {
        (constant.shape().to_vec(), constant.ints().unwrap())
    }

    #[test]
    fn moved_values_are_those_of_numpy() {
        assert_eq!(values(&transpose(&counting(&[2, 3]), None).unwrap()), (vec![3, 2], vec![0, 3, 1, 4, 2, 5]));
        assert!(transpose(&counting(&[2, 3]), Some(&[0, 0])).is_err());
        let repeated = expand(&counting(&[2, 1]), &Constant::list(vec![3, 1, 2])).unwrap();
        assert_eq!(values(&repeated), (vec![3, 2, 2], [0, 0, 1, 1].repeat(3)));
        let picked = gather(&with("axis", 1), &counting(&[2, 3]), &Constant::list(vec![-1, 0])).unwrap();
        assert_eq!(values(&picked), (vec![2, 2], vec![2, 0, 5, 3]));
        let both = concat(&with("axis", 1), &[Some(&counting(&[2, 1])), Some(&counting(&[2, 2]))]).unwrap();
        assert_eq!(values(&both), (vec![2, 3], vec![0, 0, 1, 1, 2, 3]));
        let list = |values: &[i64]| Constant::list(values.to_vec());
        let (starts, ends, axes, steps) = (list(&[2]), list(&[-4]), list(&[1]), list(&[-2]));
        let inputs = [None, Some(&starts), Some(&ends), Some(&axes), Some(&steps)];
        assert_eq!(
            values(&slice(&Node::default(), &counting(&[2, 3]), &inputs).unwrap()),
            (vec![2, 2], vec![2, 0, 5, 3])
        );
    }
}

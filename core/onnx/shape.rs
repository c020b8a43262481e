//! Rules of ONNX on axes and sizes, which operators on constants and on activations share.

use super::{constant::Constant, proto::Node};

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    from_start
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("axis {axis} of a tensor with {rank} axes"))
}

/// Several axes, each once, in ascending order.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut all: Vec<usize> = list.iter().map(|&one| axis(one, rank)).collect::<Result<_, _>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// A list of whole numbers that is an attribute, or from some opset on an input.
pub(super) fn list(node: &Node, attribute: &str, input: Option<&Constant>) -> Result<Option<Vec<i64>>, String> {
    match (node.ints(attribute), input) {
        (Some(list), _) => Ok(Some(list.to_vec())),
        (None, Some(input)) => input.ints().map(Some).map_err(|why| format!("{attribute}: {why}")),
        (None, None) => Ok(None),
    }
}

/// Sizes that a Reshape asks for: 0 keeps a size, -1 is what is left.
pub(super) fn reshaped(from: &[usize], target: &[i64], allow_zero: bool) -> Result<Vec<usize>, String> {
    let total: usize = from.iter().product();
    let wrong = || format!("a tensor {from:?} cannot be reshaped to {target:?}");
    let mut dims = vec![];
    let mut open = None;
    for (place, &size) in target.iter().enumerate() {
        dims.push(match size {
            0 if !allow_zero => *from.get(place).ok_or_else(wrong)?,
            -1 if open.is_none() => {
                open = Some(place);
                1
            }
            size => usize::try_from(size).map_err(|_| wrong())?,
        });
    }
    let known = dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size)).ok_or_else(wrong)?;
    if let Some(open) = open {
        if known == 0 || !total.is_multiple_of(known) {
            return Err(wrong());
        }
        dims[open] = total / known;
    } else if known != total {
        return Err(wrong());
    }
    Ok(dims)
}

/// The two sizes that a Flatten at this axis gives.
pub(super) fn flattened(from: &[usize], at: i64) -> Result<Vec<usize>, String> {
    let at = if at == from.len() as i64 { from.len() } else { axis(at, from.len())? };
    Ok(vec![from[..at].iter().product(), from[at..].iter().product()])
}

/// Where axes of size 1 are put in; `axes` counts in the result.
pub(super) fn unsqueezed(from: &[usize], new: &[i64]) -> Result<Vec<usize>, String> {
    let rank = from.len() + new.len();
    let new = axes(new, rank)?;
    if rank - new.len() != from.len() {
        return Err("an axis is added twice".to_owned());
    }
    let mut old = from.iter().copied();
    Ok((0..rank).map(|place| if new.contains(&place) { 1 } else { old.next().unwrap_or(1) }).collect())
}

/// Which axes are left when some of size 1, or all of them, are taken away.
pub(super) fn squeezed(from: &[usize], away: Option<&[i64]>) -> Result<Vec<usize>, String> {
    let away = match away {
        Some(away) => axes(away, from.len())?,
        None => (0..from.len()).filter(|&axis| from[axis] == 1).collect(),
    };
    match away.iter().find(|&&axis| from[axis] != 1) {
        Some(axis) => Err(format!("axis {axis} of size {} cannot be taken away", from[*axis])),
        None => Ok((0..from.len()).filter(|axis| !away.contains(axis)).collect()),
    }
}

/// What a Slice takes of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub axis: usize,
    pub start: usize,
    pub step: i64,
    pub count: usize,
}

/// What a Slice takes of each axis that it names. From opset 10 on its numbers are inputs.
pub(super) fn slices(node: &Node, dims: &[usize], inputs: &[Option<&Constant>]) -> Result<Vec<Range>, String> {
    let input = |place: usize| inputs.get(place).copied().flatten();
    let given = |name: &str, place: usize| list(node, name, input(place));
    let starts = given("starts", 1)?.ok_or("has no starts")?;
    let ends = given("ends", 2)?.ok_or("has no ends")?;
    let axes = given("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = input(4).map(Constant::ints).transpose()?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("has starts, ends, axes and steps of different lengths".to_owned());
    }
    let mut all = vec![];
    for (((&start, &end), &at), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis(at, dims.len())?;
        let size = dims[axis] as i64;
        let place = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (start, room) = match step {
            0 => return Err("has a step of 0".to_owned()),
            _ if size == 0 => (0, 0),
            1.. => {
                let (start, end) = (place(start).clamp(0, size), place(end).clamp(0, size));
                (start, end - start)
            }
            _ => {
                let (start, end) = (place(start).clamp(0, size - 1), place(end).clamp(-1, size - 1));
                (start, start - end)
            }
        };
        let count = room.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
        all.push(Range { axis, start: start as usize, step, count: count as usize });
    }
    Ok(all)
}

/// Sizes of the pieces of a Split.
pub(super) fn pieces(node: &Node, size: usize, input: Option<&Constant>) -> Result<Vec<usize>, String> {
    let outputs = node.int("num_outputs").and_then(|count| usize::try_from(count).ok()).unwrap_or(node.output.len());
    let pieces: Vec<usize> = match list(node, "split", input)? {
        Some(list) => list.iter().map(|&piece| usize::try_from(piece).unwrap_or(0)).collect(),
        None if outputs == 0 => return Err("has no outputs".to_owned()),
        // The last piece is smaller if the size cannot be divided.
        None => {
            let each = size.div_ceil(outputs);
            (0..outputs).map(|place| size.saturating_sub(place * each).min(each)).collect()
        }
    };
    let sum = pieces.iter().try_fold(0usize, |sum, &piece| sum.checked_add(piece));
    match sum == Some(size) && pieces.len() >= node.output.len() {
        true => Ok(pieces),
        false => Err(format!("its pieces {pieces:?} are not {size} in {} outputs", node.output.len())),
    }
}

/// Sizes of what two tensors give when sizes of 1 are repeated.
pub(super) fn broadcast(left: &[usize], right: &[usize]) -> Result<Vec<usize>, String> {
    let rank = left.len().max(right.len());
    let size = |dims: &[usize], place: usize| (place + dims.len()).checked_sub(rank).map_or(1, |place| dims[place]);
    let both = (0..rank).map(|place| match (size(left, place), size(right, place)) {
        (left, right) if left == right || right == 1 => Ok(left),
        (1, right) => Ok(right),
        _ => Err(format!("sizes {left:?} and {right:?} do not go together")),
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::Attribute;

    #[test]
    fn reshape_keeps_and_completes_sizes() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1], false).unwrap(), [2, 12]);
        assert_eq!(reshaped(&[2, 3, 4], &[4, 6], false).unwrap(), [4, 6]);
        for wrong in [&[5, -1][..], &[-1, -1], &[0, 0, 0, 0], &[i64::MAX, i64::MAX], &[-2]] {
            assert!(reshaped(&[2, 3, 4], wrong, false).is_err(), "{wrong:?}");
        }
        assert_eq!(flattened(&[2, 3, 4], 1).unwrap(), [2, 12]);
        assert_eq!(unsqueezed(&[3], &[0, -1]).unwrap(), [1, 3, 1]);
        assert_eq!(squeezed(&[1, 3, 1], None).unwrap(), [1]);
        assert!(squeezed(&[1, 3, 1], Some(&[1])).is_err());
        assert_eq!(broadcast(&[8, 1, 3], &[2, 1]).unwrap(), [8, 2, 3]);
        assert!(broadcast(&[8], &[2]).is_err());
    }

    /// As `numpy.arange(10)[start:end:step]`.
    #[test]
    fn slices_are_those_of_numpy() {
        let taken = |start: i64, end: i64, step: i64| {
            let inputs = [None, Some(start), Some(end), Some(0), Some(step)];
            let inputs: Vec<Option<Constant>> = inputs.map(|input| Some(Constant::list(vec![input?]))).into();
            let inputs: Vec<Option<&Constant>> = inputs.iter().map(Option::as_ref).collect();
            let range = slices(&Node::default(), &[10], &inputs).unwrap()[0];
            (range.start, range.step, range.count)
        };
        assert_eq!(taken(2, 8, 3), (2, 3, 2));
        assert_eq!(taken(-3, i64::MAX, 1), (7, 1, 3));
        assert_eq!(taken(8, 2, 1).2, 0);
        assert_eq!(taken(-1, i64::MIN, -1), (9, -1, 10));
        assert_eq!(taken(5, 1, -2), (5, -2, 2));
    }

    #[test]
    fn pieces_add_up() {
        let node = |outputs: usize, split: &[i64]| Node {
            output: vec![String::new(); outputs],
            attribute: match split {
                [] => vec![],
                _ => vec![Attribute { name: "split".to_owned(), ints: split.to_vec(), ..Attribute::default() }],
            },
            ..Node::default()
        };
        assert_eq!(pieces(&node(2, &[]), 58, None).unwrap(), [29, 29]);
        assert_eq!(pieces(&node(3, &[]), 7, None).unwrap(), [3, 3, 1]);
        assert_eq!(pieces(&node(2, &[1, 6]), 7, None).unwrap(), [1, 6]);
        assert!(pieces(&node(2, &[1, 5]), 7, None).is_err());
        assert!(pieces(&node(2, &[i64::MAX, 2]), 7, None).is_err());
    }
}

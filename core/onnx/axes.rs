//! How the axes of an ONNX tensor are made of those of a value here, which is always `batch x channels x height x width`.
//!
//! Each axis is a product of *atoms*, parts of one of the four axes. A transposition then only moves axes and a reshaping splits
//! and joins them; neither computes anything. An operator asks for the arrangement that it needs.

use crate::graph::Shape;

/// One of the axes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Batch,
    Channels,
    Height,
    Width,
}

/// A part of an axis: index `i` of it counts `i * stride` on that axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atom {
    pub role: Role,
    pub size: usize,
    pub stride: usize,
}

/// The axes of a tensor, each a list of atoms, the outermost first; an axis without atoms has size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes(pub Vec<Vec<Atom>>);

/// The atom that is a whole axis, unless the axis has size 1.
pub(super) fn whole(role: Role, shape: Shape) -> Vec<Atom> {
    let size = match role {
        Role::Batch => return vec![],
        Role::Channels => shape.channels,
        Role::Height => shape.height,
        Role::Width => shape.width,
    };
    if size == 1 { vec![] } else { vec![Atom { role, size, stride: 1 }] }
}

impl Axes {
    /// `batch x channels x height x width`.
    pub fn image(batch: usize, shape: Shape) -> Self {
        let batch = vec![Atom { role: Role::Batch, size: batch, stride: 1 }];
        let others = [Role::Channels, Role::Height, Role::Width].map(|role| whole(role, shape));
        Self([batch].into_iter().chain(others).collect())
    }

    /// Sizes of the axes.
    pub fn dims(&self) -> Vec<usize> {
        self.0.iter().map(|axis| axis.iter().map(|atom| atom.size).product()).collect()
    }

    pub fn permuted(&self, order: &[usize]) -> Self {
        Self(order.iter().map(|&axis| self.0[axis].clone()).collect())
    }

    /// The same values in row-major order, as a tensor of other sizes; none if an axis would be cut in a way that is no product.
    pub fn reshaped(&self, dims: &[usize]) -> Option<Self> {
        let mut left: Vec<Atom> = self.0.iter().flatten().rev().copied().collect();
        let mut axes = vec![];
        for (place, &dim) in dims.iter().enumerate() {
            let (mut axis, mut wanted) = (vec![], dim);
            // The batch is the first axis, also when it has size 1.
            if place == 0 && dim == 1 && left.last().is_some_and(|atom| atom.role == Role::Batch && atom.size == 1) {
                axis.extend(left.pop());
            }
            while wanted > 1 {
                let atom = left.pop()?;
                if wanted.is_multiple_of(atom.size) {
                    wanted /= atom.size;
                    axis.push(atom);
                } else if atom.size.is_multiple_of(wanted) {
                    let inner = atom.size / wanted;
                    axis.push(Atom { size: wanted, stride: atom.stride * inner, ..atom });
                    left.push(Atom { size: inner, ..atom });
                    wanted = 1;
                } else {
                    return None;
                }
            }
            axes.push(joined(axis));
        }
        left.iter().all(|atom| atom.size == 1).then_some(Self(axes))
    }

    /// Whether an axis is the batch and nothing else.
    pub fn is_batch(&self, axis: usize) -> bool {
        matches!(self.0[axis][..], [Atom { role: Role::Batch, .. }])
    }

    /// Whether an axis is the whole of an axis of the value.
    pub fn is_whole(&self, axis: usize, role: Role, shape: Shape) -> bool {
        self.0[axis] == whole(role, shape)
    }

    /// Whether the value is `batch x channels x height x width`.
    pub fn is_image(&self, shape: Shape) -> bool {
        self.0.len() == 4
            && self.is_batch(0)
            && [Role::Channels, Role::Height, Role::Width]
                .into_iter()
                .enumerate()
                .all(|(place, role)| self.is_whole(place + 1, role, shape))
    }

    /// How it is arranged, for people: `batch x height x width x channels`.
    pub fn text(&self) -> String {
        let atom = |atom: &Atom| match atom.role {
            Role::Batch => "batch".to_owned(),
            Role::Channels => format!("channels({})", atom.size),
            Role::Height => format!("height({})", atom.size),
            Role::Width => format!("width({})", atom.size),
        };
        let axis = |axis: &Vec<Atom>| match axis[..] {
            [] => "1".to_owned(),
            _ => axis.iter().map(atom).collect::<Vec<_>>().join("*"),
        };
        self.0.iter().map(axis).collect::<Vec<_>>().join(" x ")
    }
}

/// The atoms of an axis without a batch of one sample.
pub(super) fn bare(axis: &[Atom]) -> Vec<Atom> {
    axis.iter().copied().filter(|atom| atom.role != Role::Batch || atom.size != 1).collect()
}

/// Neighbours that continue one another, as one atom.
pub(super) fn joined(atoms: Vec<Atom>) -> Vec<Atom> {
    let mut all: Vec<Atom> = vec![];
    for atom in atoms {
        match all.last_mut() {
            Some(outer) if outer.role == atom.role && outer.stride == atom.stride * atom.size => {
                *outer = Atom { size: outer.size * atom.size, ..atom };
            }
            _ => all.push(atom),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(channels: usize, height: usize, width: usize) -> (Axes, Shape) {
        let shape = Shape { channels, height, width };
        (Axes::image(1, shape), shape)
    }

    #[test]
    fn there_and_back_is_the_image_again() {
        let (axes, shape) = image(6, 4, 4);
        let tokens = axes.reshaped(&[1, 6, 16]).unwrap().permuted(&[0, 2, 1]);
        assert_eq!(
            (tokens.dims(), tokens.text()),
            (vec![1, 16, 6], "batch x height(4)*width(4) x channels(6)".to_owned())
        );
        assert!(tokens.is_whole(2, Role::Channels, shape));
        let back = tokens.permuted(&[0, 2, 1]).reshaped(&[1, 6, 4, 4]).unwrap();
        assert!(back.is_image(shape));
        // Sizes that differ may be cut where they divide one another.
        assert!(axes.reshaped(&[1, 6, 2, 8]).is_some_and(|axes| !axes.is_image(shape)));
        assert_eq!(axes.reshaped(&[1, 5, 16]), None);
        assert_eq!(axes.reshaped(&[1, 6, 4]), None);
    }

    #[test]
    fn a_shuffle_leaves_permuted_parts_of_the_channels() {
        let (axes, _) = image(6, 2, 2);
        let shuffled =
            axes.reshaped(&[1, 2, 3, 2, 2]).unwrap().permuted(&[0, 2, 1, 3, 4]).reshaped(&[1, 6, 2, 2]).unwrap();
        let parts: Vec<(usize, usize)> = shuffled.0[1].iter().map(|atom| (atom.size, atom.stride)).collect();
        assert_eq!(parts, [(3, 1), (2, 3)]);
    }

    #[test]
    fn a_pixel_keeps_its_batch() {
        let (axes, shape) = image(8, 1, 1);
        let flat = axes.reshaped(&[1, 8]).unwrap();
        assert!(flat.is_batch(0) && flat.is_whole(1, Role::Channels, shape));
        assert!(flat.reshaped(&[1, 8, 1, 1]).unwrap().is_image(shape));
    }
}

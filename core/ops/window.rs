//! Sliding windows of convolutions and pools.

use super::OpError;
use crate::graph::Shape;
use serde::{Deserialize, Serialize};

/// A sliding window on an image. Pairs are height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// Height and width of the window, in pixels.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows, in pixels.
    pub stride: [usize; 2],
    /// Distance between neighbouring elements of a window, in pixels.
    pub dilation: [usize; 2],
    /// Padding of the image: top, left, bottom, right, in pixels.
    pub padding: [usize; 4],
}

impl Window {
    /// A single pixel.
    pub const POINT: Self = Self { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], padding: [0; 4] };

    /// A square window with equal stride and padding on both axes.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [padding; 4] }
    }

    /// Height and width of the output, floored on each axis.
    ///
    /// # Errors
    /// Sides of 0, and windows that do not fit into the padded image.
    pub fn output(&self, input: Shape) -> Result<[usize; 2], OpError> {
        let zero = |what, sides: &[usize; 2]| if sides.contains(&0) { Err(OpError::Zero { what }) } else { Ok(()) };
        zero("kernel", &self.kernel)?;
        zero("stride", &self.stride)?;
        zero("dilation", &self.dilation)?;
        let side = |axis: usize, size: usize| {
            let room = self.room(axis, size)?;
            Some(room / self.stride[axis] + 1)
        };
        match (side(0, input.height), side(1, input.width)) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(self.too_large(input)),
        }
    }

    /// The same for a pool, whose windows must all overlap the image. `ceil` adds a last window that is only partly
    /// inside the padded image, if it begins inside the image or the padding before it, as PyTorch's `ceil_mode`.
    ///
    /// # Errors
    /// As [`Self::output`]; padding by more than half a window.
    pub fn pooled(&self, input: Shape, ceil: bool) -> Result<[usize; 2], OpError> {
        let mut sides = self.output(input)?;
        for axis in [0, 1] {
            let (begin, end) = self.pairs()[axis];
            if begin.max(end) > self.kernel[axis] / 2 {
                let why = format!("padding {:?} is more than half of its window {:?}", self.padding, self.kernel);
                return Err(OpError::Attribute(why));
            }
            let size = [input.height, input.width][axis];
            let next = sides[axis] * self.stride[axis];
            let partly = self.room(axis, size).is_some_and(|room| !room.is_multiple_of(self.stride[axis]));
            if ceil && partly && next < size + begin {
                sides[axis] += 1;
            }
        }
        Ok(sides)
    }

    fn too_large(&self, input: Shape) -> OpError {
        let Self { kernel: [height, width], padding: [top, left, bottom, right], .. } = *self;
        let padding = match [top, left, bottom] == [right; 3] {
            true => top.to_string(),
            false => format!("{top},{left},{bottom},{right}"),
        };
        let window = format!("a {height}x{width} window with padding {padding}");
        OpError::ImageTooSmall(format!("{window} does not fit a {input} input"))
    }

    /// The padding before and after, per axis.
    pub fn pairs(&self) -> [(usize, usize); 2] {
        let [top, left, bottom, right] = self.padding;
        [(top, bottom), (left, right)]
    }

    /// The output area with unfloored sides, multiplied as floats and truncated, as LIMPQ's published code counts it.
    pub(crate) fn truncated_area(&self, input: Shape) -> u64 {
        let side = |axis: usize, size: usize| {
            self.room(axis, size).unwrap_or_default() as f64 / self.stride[axis] as f64 + 1.0
        };
        (side(0, input.height) * side(1, input.width)) as u64
    }

    /// How far a window can be moved along an axis of this size.
    fn room(&self, axis: usize, size: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        size.checked_add(self.padding[axis])?.checked_add(self.padding[axis + 2])?.checked_sub(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize) -> Shape {
        Shape { channels: 1, height, width }
    }

    #[test]
    fn sides_are_floored_on_each_axis() {
        assert_eq!(Window::square(3, 2, 1).output(image(9, 8)).unwrap(), [5, 4]);
        // A 3x1 window dilated by 2 reaches over 5 rows; 1 row of padding above and none below leaves 8 - 5 of 8 rows.
        let window = Window { kernel: [3, 1], stride: [1, 2], dilation: [2, 1], padding: [1, 0, 0, 3] };
        assert_eq!(window.output(image(7, 4)).unwrap(), [4, 4]);
        assert!(window.output(image(3, 4)).is_err());
    }

    /// PyTorch: `MaxPool2d(3, 2, ceil_mode=True)` of 6 pixels gives 3, `AvgPool2d(2, 2, padding=1, ceil_mode=True)` of 2 gives 2.
    #[test]
    fn a_last_window_counts_in_ceil_mode_if_it_begins_in_the_image() {
        assert_eq!(Window::square(3, 2, 0).pooled(image(6, 7), true).unwrap(), [3, 3]);
        assert_eq!(Window::square(3, 2, 0).pooled(image(6, 7), false).unwrap(), [2, 3]);
        assert_eq!(Window::square(2, 2, 1).pooled(image(2, 3), true).unwrap(), [2, 2], "[2, 3] begins behind 3 + 1");
        assert!(Window::square(2, 2, 2).pooled(image(9, 9), false).is_err());
    }

    #[test]
    fn limpq_multiplies_unfloored_sides() {
        // Sides of (9 + 2 - 3) / 2 + 1 = 5 and (8 + 2 - 3) / 2 + 1 = 4.5.
        assert_eq!(Window::square(3, 2, 1).truncated_area(image(9, 8)), 22);
    }
}

//! Bilinear resizing, bit-identical to Pillow's (`src/libImaging/Resample.c`): a triangle filter whose support grows
//! when an image is shrunk (antialiasing), columns first, then rows, weights in fixed point of 22 bits, bytes in
//! between.
//!
//! Only the requested part of the resized image is computed.

/// A picture of RGB bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Row by row, three bytes per pixel.
    pub pixels: Vec<u8>,
}

/// A part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Rgb {
    /// Crops `from`, resizes it to `width` x `height`, and returns the `part` of the result.
    pub fn resized(&self, from: Part, (width, height): (usize, usize), part: Part) -> Self {
        let columns = taps(from.width, width, part.left..part.left + part.width);
        let rows = taps(from.height, height, part.top..part.top + part.height);
        // Rows that no weight needs are not computed.
        let first = rows.iter().map(|row| row.start).min().unwrap_or(0);
        let last = rows.iter().map(|row| row.start + row.weights.len()).max().unwrap_or(0);
        let line = 3 * part.width;
        let mut narrow = Vec::with_capacity(line * (last - first));
        for y in from.top + first..from.top + last {
            let start = 3 * (y * self.width + from.left);
            let source = self.pixels[start..start + 3 * from.width].as_chunks::<3>().0;
            for Taps { start, weights } in &columns {
                let mut sums = [HALF; 3];
                for (pixel, &weight) in source[*start..].iter().zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(value) * weight;
                    }
                }
                narrow.extend(sums.map(byte));
            }
        }
        let mut pixels = Vec::with_capacity(line * part.height);
        let mut sums = vec![HALF; line];
        for Taps { start, weights } in &rows {
            sums.fill(HALF);
            for (source, &weight) in narrow[line * (start - first)..].chunks(line).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixels.extend(sums.iter().map(|&sum| byte(sum)));
        }
        Self { width: part.width, height: part.height, pixels }
    }

    /// The whole picture.
    pub fn whole(&self) -> Part {
        Part { left: 0, top: 0, width: self.width, height: self.height }
    }
}

/// Fraction bits: 32 bits hold a byte, this fraction, and two bits to spare.
const FRACTION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (FRACTION - 1);

fn byte(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// The source pixels and weights of one pixel of the result.
struct Taps {
    start: usize,
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize, wanted: std::ops::Range<usize>) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let of = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        // The conversion truncates, and turns negative values into 0.
        let start = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let triangle = |pixel: usize| (1.0 - ((pixel as f64 - center + 0.5) * (1.0 / support)).abs()).max(0.0);
        let total: f64 = (start..end).map(triangle).sum();
        let fixed = |pixel| (0.5 + triangle(pixel) / total * f64::from(1 << FRACTION)) as i32;
        Taps { start, weights: (start..end).map(fixed).collect() }
    };
    wanted.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, values: &[u8]) -> Rgb {
        Rgb { width, height, pixels: values.iter().flat_map(|&value| [value; 3]).collect() }
    }

    fn values(picture: &Rgb) -> Vec<u8> {
        picture.pixels.iter().copied().step_by(3).collect()
    }

    #[test]
    fn halving_weighs_as_worked_out_by_hand() {
        // Scale 2, centers 1 and 3, support 2. Pixel 0 of the result: pixels 0 to 2 at distances 1/4, 1/4, 3/4 of the
        // support: weights 3, 3, 1 of 7. Pixel 1: pixels 1 to 3, weights 1, 3, 3 of 7.
        let row = grey(4, 1, &[70, 0, 140, 210]);
        let half = row.resized(row.whole(), (2, 1), Part { left: 0, top: 0, width: 2, height: 1 });
        // (3 * 70 + 3 * 0 + 140) / 7 and (0 + 3 * 140 + 3 * 210) / 7.
        assert_eq!(values(&half), [50, 150]);
    }

    #[test]
    fn doubling_is_linear_between_pixels_and_flat_at_the_ends() {
        let column = grey(1, 2, &[0, 100]);
        let double = column.resized(column.whole(), (1, 4), Part { left: 0, top: 0, width: 1, height: 4 });
        assert_eq!(values(&double), [0, 25, 75, 100]);
    }

    #[test]
    fn the_same_size_changes_nothing_and_parts_are_those_of_the_whole() {
        let picture = grey(5, 4, &(0..20).map(|v| v * 12).collect::<Vec<_>>());
        assert_eq!(picture.resized(picture.whole(), (5, 4), picture.whole()), picture);
        let inner = Part { left: 1, top: 1, width: 3, height: 2 };
        let cut = picture.resized(inner, (3, 2), Part { left: 0, top: 0, width: 3, height: 2 });
        assert_eq!(values(&cut), [72, 84, 96, 132, 144, 156]);
        let whole = picture.resized(picture.whole(), (9, 3), Part { left: 0, top: 0, width: 9, height: 3 });
        let part = picture.resized(picture.whole(), (9, 3), Part { left: 2, top: 1, width: 4, height: 2 });
        let expected: Vec<u8> = [&values(&whole)[11..15], &values(&whole)[20..24]].concat();
        assert_eq!(values(&part), expected);
    }
}

//! Crops of a picture, chosen as torchvision does.

use super::resize::{Part, Rgb};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A square crop, optionally mirrored.
pub struct View {
    /// The resized crop.
    pub picture: Rgb,
    /// Whether to mirror it horizontally.
    pub flip: bool,
}

/// Fraction of the area that is cropped.
const AREA: std::ops::RangeInclusive<f64> = 0.08..=1.0;
/// Aspect ratio of the crop.
const RATIO: std::ops::RangeInclusive<f64> = 3.0 / 4.0..=4.0 / 3.0;
const TRIES: usize = 10;

/// For training: a random crop, resized, mirrored with probability 1/2.
pub fn random(picture: &Rgb, size: usize, draw: u64) -> View {
    let mut random = ChaCha8Rng::seed_from_u64(draw);
    let part = random_part(picture.width, picture.height, &mut random);
    let picture = picture.resized(part, (size, size), Part { left: 0, top: 0, width: size, height: size });
    View { picture, flip: random.random() }
}

fn random_part(width: usize, height: usize, random: &mut impl Rng) -> Part {
    let area = (width * height) as f64;
    for _ in 0..TRIES {
        let area = area * random.random_range(AREA);
        let ratio = random.random_range(RATIO.start().ln()..=RATIO.end().ln()).exp();
        let (w, h) =
            ((area * ratio).sqrt().round_ties_even() as usize, (area / ratio).sqrt().round_ties_even() as usize);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = random.random_range(0..=(height - h) as u64) as usize;
            let left = random.random_range(0..=(width - w) as u64) as usize;
            return Part { left, top, width: w, height: h };
        }
    }
    // A picture with too extreme an aspect ratio: its centre.
    let ratio = width as f64 / height as f64;
    let (w, h) = if ratio < *RATIO.start() {
        (width, (width as f64 / RATIO.start()).round_ties_even() as usize)
    } else if ratio > *RATIO.end() {
        ((height as f64 * RATIO.end()).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    Part { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

/// For evaluation: the shorter side resized, the centre cropped. `resize` must be at least `size`.
pub fn middle(picture: &Rgb, resize: usize, size: usize) -> View {
    let (width, height) = (picture.width, picture.height);
    let (w, h) = if width <= height { (resize, resize * height / width) } else { (resize * width / height, resize) };
    let offset = |whole: usize| ((whole - size) as f64 / 2.0).round_ties_even() as usize;
    let part = Part { left: offset(w), top: offset(h), width: size, height: size };
    View { picture: picture.resized(picture.whole(), (w, h), part), flip: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_areas_and_ratios_they_should() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let parts: Vec<Part> = (0..4000).map(|_| random_part(400, 300, &mut random)).collect();
        let mut areas: Vec<f64> = parts.iter().map(|part| (part.width * part.height) as f64 / 120_000.0).collect();
        for part in &parts {
            assert!(part.left + part.width <= 400 && part.top + part.height <= 300, "{part:?}");
            let ratio = part.width as f64 / part.height as f64;
            assert!((0.74..1.35).contains(&ratio), "{part:?}");
        }
        areas.sort_by(f64::total_cmp);
        assert!(areas[0] > 0.078 && areas[0] < 0.09 && areas[3999] > 0.97, "{} {}", areas[0], areas[3999]);
        // Quartiles of 40 000 draws of torchvision 0.26's RandomResizedCrop.get_params for 400 x 300 pixels. They are not
        // those of the even draw (0.31, 0.54, 0.77): large crops are often too wide or too high and drawn again.
        for (place, expected) in [(1000, 0.252), (2000, 0.423), (3000, 0.594)] {
            assert!((areas[place] - expected).abs() < 0.02, "{place}: {}", areas[place]);
        }
        let wide = parts.iter().filter(|part| part.width > part.height).count();
        assert!((2200..2440).contains(&wide), "58 % there: {wide}");
    }

    #[test]
    fn long_pictures_give_their_middle() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        // Eight percent of it would be 20 rows by 20 columns and more, but it has five rows: all tries fail.
        let part = random_part(1000, 5, &mut random);
        assert_eq!(part, Part { left: 496, top: 0, width: 7, height: 5 });
        let part = random_part(3, 800, &mut random);
        assert_eq!(part, Part { left: 0, top: 398, width: 3, height: 4 });
    }

    #[test]
    fn the_same_draw_gives_the_same_view_and_half_are_mirrored() {
        let picture = Rgb { width: 20, height: 10, pixels: (0..600).map(|v| (v % 251) as u8).collect() };
        let view = |draw| random(&picture, 8, draw);
        assert_eq!(view(3).picture, view(3).picture);
        assert_ne!(view(3).picture, view(4).picture);
        let flips = (0..400).filter(|&draw| view(draw).flip).count();
        assert!((160..240).contains(&flips), "{flips}");
    }
}

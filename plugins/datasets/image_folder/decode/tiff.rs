//! TIFF: the first image of a file, of the kinds that Pillow reads (`TiffImagePlugin.py`), turned as its orientation says.
//!
//! Rows come in strips or tiles, each compressed by itself; all samples of a pixel stand together, or each in planes of
//! their own.

use super::{checked, colour, picture, zeros};
use crate::datasets::image_folder::resize::Rgb;
use fields::Fields;

mod chunk;
mod fields;

/// The meaning of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    /// 8 bits or fewer, stretched to 255; inverted if white is 0.
    Grey { bits: usize, inverted: bool },
    /// A palette index.
    Place { bits: usize },
    /// Of colours with 16 bits, the upper half.
    Upper,
    /// More than 8 bits of grey: as whole numbers, of which those below 0 and above 255 are cut off.
    Cut(Number),
}

/// Data types of more than 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Twelve,
    U16,
    I16,
    I32,
    F32,
}

impl Sample {
    fn bits(self) -> usize {
        match self {
            Self::Grey { bits, .. } | Self::Place { bits } => bits,
            Self::Upper | Self::Cut(Number::U16 | Number::I16) => 16,
            Self::Cut(Number::Twelve) => 12,
            Self::Cut(Number::I32 | Number::F32) => 32,
        }
    }
}

/// The samples of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    Grey,
    Palette,
    Rgb,
    /// Colours that were multiplied by the opacity behind them.
    Opaque,
    Cmyk,
    /// Brightness and colour, in JPEG alone.
    YCbCr,
}

/// The layout of a file's pixels.
struct Layout {
    width: usize,
    height: usize,
    sample: Sample,
    colours: Colours,
    /// Samples of a pixel in the file, and how many of them are of use.
    stored: usize,
    used: usize,
}

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let fields = Fields::read(bytes)?;
    let layout = layout(&fields, most)?;
    let samples = chunk::samples(&fields, &layout, most)?;
    let size = (layout.width, layout.height);
    let found = match layout.colours {
        Colours::Grey | Colours::Rgb | Colours::YCbCr => picture(size, &samples, layout.used, colour),
        Colours::Opaque => picture(size, &samples, layout.used, opaque),
        Colours::Cmyk => picture(size, &samples, layout.used, cmyk),
        Colours::Palette => {
            let palette = palette(&fields, layout.sample.bits())?;
            picture(size, &samples, layout.used, |place| palette[usize::from(place[0])])
        }
    }?;
    turned(found, fields.one(fields::ORIENTATION).unwrap_or(1))
}

pub fn deep_grey(bytes: &[u8]) -> bool {
    let layout = Fields::read(bytes).and_then(|fields| layout(&fields, u64::MAX));
    layout.is_ok_and(|layout| matches!(layout.sample, Sample::Cut(_)))
}

fn layout(fields: &Fields, most: u64) -> Result<Layout, String> {
    let size = |tag, what: &str| fields.one(tag).ok_or_else(|| format!("it has no {what}"));
    let (width, height) = (size(fields::WIDTH, "width")?, size(fields::HEIGHT, "height")?);
    let (width, height) = checked(width, height, most)?;
    let photometric = fields.one(fields::PHOTOMETRIC).unwrap_or(0);
    let stored = fields.one(fields::SAMPLES).unwrap_or(1);
    let stored = usize::try_from(stored).ok().filter(|stored| (1..=16).contains(stored));
    let stored = stored.ok_or("it has more samples in a pixel than are read, 16")?;
    let bits = fields.all(fields::BITS).unwrap_or(&[1]);
    let format = fields.all(fields::FORMAT).unwrap_or(&[1]);
    let extra = fields.all(fields::EXTRA).unwrap_or(&[]);
    let (depth, kind) = (bits[0], format[0]);
    let unknown = || {
        format!(
            "photometric interpretation {photometric} with samples of {bits:?} bits (formats {format:?}) is not read"
        )
    };
    if bits.iter().any(|&other| other != depth) || format.iter().any(|&other| other != kind) {
        return Err(unknown());
    }
    let grey = |bits| Sample::Grey { bits, inverted: false };
    let (colours, sample, used) = match (photometric, depth, kind) {
        (0 | 1, 1 | 2 | 4 | 8, 1) => {
            let sample = Sample::Grey { bits: depth as usize, inverted: photometric == 0 };
            (Colours::Grey, sample, 1)
        }
        (1, 8, 2) | (6, 8, 1) if stored == 1 => (Colours::Grey, grey(8), 1),
        (1, 12, 1) => (Colours::Grey, Sample::Cut(Number::Twelve), 1),
        // White that is 0 is not inverted here, by Pillow neither.
        (0 | 1, 16, 1) => (Colours::Grey, Sample::Cut(Number::U16), 1),
        (1, 16, 2) => (Colours::Grey, Sample::Cut(Number::I16), 1),
        (1, 32, 1 | 2) => (Colours::Grey, Sample::Cut(Number::I32), 1),
        (0 | 1, 32, 3) => (Colours::Grey, Sample::Cut(Number::F32), 1),
        (2, 8 | 16, 1) => {
            let sample = if depth == 8 { grey(8) } else { Sample::Upper };
            match extra.first() {
                Some(1) => (Colours::Opaque, sample, 4),
                _ => (Colours::Rgb, sample, 3),
            }
        }
        (3, 1 | 2 | 4 | 8, 1) => (Colours::Palette, Sample::Place { bits: depth as usize }, 1),
        (5, 8, 1) => (Colours::Cmyk, grey(8), 4),
        (5, 16, 1) => (Colours::Cmyk, Sample::Upper, 4),
        (6, 8, 1) if fields.compression() == fields::JPEG => (Colours::YCbCr, grey(8), 3),
        (6, ..) => return Err("its colours are YCbCr, which is read only if they are compressed as JPEG".to_owned()),
        _ => return Err(unknown()),
    };
    match stored < used {
        true => Err(format!("its pixels have {stored} samples, fewer than their {used} colours")),
        false => Ok(Layout { width, height, sample, colours, stored, used }),
    }
}

/// Colours of 16 bits, of which Pillow keeps the upper half: all reds, then all greens, then all blues.
fn palette(fields: &Fields, bits: usize) -> Result<[[u8; 3]; 256], String> {
    let count = 1 << bits;
    let stored = fields.all(fields::PALETTE).filter(|stored| stored.len() >= 3 * count);
    let stored = stored.ok_or_else(|| format!("its palette does not have {count} colours"))?;
    let mut palette = [[0; 3]; 256];
    for (place, to) in palette.iter_mut().enumerate().take(count) {
        *to = std::array::from_fn(|channel| (stored[channel * count + place] / 256) as u8);
    }
    Ok(palette)
}

/// What the colours were before they were multiplied by the opacity.
fn opaque(pixel: &[u8]) -> [u8; 3] {
    let [red, green, blue, opacity] = *pixel else { return colour(pixel) };
    let of = |value: u8| match opacity {
        0 => 0,
        255 => value,
        _ => (255 * u32::from(value) / u32::from(opacity)).min(255) as u8,
    };
    [of(red), of(green), of(blue)]
}

/// As Pillow's `cmyk2rgb`.
fn cmyk(pixel: &[u8]) -> [u8; 3] {
    let [cyan, magenta, yellow, black] = *pixel else { return colour(pixel) };
    let light = 255 - i32::from(black);
    let of = |ink: u8| {
        let product = i32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    };
    [of(cyan), of(magenta), of(yellow)]
}

/// Applies the orientation to the picture.
fn turned(from: Rgb, orientation: u64) -> Result<Rgb, String> {
    if !(2..=8).contains(&orientation) {
        return Ok(from);
    }
    let (w, h) = (from.width, from.height);
    let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
    let source = from.pixels.as_chunks::<3>().0;
    let mut pixels = zeros(3 * w * h)?;
    for (place, to) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = (place % width, place / width);
        let (x, y) = match orientation {
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (y, h - 1 - x),
            7 => (w - 1 - y, h - 1 - x),
            _ => (w - 1 - y, x),
        };
        *to = source[y * w + x];
    }
    Ok(Rgb { width, height, pixels })
}

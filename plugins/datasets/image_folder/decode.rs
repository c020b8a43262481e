//! Decodes image files to RGB bytes, as Pillow's `convert("RGB")` does.
//!
//! The format is recognised by the bytes; ImageNet has a PNG whose name ends in JPEG. Memory depends on width and
//! height only, so these are checked before anything is decoded.

use super::resize::Rgb;

mod bmp;
mod jpeg;
mod png;
mod pnm;
mod tiff;
mod webp;

/// Decodes one format.
type Decode = fn(&[u8], u64) -> Result<Rgb, String>;

/// Decodes a file's bytes, of at most `most` pixels; the error says what is wrong.
pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let (name, decode): (_, Decode) = match bytes {
        [] => return Err("it is empty".to_owned()),
        [0xff, 0xd8, ..] => ("JPEG", jpeg::rgb),
        [0x89, b'P', b'N', b'G', ..] => ("PNG", png::rgb),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ("WebP", webp::rgb),
        [b'B', b'M', ..] => ("BMP", bmp::rgb),
        [b'P', b'1'..=b'6', b' ' | b'\t'..=b'\r', ..] => ("PNM", pnm::rgb),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => ("TIFF", tiff::rgb),
        _ => return Err(foreign(bytes)),
    };
    decode(bytes, most).map_err(|why| format!("as {name}: {why}"))
}

/// Whether an image has grey values of more than 8 bits. Pillow keeps values up to 255 and makes the others white.
pub fn deep_grey(bytes: &[u8]) -> bool {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png::deep_grey(bytes),
        [b'P', b'2' | b'5', ..] => pnm::deep_grey(bytes),
        [b'I', b'I', ..] | [b'M', b'M', ..] => tiff::deep_grey(bytes),
        _ => false,
    }
}

/// Name of a format that is not supported.
fn foreign(bytes: &[u8]) -> String {
    let name = match bytes {
        [b'G', b'I', b'F', b'8', ..] => "a GIF",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "an AVIF image",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a HEIC image or a video",
        [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "a JPEG 2000 image",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop file",
        [b'P', b'f' | b'F', ..] => "a PFM image of floats",
        [0, 0, 1, 0, ..] => "an icon",
        [b'<', ..] => "text that starts with \"<\", such as a web page",
        _ => "unknown",
    };
    format!("the file is {name}; JPEG, PNG, WebP, BMP, PPM (PGM, PBM) and TIFF are read, whatever the file's name says")
}

/// Checks that an image has pixels, but not too many.
fn checked(width: u64, height: u64, most: u64) -> Result<(usize, usize), String> {
    if width == 0 || height == 0 {
        return Err(format!("its header says {width} x {height} pixels"));
    }
    match (usize::try_from(width), usize::try_from(height), width.checked_mul(height)) {
        (Ok(w), Ok(h), Some(pixels)) if pixels <= most => Ok((w, h)),
        _ => Err(format!(
            "its header says {width} x {height} pixels, more than [dataset] max_pixels = {most}; if that is true, set max_pixels \
             higher or make the image smaller"
        )),
    }
}

/// Zeros, if there is enough memory.
fn zeros(count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    bytes.try_reserve_exact(count).map_err(|_| format!("the system has no {} MiB for it", count >> 20))?;
    bytes.resize(count, 0);
    Ok(bytes)
}

/// A picture made pixel by pixel from `samples`, with this many samples per pixel.
fn picture(
    (width, height): (usize, usize),
    samples: &[u8],
    each: usize,
    pixel: impl Fn(&[u8]) -> [u8; 3],
) -> Result<Rgb, String> {
    let mut pixels = zeros(3 * width * height)?;
    for (to, from) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(samples.chunks_exact(each)) {
        *to = pixel(from);
    }
    Ok(Rgb { width, height, pixels })
}

/// The colour samples of a pixel, without the opacity; or its grey sample.
fn colour(samples: &[u8]) -> [u8; 3] {
    match *samples {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    }
}

/// The error for a file that is shorter than its header says.
const ENDS_EARLY: &str = "it ends early";

#[cfg(test)]
mod tests;

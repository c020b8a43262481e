//! JPEG and PNG to red, green and blue bytes, as Pillow's `convert("RGB")` has them.
//!
//! The format is that of the bytes; ImageNet has a PNG whose name ends in JPEG. JPEGs differ from libjpeg-turbo's by a few
//! grey levels, since the standard leaves rounding and the smoothing of colour open.

use super::resize::Rgb;
use png::{BitDepth, ColorType, Transformations};
use std::io::Cursor;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Longer or higher is taken for damage.
const MOST: usize = 1 << 16;
/// Bytes that a PNG may take in memory.
const MEMORY: usize = 1 << 30;

/// Decodes a file's bytes; the error says what is wrong with them.
pub fn rgb(bytes: &[u8]) -> Result<Rgb, String> {
    match bytes {
        [0xff, 0xd8, ..] => jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [] => Err("it is empty".to_owned()),
        _ => Err("it is neither JPEG nor PNG".to_owned()),
    }
}

fn jpeg(bytes: &[u8]) -> Result<Rgb, String> {
    // The decoder fills what is missing with grey. A scan (ff da) without an end of image (ff d9) behind it is cut off.
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    if last(0xd9).is_none_or(|end| last(0xda).is_some_and(|scan| end < scan)) {
        return Err("as JPEG: it ends early".to_owned());
    }
    // Not strict: bytes left over between markers are common and harm nothing.
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(MOST).set_max_height(MOST);
    let options = options.jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| format!("as JPEG: {error}"))?;
    let (width, height) = decoder.dimensions().ok_or("as JPEG: it has no size")?;
    checked(width, height, pixels)
}

fn png(bytes: &[u8]) -> Result<Rgb, String> {
    let wrong = |error: png::DecodingError| format!("as PNG: {error}");
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MEMORY });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = reader.output_buffer_size().filter(|&size| size <= MEMORY).ok_or("as PNG: it is too large")?;
    let mut raw = vec![0; size];
    let info = reader.next_frame(&mut raw).map_err(wrong)?;
    raw.truncate(info.buffer_size());
    let (channels, deep) = (info.color_type.samples(), info.bit_depth == BitDepth::Sixteen);
    let samples: Vec<u8> = match (deep, info.color_type) {
        (false, _) => raw,
        // Pillow reads grey of 16 bits as whole numbers, of which only those to 255 are greys.
        (true, ColorType::Grayscale) => {
            raw.as_chunks::<2>().0.iter().map(|v| if v[0] > 0 { 255 } else { v[1] }).collect()
        }
        // Of colours it takes the upper half.
        (true, _) => raw.iter().copied().step_by(2).collect(),
    };
    let of_pixel = |pixel: &[u8]| match *pixel {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    };
    let pixels = samples.chunks(channels).flat_map(of_pixel).collect();
    checked(info.width as usize, info.height as usize, pixels)
}

fn checked(width: usize, height: usize, pixels: Vec<u8>) -> Result<Rgb, String> {
    if width == 0 || height == 0 || pixels.len() != 3 * width * height {
        return Err(format!("{width} x {height} pixels in {} bytes, which is not three for each", pixels.len()));
    }
    Ok(Rgb { width, height, pixels })
}

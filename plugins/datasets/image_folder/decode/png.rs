//! PNG. Only the first picture of an animation is read, as by Pillow.

use super::{checked, colour, picture, zeros};
use crate::datasets::image_folder::resize::Rgb;
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

/// Memory limit of the decoder for everything besides pixels, in bytes.
const MEMORY: usize = 1 << 28;

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let wrong = |error: DecodingError| error.to_string();
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MEMORY });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(wrong)?;
    checked(header.width.into(), header.height.into(), most)?;
    let mut reader = decoder.read_info().map_err(wrong)?;
    let mut samples = zeros(reader.output_buffer_size().ok_or("it is too large")?)?;
    let info = reader.next_frame(&mut samples).map_err(wrong)?;
    samples.truncate(info.buffer_size());
    let size = checked(info.width.into(), info.height.into(), most)?;
    let channels = info.color_type.samples();
    match (info.bit_depth, info.color_type) {
        // Pillow reads grey of 16 bits as whole numbers, of which only those to 255 are greys.
        (BitDepth::Sixteen, ColorType::Grayscale) => {
            picture(size, &samples, 2, |grey| if grey[0] > 0 { [255; 3] } else { [grey[1]; 3] })
        }
        // Of other numbers it takes the upper half.
        (BitDepth::Sixteen, _) => picture(size, &samples, 2 * channels, |pixel| match *pixel {
            [red, _, green, _, blue, _, ..] => [red, green, blue],
            _ => [pixel[0]; 3],
        }),
        _ => picture(size, &samples, channels, colour),
    }
}

/// The header stands at the start and has its place.
pub fn deep_grey(bytes: &[u8]) -> bool {
    bytes.get(24..26) == Some(&[16, 0])
}

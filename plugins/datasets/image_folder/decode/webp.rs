//! WebP, lossy and lossless. Only the first picture of an animation is read, as by Pillow.

use super::{checked, colour, picture, zeros};
use crate::datasets::image_folder::resize::Rgb;
use image_webp::WebPDecoder;
use std::io::Cursor;

/// Memory limit of the decoder for everything besides pixels, in bytes.
const MEMORY: usize = 1 << 28;

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let size = checked(width.into(), height.into(), most)?;
    decoder.set_memory_limit(MEMORY);
    let mut samples = zeros(decoder.output_buffer_size().ok_or("it is too large")?)?;
    let read = match decoder.is_animated() {
        true => decoder.read_frame(&mut samples).map(|_| ()),
        false => decoder.read_image(&mut samples),
    };
    read.map_err(|error| error.to_string())?;
    picture(size, &samples, samples.len() / (size.0 * size.1), colour)
}

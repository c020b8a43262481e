//! JPEG. Pixels differ from libjpeg-turbo's by a few grey levels, since the standard leaves rounding and the upsampling
//! of colour open.

use super::{ENDS_EARLY, checked, zeros};
use crate::datasets::image_folder::resize::Rgb;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    // The decoder fills missing data with grey. A scan (ff da) without a following end of image (ff d9) is truncated.
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    if last(0xd9).is_none_or(|end| last(0xda).is_some_and(|scan| end < scan)) {
        return Err(ENDS_EARLY.to_owned());
    }
    // Not strict: stray bytes between markers are common and harmless.
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(1 << 16).set_max_height(1 << 16);
    let options = options.jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let (width, height) = checked(width as u64, height as u64, most)?;
    // A block of eight by eight pixels takes at least one bit, and colour may be stored once per four by four blocks.
    const MOST_OF_A_BYTE: usize = 8 * 64 * 16;
    if width * height > bytes.len().saturating_mul(MOST_OF_A_BYTE) {
        return Err(format!("{ENDS_EARLY}: {} bytes are too few for {width} x {height} pixels", bytes.len()));
    }
    let mut pixels = zeros(3 * width * height)?;
    decoder.decode_into(&mut pixels).map_err(|error| error.to_string())?;
    Ok(Rgb { width, height, pixels })
}

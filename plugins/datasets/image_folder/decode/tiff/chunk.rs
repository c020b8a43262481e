//! Strips and tiles of a TIFF file: read, decompressed and assembled.

use super::{
    super::{ENDS_EARLY, checked, zeros},
    Colours, Layout, Number, Sample,
    fields::{self, Fields},
};
use flate2::read::ZlibDecoder;
use std::{borrow::Cow, io::Read};
use weezl::{BitOrder, decode::Decoder as Lzw};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// A grid of strips or tiles.
struct Grid<'a> {
    width: usize,
    height: usize,
    across: usize,
    down: usize,
    /// Samples of a pixel in one.
    samples: usize,
    planes: usize,
    offsets: &'a [u64],
    lengths: &'a [u64],
}

/// The samples of use of all pixels, a byte each.
pub fn samples(fields: &Fields, layout: &Layout, most: u64) -> Result<Vec<u8>, String> {
    let grid = grid(fields, layout, most)?;
    let Layout { width, height, sample, used, .. } = *layout;
    let row = (grid.width * grid.samples * sample.bits()).div_ceil(8);
    let mut unpacked = zeros(row * grid.height.min(height))?;
    let mut all = zeros(used * width * height)?;
    for chunk in 0..grid.across * grid.down * grid.planes {
        let (plane, place) = (chunk / (grid.across * grid.down), chunk % (grid.across * grid.down));
        let (left, top) = (place % grid.across * grid.width, place / grid.across * grid.height);
        if plane >= used {
            break;
        }
        let (rows, columns) = (grid.height.min(height - top), grid.width.min(width - left));
        let unpacked = &mut unpacked[..row * rows];
        unpack(fields, layout, &grid, chunk, unpacked)?;
        for (y, line) in (top..).zip(unpacked.chunks_exact_mut(row)) {
            predict(fields, layout, &grid, line);
            for x in 0..columns {
                for of in 0..grid.samples.min(used) {
                    let value = value(line, x * grid.samples + of, sample, fields.big_endian);
                    all[(y * width + left + x) * used + plane + of] = value;
                }
            }
        }
    }
    Ok(all)
}

fn grid<'a>(fields: &'a Fields, layout: &Layout, most: u64) -> Result<Grid<'a>, String> {
    let Layout { width, height, stored, .. } = *layout;
    let tiles = fields.all(fields::TILE_OFFSETS);
    let (w, h, offsets, lengths) = match (tiles, fields.all(fields::STRIP_OFFSETS)) {
        (Some(offsets), _) => {
            let side = |tag| fields.one(tag).ok_or("its tiles have no size");
            (side(fields::TILE_WIDTH)?, side(fields::TILE_HEIGHT)?, offsets, fields.all(fields::TILE_BYTES))
        }
        (None, Some(offsets)) => {
            let rows = fields.one(fields::STRIP_ROWS).unwrap_or(height as u64).min(height as u64);
            (width as u64, rows, offsets, fields.all(fields::STRIP_BYTES))
        }
        (None, None) => return Err("it has neither strips nor tiles".to_owned()),
    };
    let (w, h) = checked(w, h, most)?;
    let (across, down) = (width.div_ceil(w), height.div_ceil(h));
    // Small pictures in large tiles are unpacked at the size of these.
    checked((across * w) as u64, (down * h.min(height)) as u64, most)?;
    let apart = fields.one(fields::PLANES) == Some(2) && stored > 1;
    let (samples, planes) = if apart { (1, stored) } else { (stored, 1) };
    let needed = across * down * if apart { layout.used } else { 1 };
    if offsets.len() < needed {
        return Err(format!("it has {} strips or tiles instead of {needed}", offsets.len()));
    }
    Ok(Grid { width: w, height: h, across, down, samples, planes, offsets, lengths: lengths.unwrap_or(&[]) })
}

/// Fills a chunk's rows.
fn unpack(fields: &Fields, layout: &Layout, grid: &Grid, chunk: usize, to: &mut [u8]) -> Result<(), String> {
    let rest =
        usize::try_from(grid.offsets[chunk]).ok().and_then(|start| fields.bytes.get(start..)).ok_or(ENDS_EARLY)?;
    let length = grid.lengths.get(chunk).map_or(rest.len(), |&length| (length as usize).min(rest.len()));
    let packed = &rest[..length];
    let backwards = fields.one(fields::FILL_ORDER) == Some(2);
    let packed = match backwards && fields.compression() != fields::JPEG {
        true => Cow::Owned(packed.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>()),
        false => Cow::Borrowed(packed),
    };
    let cut = |error: std::io::Error| format!("strip or tile {chunk}: {error}");
    match fields.compression() {
        1 => to.copy_from_slice(packed.get(..to.len()).ok_or(ENDS_EARLY)?),
        5 => lzw(&packed, to)?,
        8 | 32946 => ZlibDecoder::new(&*packed).read_exact(to).map_err(cut)?,
        32773 => pack_bits(&packed, to)?,
        fields::JPEG => jpeg(fields, layout, grid, &packed, to)?,
        other => return Err(format!("it is compressed as {}, which is not read", name(other))),
    }
    Ok(())
}

fn name(compression: u64) -> String {
    match compression {
        2..=4 => "CCITT fax".to_owned(),
        6 => "old-style JPEG".to_owned(),
        34925 => "LZMA".to_owned(),
        50000 => "Zstandard".to_owned(),
        50001 => "WebP".to_owned(),
        other => format!("number {other}"),
    }
}

fn lzw(packed: &[u8], to: &mut [u8]) -> Result<(), String> {
    let mut decoder = Lzw::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < to.len() {
        let result = decoder.decode_bytes(&packed[read..], &mut to[written..]);
        (read, written) = (read + result.consumed_in, written + result.consumed_out);
        result.status.map_err(|error| error.to_string())?;
        if result.consumed_in == 0 && result.consumed_out == 0 {
            return Err(ENDS_EARLY.to_owned());
        }
    }
    Ok(())
}

/// Runs of bytes: a count and what follows it, or below zero how often the next byte is repeated.
fn pack_bits(packed: &[u8], to: &mut [u8]) -> Result<(), String> {
    let (mut bytes, mut done) = (packed.iter(), 0);
    while done < to.len() {
        let count = bytes.next().ok_or(ENDS_EARLY)?.cast_signed();
        let room = to.len() - done;
        match count {
            0.. => {
                for to in &mut to[done..done + room.min(count as usize + 1)] {
                    *to = *bytes.next().ok_or(ENDS_EARLY)?;
                }
                done += room.min(count as usize + 1);
            }
            -128 => {}
            _ => {
                let end = done + room.min(1 + usize::from(count.unsigned_abs()));
                to[done..end].fill(*bytes.next().ok_or(ENDS_EARLY)?);
                done = end;
            }
        }
    }
    Ok(())
}

/// A JPEG whose tables may stand in a field of the file.
fn jpeg(fields: &Fields, layout: &Layout, grid: &Grid, packed: &[u8], to: &mut [u8]) -> Result<(), String> {
    let tables: Vec<u8> = fields.all(fields::JPEG_TABLES).unwrap_or(&[]).iter().map(|&byte| byte as u8).collect();
    let whole = match (tables.len(), packed.len()) {
        (4.., 2..) => [&tables[..tables.len() - 2], &packed[2..]].concat(),
        _ => packed.to_vec(),
    };
    let mut decoder = JpegDecoder::new(ZCursor::new(whole));
    let wrong = |error: zune_jpeg::errors::DecodeErrors| format!("as JPEG: {error}");
    decoder.decode_headers().map_err(wrong)?;
    let colours = match layout.colours {
        Colours::YCbCr => ColorSpace::RGB,
        // As they are.
        _ => decoder.input_colorspace().unwrap_or(ColorSpace::RGB),
    };
    decoder.set_options(DecoderOptions::default().set_strict_mode(false).jpeg_set_out_colorspace(colours));
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let expected = grid.width * grid.samples;
    let rows = to.len() / expected..=grid.height;
    if width != grid.width || !rows.contains(&height) || colours.num_components() != grid.samples {
        let found = colours.num_components();
        return Err(format!(
            "a JPEG in it has {width} x {height} pixels of {found} samples in place of {} x {} of {}",
            grid.width,
            to.len() / expected,
            grid.samples
        ));
    }
    let pixels = decoder.decode().map_err(wrong)?;
    to.copy_from_slice(pixels.get(..to.len()).ok_or(ENDS_EARLY)?);
    Ok(())
}

/// Inverts the horizontal predictor.
fn predict(fields: &Fields, layout: &Layout, grid: &Grid, line: &mut [u8]) {
    let differences = fields.one(fields::PREDICTOR) == Some(2) && matches!(fields.compression(), 5 | 8 | 32946);
    match layout.sample.bits() {
        8 if differences => {
            for at in grid.samples..line.len() {
                line[at] = line[at].wrapping_add(line[at - grid.samples]);
            }
        }
        16 if differences => {
            let words = line.as_chunks_mut::<2>().0;
            let of =
                |word: [u8; 2]| if fields.big_endian { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) };
            for at in grid.samples..words.len() {
                let sum = of(words[at]).wrapping_add(of(words[at - grid.samples]));
                words[at] = if fields.big_endian { sum.to_be_bytes() } else { sum.to_le_bytes() };
            }
        }
        _ => {}
    }
}

/// The byte that a sample becomes.
fn value(line: &[u8], place: usize, sample: Sample, big_endian: bool) -> u8 {
    let bits = sample.bits();
    let word = |size: usize| {
        let bytes = &line[place * size..(place + 1) * size];
        let add = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    };
    let few = || {
        let bit = place * bits;
        (u16::from(line[bit / 8]) << (bit % 8) & 0xff) as u8 >> (8 - bits)
    };
    match sample {
        Sample::Place { .. } => few(),
        Sample::Grey { inverted, .. } => {
            let grey = (u32::from(few()) * 255 / ((1 << bits) - 1)) as u8;
            if inverted { !grey } else { grey }
        }
        Sample::Upper => (word(2) >> 8) as u8,
        Sample::Cut(Number::Twelve) => {
            let bit = place * 12;
            let pair = u32::from(line[bit / 8]) << 8 | u32::from(line[bit / 8 + 1]);
            (pair >> (4 - bit % 8) & 0xfff).min(255) as u8
        }
        Sample::Cut(Number::U16) => word(2).min(255) as u8,
        Sample::Cut(Number::I16) => (word(2) as u16).cast_signed().clamp(0, 255) as u8,
        Sample::Cut(Number::I32) => word(4).cast_signed().clamp(0, 255) as u8,
        Sample::Cut(Number::F32) => f32::from_bits(word(4)).clamp(0.0, 255.0) as u8,
    }
}

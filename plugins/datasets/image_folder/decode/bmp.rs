//! BMP: the kinds that Pillow reads (`BmpImagePlugin.py`).

use super::{ENDS_EARLY, checked, colour, picture, zeros};
use crate::datasets::image_folder::resize::Rgb;

/// Uncompressed pixels.
const RAW: u32 = 0;
/// Runs of pixels, of a byte or half a byte each.
const RLE8: u32 = 1;
const RLE4: u32 = 2;
/// Colours by bit masks.
const BIT_FIELDS: u32 = 3;

struct Header {
    width: usize,
    height: usize,
    /// The first row is the lowest.
    upwards: bool,
    bits: usize,
    compression: u32,
    masks: [u32; 4],
    palette: [[u8; 3]; 256],
    /// Offset of the pixels.
    offset: usize,
}

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let header = header(bytes, most)?;
    let Header { width, height, .. } = header;
    let places =
        || picture((width, height), &indices(bytes, &header)?, 1, |index| header.palette[usize::from(index[0])]);
    let mut found = match (header.compression, header.bits) {
        (RAW, 1 | 4 | 8) => places()?,
        (RLE8, 8) | (RLE4, 4) => {
            let indices = runs(bytes, &header)?;
            picture((width, height), &indices, 1, |index| header.palette[usize::from(index[0])])?
        }
        (RAW, 16 | 24 | 32) | (BIT_FIELDS, 16 | 32) => colours(bytes, &header)?,
        (BIT_FIELDS, 24) if header.masks[..3] == [0xff_0000, 0xff00, 0xff] => colours(bytes, &header)?,
        (compression, bits) => return Err(format!("{bits} bits a pixel with compression {compression} are not read")),
    };
    if header.upwards {
        let row = 3 * width;
        for y in 0..height / 2 {
            let (upper, lower) = found.pixels.split_at_mut((height - 1 - y) * row);
            upper[y * row..(y + 1) * row].swap_with_slice(&mut lower[..row]);
        }
    }
    Ok(found)
}

fn header(bytes: &[u8], most: u64) -> Result<Header, String> {
    let byte = |at: usize| bytes.get(at).copied().ok_or_else(|| ENDS_EARLY.to_owned());
    let u16 = |at: usize| Ok::<_, String>(u16::from_le_bytes([byte(at)?, byte(at + 1)?]));
    let u32 = |at: usize| Ok::<_, String>(u32::from(u16(at)?) | u32::from(u16(at + 2)?) << 16);
    let (size, mut offset) = (u32(14)? as usize, u32(10)? as usize);
    let small = size == 12;
    if !matches!(size, 12 | 40 | 52 | 56 | 64 | 108 | 124) {
        return Err(format!("its header is {size} bytes long, which no kind of BMP has"));
    }
    byte(14 + size - 1)?;
    let downwards = !small && byte(25)? == 0xff;
    let (width, height) = match small {
        true => (u16(18)?.into(), u16(20)?.into()),
        // A height below zero is that of rows from the top.
        false => (u32(18)?, if downwards { u32(22)?.wrapping_neg() } else { u32(22)? }),
    };
    let (width, height) = checked(width.into(), height.into(), most)?;
    let bits = usize::from(u16(if small { 24 } else { 28 })?);
    let compression = if small { RAW } else { u32(30)? };
    let mut masks = [0; 4];
    if compression == BIT_FIELDS {
        // They stand in a longer header, or behind the shortest.
        let count = if size >= 56 { 4 } else { 3 };
        for (mask, place) in masks.iter_mut().zip(0..count) {
            *mask = u32(54 + 4 * place)?;
        }
    }
    let (entry, given) = if small { (3, 0) } else { (4, u32(46)? as usize) };
    let count = if given == 0 && bits <= 8 { 1 << bits } else { given };
    let mut palette = [[0; 3]; 256];
    if bits <= 8 {
        if !(1..=65536).contains(&count) {
            return Err(format!("it has {count} colours"));
        }
        let stored = || bytes[14 + size..].chunks_exact(entry).take(count);
        // Of greys in their order there are all, however many are given. Colours that are not given are black.
        let grey = |place: usize| [place as u8; 3];
        if stored().enumerate().all(|(place, colour)| colour[..3] == grey(place)) {
            palette = std::array::from_fn(grey);
        }
        for (to, from) in palette.iter_mut().zip(stored()) {
            *to = [from[2], from[1], from[0]];
        }
        // Some writers forget the palette.
        if offset == 14 + size {
            offset += entry * count;
        }
    }
    Ok(Header { width, height, upwards: !downwards, bits, compression, masks, palette, offset })
}

/// The rows of a file: each starts at a multiple of four bytes.
fn rows<'a>(bytes: &'a [u8], header: &Header) -> Result<impl Iterator<Item = &'a [u8]>, String> {
    let row = (header.width * header.bits).div_ceil(32) * 4;
    let needed = row * (header.height - 1) + (header.width * header.bits).div_ceil(8);
    let pixels = bytes.get(header.offset..).filter(|pixels| pixels.len() >= needed);
    Ok(pixels.ok_or(ENDS_EARLY)?.chunks(row).take(header.height))
}

/// Palette indices of 1, 4 or 8 bits.
fn indices(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    let Header { width, height, bits, .. } = *header;
    let mut indices = zeros(width * height)?;
    for (to, from) in indices.chunks_exact_mut(width).zip(rows(bytes, header)?) {
        for (column, to) in to.iter_mut().enumerate() {
            let bit = column * bits;
            *to = ((u16::from(from[bit / 8]) << (bit % 8) & 0xff) >> (8 - bits)) as u8;
        }
    }
    Ok(indices)
}

/// Positions of red, green and blue in a pixel's bytes.
fn order(header: &Header) -> Option<[usize; 3]> {
    match (header.compression, header.masks) {
        (RAW, _) | (_, [0, 0, 0, 0]) => Some([2, 1, 0]),
        (_, [0xff_0000, 0xff00, 0xff, 0 | 0xff00_0000]) => Some([2, 1, 0]),
        (_, [0xff00_0000, 0xff_0000, 0xff00, 0 | 0xff]) => Some([3, 2, 1]),
        (_, [0xff00_0000, 0xff00, 0xff, 0 | 0xff_0000]) => Some([3, 1, 0]),
        (_, [0xff, 0xff00, 0xff_0000, 0xff00_0000]) => Some([0, 1, 2]),
        _ => None,
    }
}

fn colours(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    let Header { width, height, bits, .. } = *header;
    let unknown = || format!("its colour masks are not supported ({:x?})", header.masks);
    let each = bits / 8;
    let mut samples = zeros(3 * width * height)?;
    let rows = rows(bytes, header)?;
    let lines = samples
        .chunks_exact_mut(3 * width)
        .zip(rows)
        .flat_map(|(to, from)| to.as_chunks_mut::<3>().0.iter_mut().zip(from.chunks_exact(each)));
    if bits == 16 {
        let (green, red) = match (header.compression, &header.masks[..3]) {
            (RAW, _) | (_, [0x7c00, 0x3e0, 0x1f]) => (31, 10),
            (_, [0xf800, 0x7e0, 0x1f]) => (63, 11),
            _ => return Err(unknown()),
        };
        for (to, from) in lines {
            let pixel = u32::from(u16::from_le_bytes([from[0], from[1]]));
            let of = |shift: u32, most: u32| ((pixel >> shift & most) * 255 / most) as u8;
            *to = [of(red, 31), of(5, green), of(0, 31)];
        }
    } else {
        let order = if bits == 24 { [2, 1, 0] } else { order(header).ok_or_else(unknown)? };
        for (to, from) in lines {
            *to = order.map(|place| from[place]);
        }
    }
    picture((width, height), &samples, 3, colour)
}

/// Places in the palette, written as runs. As Pillow reads them, which for an odd number of half bytes is not what was meant.
fn runs(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    let Header { width, height, .. } = *header;
    let (wanted, halves) = (width * height, header.compression == RLE4);
    let mut indices: Vec<u8> = vec![];
    indices.try_reserve_exact(wanted).map_err(|_| format!("the system has no {} MiB for it", wanted >> 20))?;
    let (mut at, mut x) = (header.offset, 0);
    while indices.len() < wanted {
        let Some(&[count, byte]) = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()) else { break };
        at += 2;
        match (count, byte) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Some(&[right, up]) = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()) else { break };
                at += 2;
                let end = indices.len() + usize::from(right) + usize::from(up) * width;
                indices.resize(end.min(wanted), 0);
                x = end % width;
            }
            (0, count) => {
                let stored = usize::from(if halves { count / 2 } else { count });
                let found = bytes.get(at..).unwrap_or_default();
                let found = &found[..stored.min(found.len())];
                match halves {
                    true => indices.extend(found.iter().flat_map(|&byte| [byte >> 4, byte & 0xf])),
                    false => indices.extend_from_slice(found),
                }
                if found.len() < stored {
                    break;
                }
                at = (at + stored).next_multiple_of(2);
                x += usize::from(count);
            }
            (count, byte) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                let of = |place: usize| match (halves, place % 2) {
                    (false, _) => byte,
                    (true, 0) => byte >> 4,
                    (true, _) => byte & 0xf,
                };
                indices.extend((0..count).map(of));
                x += count;
            }
        }
    }
    if indices.len() < wanted { Err(ENDS_EARLY.to_owned()) } else { Ok(indices) }
}

//! PBM, PGM and PPM (netpbm), plain and raw, with Pillow's arithmetic for samples other than bytes (`PpmImagePlugin.py`).

use super::{ENDS_EARLY, checked, colour, picture, zeros};
use crate::datasets::image_folder::resize::Rgb;

/// The header.
struct Header {
    kind: u8,
    width: u64,
    height: u64,
    /// The value of white.
    most: u64,
    /// Offset of the pixels.
    end: usize,
}

pub fn rgb(bytes: &[u8], most: u64) -> Result<Rgb, String> {
    let header = header(bytes)?;
    let size = checked(header.width, header.height, most)?;
    let each = if matches!(header.kind, b'3' | b'6') { 3 } else { 1 };
    let mut samples = zeros(each * size.0 * size.1)?;
    let rest = &bytes[header.end..];
    match header.kind {
        b'1' => plain_bits(rest, &mut samples)?,
        b'4' => raw_bits(rest, size.0, &mut samples)?,
        b'2' | b'3' => plain(rest, &header, &mut samples)?,
        _ => raw(rest, &header, &mut samples)?,
    }
    picture(size, &samples, each, colour)
}

pub fn deep_grey(bytes: &[u8]) -> bool {
    header(bytes).is_ok_and(|header| matches!(header.kind, b'2' | b'5') && header.most > 255)
}

fn header(bytes: &[u8]) -> Result<Header, String> {
    let kind = bytes[1];
    let (width, end) = number(bytes, 3)?;
    let (height, end) = number(bytes, end)?;
    let (most, end) = if matches!(kind, b'1' | b'4') { (1, end) } else { number(bytes, end)? };
    if !(1..=65535).contains(&most) {
        return Err(format!("its largest value must be 1 to 65535, got {most}"));
    }
    Ok(Header { kind, width, height, most, end })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number of the header, and where the one white space behind it ends. From `#` to the end of a line is a remark.
fn number(bytes: &[u8], mut at: usize) -> Result<(u64, usize), String> {
    const MOST_DIGITS: usize = 10;
    let mut digits = String::new();
    loop {
        let Some(&byte) = bytes.get(at) else {
            return Err(if digits.is_empty() { ENDS_EARLY.to_owned() } else { format!("{ENDS_EARLY} in its header") });
        };
        at += 1;
        match byte {
            b'#' => at += bytes[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |end| end + 1),
            _ if is_space(byte) && digits.is_empty() => {}
            _ if is_space(byte) => break,
            _ => digits.push(byte.into()),
        }
        if digits.len() > MOST_DIGITS {
            break;
        }
    }
    let number = digits.parse().map_err(|_| format!("its header has {digits:?} where a whole number must be"))?;
    Ok((number, at))
}

/// A value as Pillow has it: of 255, and of more than 8 bits in grey as the whole number that it is, of 65535.
fn value(value: u64, header: &Header) -> u8 {
    let grey = matches!(header.kind, b'2' | b'5') && header.most > 255;
    let white = if grey { 65535.0 } else { 255.0 };
    let scaled = (value as f64 / header.most as f64 * white).round_ties_even();
    scaled.min(255.0) as u8
}

fn raw(bytes: &[u8], header: &Header, samples: &mut [u8]) -> Result<(), String> {
    let each = if header.most > 255 { 2 } else { 1 };
    if bytes.len() / each < samples.len() {
        return Err(ENDS_EARLY.to_owned());
    }
    for (to, from) in samples.iter_mut().zip(bytes.chunks_exact(each)) {
        *to = value(from.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)), header);
    }
    Ok(())
}

/// Eight pixels a byte, each row in bytes of its own; 1 is black.
fn raw_bits(bytes: &[u8], width: usize, samples: &mut [u8]) -> Result<(), String> {
    let row = width.div_ceil(8);
    if bytes.len() / row < samples.len() / width {
        return Err(ENDS_EARLY.to_owned());
    }
    for (to, from) in samples.chunks_exact_mut(width).zip(bytes.chunks_exact(row)) {
        for (column, to) in to.iter_mut().enumerate() {
            *to = if from[column / 8] >> (7 - column % 8) & 1 == 1 { 0 } else { 255 };
        }
    }
    Ok(())
}

/// The bytes of plain pixels, without remarks.
fn without_remarks(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut remark = false;
    bytes.iter().copied().filter(move |&byte| {
        let ends = remark && matches!(byte, b'\r' | b'\n');
        remark = (remark || byte == b'#') && !ends;
        !remark && !ends
    })
}

fn plain_bits(bytes: &[u8], samples: &mut [u8]) -> Result<(), String> {
    let mut bits = without_remarks(bytes).filter(|&byte| !is_space(byte));
    for to in samples {
        *to = match bits.next() {
            Some(b'0') => 255,
            Some(b'1') => 0,
            Some(other) => return Err(format!("a pixel is {:?} instead of 0 or 1", char::from(other))),
            None => return Err(ENDS_EARLY.to_owned()),
        };
    }
    Ok(())
}

fn plain(bytes: &[u8], header: &Header, samples: &mut [u8]) -> Result<(), String> {
    let mut bytes = without_remarks(bytes).skip_while(|&byte| is_space(byte)).peekable();
    for to in samples {
        let mut number = None;
        while let Some(byte) = bytes.next_if(|&byte| !is_space(byte)) {
            let digit =
                char::from(byte).to_digit(10).ok_or_else(|| format!("a value has {:?} in it", char::from(byte)))?;
            number = Some(number.unwrap_or(0u64).saturating_mul(10).saturating_add(digit.into()));
        }
        while bytes.next_if(|&byte| is_space(byte)).is_some() {}
        *to = match number {
            Some(number) if number <= header.most => value(number, header),
            Some(number) => return Err(format!("a value is {number}, more than its header's {}", header.most)),
            None => return Err(ENDS_EARLY.to_owned()),
        };
    }
    Ok(())
}

//! The fields of a TIFF file's first directory, classic and big.

use super::super::ENDS_EARLY;
use std::collections::BTreeMap;

pub const WIDTH: u16 = 256;
pub const HEIGHT: u16 = 257;
pub const BITS: u16 = 258;
pub const COMPRESSION: u16 = 259;
pub const PHOTOMETRIC: u16 = 262;
pub const FILL_ORDER: u16 = 266;
pub const STRIP_OFFSETS: u16 = 273;
pub const ORIENTATION: u16 = 274;
pub const SAMPLES: u16 = 277;
pub const STRIP_ROWS: u16 = 278;
pub const STRIP_BYTES: u16 = 279;
pub const PLANES: u16 = 284;
pub const PREDICTOR: u16 = 317;
pub const PALETTE: u16 = 320;
pub const TILE_WIDTH: u16 = 322;
pub const TILE_HEIGHT: u16 = 323;
pub const TILE_OFFSETS: u16 = 324;
pub const TILE_BYTES: u16 = 325;
pub const EXTRA: u16 = 338;
pub const FORMAT: u16 = 339;
pub const JPEG_TABLES: u16 = 347;

/// The compression of JPEG in TIFF.
pub const JPEG: u64 = 7;

/// A file and the whole numbers in its first directory.
pub struct Fields<'a> {
    pub bytes: &'a [u8],
    pub big_endian: bool,
    all: BTreeMap<u16, Vec<u64>>,
}

impl<'a> Fields<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let big_endian = bytes.first() == Some(&b'M');
        let mut fields = Self { bytes, big_endian, all: BTreeMap::new() };
        let big = fields.number(2, 2)? == 43;
        // Numbers of entries, of values and of places have 2, 4 and 4 bytes, or 8 each.
        let (entries_size, word, start) = if big { (8, 8, 8) } else { (2, 4, 4) };
        let directory = fields.number(start, word)?;
        let entries = fields.number(directory, entries_size)?;
        let entry = 4 + 2 * word;
        let first = directory.checked_add(entries_size).ok_or(ENDS_EARLY)?;
        if entries.checked_mul(entry).is_none_or(|length| first.saturating_add(length) > bytes.len()) {
            return Err(format!("{ENDS_EARLY}: its directory is cut off"));
        }
        for place in 0..entries {
            let at = first + place * entry;
            let (tag, kind) = (fields.number(at, 2)? as u16, fields.number(at + 2, 2)?);
            let size = match kind {
                1 | 7 => 1,
                3 => 2,
                4 | 13 => 4,
                16 | 18 => 8,
                // Text, fractions and floats are of no use here.
                _ => continue,
            };
            let count = fields.number(at + 4, word)?;
            let length = count.checked_mul(size).ok_or(ENDS_EARLY)?;
            let start = if length <= word { at + 4 + word } else { fields.number(at + 4 + word, word)? };
            if start.checked_add(length).is_none_or(|end| end > bytes.len()) {
                return Err(format!("{ENDS_EARLY}: field {tag} is cut off"));
            }
            // The offsets of a large image; not what private fields hold.
            if count > 0 && !fields.all.contains_key(&tag) && is_known(tag) {
                let values = (0..count).map(|place| Ok(fields.number(start + place * size, size)? as u64));
                let values = values.collect::<Result<_, String>>()?;
                fields.all.insert(tag, values);
            }
        }
        Ok(fields)
    }

    /// A whole number of so many bytes.
    fn number(&self, at: usize, size: usize) -> Result<usize, String> {
        let bytes = at.checked_add(size).and_then(|end| self.bytes.get(at..end)).ok_or(ENDS_EARLY)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number = if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) };
        usize::try_from(number).map_err(|_| ENDS_EARLY.to_owned())
    }

    /// All values of a field; one at least.
    pub fn all(&self, tag: u16) -> Option<&[u64]> {
        self.all.get(&tag).map(Vec::as_slice)
    }

    /// The first value of a field.
    pub fn one(&self, tag: u16) -> Option<u64> {
        self.all(tag).map(|values| values[0])
    }

    pub fn compression(&self) -> u64 {
        self.one(COMPRESSION).unwrap_or(1)
    }
}

fn is_known(tag: u16) -> bool {
    matches!(tag, WIDTH..=PHOTOMETRIC | FILL_ORDER..=STRIP_BYTES | PLANES | PREDICTOR..=TILE_BYTES | EXTRA | FORMAT | JPEG_TABLES)
}

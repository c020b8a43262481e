//! Whether a pickle is plain data, found from its operations without carrying them out. What Python writes for dicts, lists,
//! strings and numbers takes few of them. Others run code, or make a small file fill the memory: sets within sets, and values
//! that are put on record again and again.

/// An operation that plain data does not have.
#[derive(Debug, PartialEq)]
pub(super) struct Foreign {
    /// Its code.
    pub operation: u8,
    /// Where it stands, and what comes after it.
    pub at: usize,
    pub end: usize,
}

/// How the arguments of an operation are laid out.
enum Argument {
    /// So many bytes.
    Bytes(usize),
    /// A length of so many bytes, little-endian, and as many bytes.
    Counted(usize),
    /// So many lines.
    Lines(usize),
}

/// Marks that the indicators of some 10 000 layers have no need of. Each takes some kilobytes to read.
const MOST_MARKS: usize = 1 << 15;

/// The first operation that plain data does not have. A pickle that ends early is plain as far as it goes.
pub(super) fn first_foreign(bytes: &[u8]) -> Option<Foreign> {
    let (mut at, mut marks) = (0, 0);
    // Whether the value at hand is on record already.
    let mut on_record = false;
    while let Some(&operation) = bytes.get(at) {
        let (argument, plain) = described(operation);
        let end = at + 1 + argument.size(&bytes[at + 1..])?;
        let puts = b"pqr\x94".contains(&operation);
        marks += usize::from(operation == b'(');
        if !plain || puts && on_record || marks > MOST_MARKS {
            return Some(Foreign { operation, at, end });
        }
        if operation == b'.' {
            return None;
        }
        on_record = match operation {
            // Protocol and frame do nothing.
            0x80 | 0x95 => on_record,
            // Put on record, fetched from there, or a container that took its items: it was put on record when it was empty.
            _ => puts || b"ghjaesu".contains(&operation),
        };
        at = end;
    }
    None
}

/// An operation's argument, and whether plain data has it (Python's pickletools lists them all).
fn described(operation: u8) -> (Argument, bool) {
    use Argument::{Bytes, Counted, Lines};
    match operation {
        // Marks, empty dict, list and tuple, their items, None, True, False, tuples of one to three, memoize, the end.
        b'('
        | b'}'
        | b']'
        | b')'
        | b's'
        | b'u'
        | b'a'
        | b'e'
        | b't'
        | b'l'
        | b'd'
        | b'N'
        | b'.'
        | 0x85..=0x89
        | 0x94 => (Bytes(0), true),
        // Numbers, protocol and frame.
        b'K' | 0x80 => (Bytes(1), true),
        b'M' => (Bytes(2), true),
        b'J' => (Bytes(4), true),
        b'G' | 0x95 => (Bytes(8), true),
        0x8a => (Counted(1), true),
        // Strings.
        b'U' | b'C' | 0x8c => (Counted(1), true),
        b'T' | b'B' | b'X' | 0x8b => (Counted(4), true),
        0x8d | 0x8e => (Counted(8), true),
        // The record of values that come again.
        b'q' | b'h' => (Bytes(1), true),
        b'r' | b'j' => (Bytes(4), true),
        // The oldest protocol's numbers, strings and record.
        b'I' | b'L' | b'F' | b'S' | b'V' | b'p' | b'g' => (Lines(1), true),
        // Names of code.
        b'c' | b'i' => (Lines(2), false),
        _ => (Bytes(0), false),
    }
}

impl Argument {
    /// Its length at the start of these bytes; `None` if they are too few.
    fn size(&self, bytes: &[u8]) -> Option<usize> {
        let size = match *self {
            Self::Bytes(count) => count,
            Self::Counted(width) => {
                let length = bytes.get(..width)?.iter().rev().fold(0u64, |length, &byte| length << 8 | u64::from(byte));
                usize::try_from(length).ok()?.checked_add(width)?
            }
            Self::Lines(count) => {
                let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place + 1);
                ends.nth(count - 1)?
            }
        };
        (size <= bytes.len()).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_no_operations() {
        // protocol 2, "c", 0x93 as a number, a float, a long line, all in a list.
        let mut bytes = b"\x80\x02](X\x01\0\0\0cK\x93G\x93\x93\x93\x93\x93\x93\x93\x93I93\nq\x01e.".to_vec();
        assert_eq!(first_foreign(&bytes), None);
        bytes.truncate(10);
        assert_eq!(first_foreign(&bytes), None, "too short to say");
        assert_eq!(first_foreign(b"}."), None);
        assert_eq!(first_foreign(b""), None);
        assert_eq!(first_foreign(b".\x93"), None, "what follows the end is not read");
    }

    #[test]
    fn names_of_code_are_foreign_with_their_lines() {
        let bytes = b"\x80\x02cos\nsystem\nX";
        assert_eq!(first_foreign(bytes), Some(Foreign { operation: b'c', at: 2, end: 13 }));
    }

    #[test]
    fn marks_are_counted() {
        assert_eq!(first_foreign(&[b'('; MOST_MARKS]), None);
        assert_eq!(first_foreign(&[b'('; MOST_MARKS + 9]).map(|foreign| foreign.at), Some(MOST_MARKS));
    }

    #[test]
    fn values_are_put_on_record_once() {
        assert_eq!(first_foreign(b"}q\x01h\x01."), None);
        assert_eq!(first_foreign(b"}\x94\x94."), Some(Foreign { operation: 0x94, at: 2, end: 3 }));
        assert_eq!(first_foreign(b"}q\x01h\x01q\x02."), Some(Foreign { operation: b'q', at: 5, end: 7 }));
        assert_eq!(first_foreign(b"]\x94\x80\x04\x94."), Some(Foreign { operation: 0x94, at: 4, end: 5 }));
        assert_eq!(first_foreign(b"]\x94(Ne\x94."), Some(Foreign { operation: 0x94, at: 5, end: 6 }));
        assert_eq!(first_foreign(b"}2."), Some(Foreign { operation: b'2', at: 1, end: 2 }));
    }
}

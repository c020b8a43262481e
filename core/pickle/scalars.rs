//! Numbers and strings as pickles write them.

use super::{PickleError, Value};
use std::borrow::Cow;

/// An integer in two's complement, little-endian.
pub(super) fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(whole))
}

/// A decimal integer: `12`, `12L`, and `00` and `01` for False and True.
pub(super) fn decimal(line: &[u8], at: usize) -> Result<Value<'_>, PickleError> {
    let wrong = PickleError::Damaged { at, why: "this is not an integer" };
    match line {
        b"00" => return Ok(Value::Bool(false)),
        b"01" => return Ok(Value::Bool(true)),
        _ => {}
    }
    let digits = line.strip_suffix(b"L").unwrap_or(line);
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    let text = std::str::from_utf8(digits).map_err(|_| wrong)?;
    Ok(text.parse().map_or(Value::Long(digits), Value::Int))
}

/// A decimal floating-point number.
pub(super) fn float(line: &[u8], at: usize) -> Result<Value<'_>, PickleError> {
    let text = std::str::from_utf8(line).ok().filter(|text| text.len() <= 100);
    let number = text.and_then(|text| text.parse().ok());
    number.map(Value::Float).ok_or(PickleError::Damaged { at, why: "a number cannot be read" })
}

/// A quoted string, as Python 2 prints it.
pub(super) fn quoted(line: &[u8], at: usize) -> Result<Value<'_>, PickleError> {
    let wrong = PickleError::Damaged { at, why: "this is not a quoted text" };
    let (Some(&first), Some(&last)) = (line.first(), line.last()) else { return Err(wrong) };
    if line.len() < 2 || first != last || !b"'\"".contains(&first) {
        return Err(wrong);
    }
    let inner = &line[1..line.len() - 1];
    if !inner.contains(&b'\\') {
        return Ok(Value::Bytes(Cow::Borrowed(inner)));
    }
    let (mut bytes, mut rest) = (vec![], inner);
    while let [first, after @ ..] = rest {
        rest = after;
        let (b'\\', [escape, after @ ..]) = (first, rest) else {
            bytes.push(*first);
            continue;
        };
        rest = after;
        match escape {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let (code, after) = code(rest, 2).ok_or_else(|| wrong.clone())?;
                bytes.push(code as u8);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    Ok(Value::Bytes(Cow::Owned(bytes)))
}

/// Text in Python's encoding `raw-unicode-escape`: Latin-1, and `\u20ac` for other characters.
pub(super) fn raw_unicode(line: &[u8], at: usize) -> Result<Value<'_>, PickleError> {
    if let Ok(text) = std::str::from_utf8(line)
        && text.is_ascii()
        && !text.contains('\\')
    {
        return Ok(Value::Text(Cow::Borrowed(text)));
    }
    let (mut text, mut rest) = (String::new(), line);
    while let [first, after @ ..] = rest {
        rest = after;
        let width = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                continue;
            }
        };
        let wrong = PickleError::Damaged { at, why: "an escaped character is cut off" };
        let (code, after) = code(&rest[1..], width).ok_or(wrong)?;
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after;
    }
    Ok(Value::Text(Cow::Owned(text)))
}

/// A hexadecimal number of `digits` digits, and the rest.
fn code(bytes: &[u8], width: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(width)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

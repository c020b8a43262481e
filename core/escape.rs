//! Escapes control characters in text for a terminal. Names of tensors, layers and files from elsewhere may contain
//! characters that clear the screen, reverse the reading direction, or hide what follows.

use std::io::{self, Write};

/// A text with its control characters as `\u001b`, as in JSON. Only line breaks and tabs stay.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) {
            true => escaped += &format!("\\u{:04x}", u32::from(c)),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Whether a terminal acts on a character instead of showing it.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Text direction, and other line breaks.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => c.is_control(),
    }
}

/// A writer that escapes all text.
pub struct Escaped<W>(pub W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Text arrives in whole pieces. Bytes that are not text (nothing here writes such) pass unchanged.
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().any(acts) => self.0.write_all(escaped(text).as_bytes())?,
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_is_escaped() {
        assert_eq!(escaped("a\u{1b}[2Jb\r\u{7f}\u{9b}\u{0}"), "a\\u001b[2Jb\\u000d\\u007f\\u009b\\u0000");
        assert_eq!(escaped("\u{202e}gnp.\u{2066}x\u{200f}"), "\\u202egnp.\\u2066x\\u200f");
        let plain = "two\nlines\tand ± é 日本 \u{1f600}";
        assert_eq!(escaped(plain), plain);
        let mut out = vec![];
        write!(Escaped(&mut out), "{plain}\u{1b}").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{plain}\\u001b"));
    }

    #[test]
    fn json_stays_json() {
        let name = "layer\u{202e}\u{7f}\u{85}";
        let text = escaped(&serde_json::to_string(name).unwrap());
        assert!(text.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}

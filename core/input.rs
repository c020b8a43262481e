//! Reads files that a user brings, up to a size limit, as text with or without a byte order mark.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Largest size of a file of indicators, a policy, a table or a config, a hundred times that of realistic ones.
pub const MOST_BYTES: u64 = 16 << 20;

/// Largest nesting depth of lists and tables.
pub const MOST_LEVELS: usize = 64;

/// With at most this many brackets and dots, TOML is parsed on the current stack.
const FEW_LEVELS: usize = 256;
/// Ten times what 6400 levels take in a build without optimisation.
const TOML_STACK: usize = 128 << 20;

/// Reads a whole file.
///
/// # Errors
/// The system's errors, and a file of more than [`MOST_BYTES`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB, the most that is read of such a file", MOST_BYTES >> 20),
        )),
        false => Ok(bytes),
    }
}

/// Bytes as text, without the byte order mark that some editors put before it.
///
/// # Errors
/// UTF-16, and bytes that are not text, with their position.
pub fn text(bytes: &[u8]) -> Result<&str, String> {
    if is_utf16(bytes) {
        return Err("it is text in UTF-16; save it as UTF-8 (in an editor: \"Save as\", encoding UTF-8)".to_owned());
    }
    std::str::from_utf8(unmarked(bytes)).map_err(|error| format!("it is not text in UTF-8: {error}"))
}

/// Bytes without the byte order mark of UTF-8.
pub fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Whether these bytes are UTF-16: they start with its byte order mark, or have a zero next to their first character.
pub fn is_utf16(bytes: &[u8]) -> bool {
    match *bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [0, other, ..] | [other, 0, ..] => other.is_ascii_graphic() || other.is_ascii_whitespace(),
        _ => false,
    }
}

/// A file as text; see [`read`] and [`text`].
///
/// # Errors
/// As [`read`] and [`text`].
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path)?;
    text(&bytes).map(str::to_owned).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// The error of `serde_json`, with the limit if it met one.
pub fn json_error(error: &serde_json::Error) -> String {
    error.to_string().replace("recursion limit exceeded", "lists and objects are nested more than 127 levels deep")
}

/// A text as a TOML table.
///
/// # Errors
/// Text that is not TOML, with line and column; tables and lists that are nested deeper than [`MOST_LEVELS`].
pub fn toml(text: &str) -> Result<toml::Table, String> {
    fn fits(value: &toml::Value, levels: usize) -> bool {
        match value {
            toml::Value::Table(table) => levels > 0 && table.values().all(|value| fits(value, levels - 1)),
            toml::Value::Array(list) => levels > 0 && list.iter().all(|value| fits(value, levels - 1)),
            _ => true,
        }
    }
    let read = || {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        match table.values().all(|value| fits(value, MOST_LEVELS)) {
            true => Ok(table),
            false => Err(format!("its tables and lists are nested more than {MOST_LEVELS} levels deep")),
        }
    };
    if text.bytes().filter(|byte| b"[{.".contains(byte)).count() <= FEW_LEVELS {
        return read();
    }
    // The parser accepts 80 levels of brackets times 80 of dots, 6400 together. They need more stack than most threads
    // have.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(TOML_STACK).spawn_scoped(scope, read);
        let read = thread.map_err(|error| {
            format!("it is nested deeply, and no thread with a large enough stack can be started: {error}")
        })?;
        read.join().unwrap_or_else(|_| Err("the parser of TOML failed on it".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_and_utf_16_is_named() {
        assert_eq!(text(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert_eq!(text(b"{}").unwrap(), "{}");
        for utf16 in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}", b"\xff\xfe\0\0{\0\0\0"] {
            assert!(text(utf16).unwrap_err().contains("UTF-16; save it as UTF-8"), "{utf16:?}");
        }
        assert!(text(b"ab\xff").unwrap_err().starts_with("it is not text in UTF-8: "));
    }

    #[test]
    fn a_file_that_never_ends_is_too_large() {
        let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 16 MiB, the most that is read of such a file");
    }

    /// Each of these is a few kilobytes to megabytes; parsed as nested values they would overflow the stack.
    #[test]
    fn deep_toml_is_refused() {
        let lists = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        let tables = format!("a = {}{}", "{a=".repeat(100_000), "}".repeat(100_000));
        let dots = format!("{}a = 1", "a.".repeat(100_000));
        let heading = format!("[{}a]", "a.".repeat(100_000));
        let long = "a.".repeat(70);
        let mixed = format!("[{long}a]\n{long}b = {}1{}", format!("{{{long}a=").repeat(70), "}".repeat(70));
        let below = format!("a = {}{}", "[".repeat(70), "]".repeat(70));
        for text in [&lists, &tables, &dots, &heading, &mixed, &below] {
            assert!(toml(text).is_err());
        }
        assert!(toml(&below).unwrap_err().contains("more than 64 levels deep"));
        let few = format!("{long}a = {}1{}", format!("{{{long}a=").repeat(2), "}".repeat(2));
        assert!(toml(&few).unwrap_err().contains("more than 64 levels deep"), "on the stack at hand");
        let fits = format!("a = {}{}", "[".repeat(MOST_LEVELS), "]".repeat(MOST_LEVELS));
        toml(&fits).unwrap();
    }
}

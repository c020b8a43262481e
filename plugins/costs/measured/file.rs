//! Reads a file of measurements and reports all faults with their places, not only the first.

use super::{Format, Quantity};
use limpq_core::graph::{Layer, Shape};
use limpq_core::input;
use limpq_core::ops::Operator;
use limpq_core::registry::{self, nearest};
use limpq_core::search::{BitWidth, Precision};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The columns of a signature.
pub(super) const SIGNATURE: [&str; 6] = ["kind", "in_shape", "out_shape", "kernel", "stride", "groups"];
/// An optional column: the dilation of the kernel, 1 for most layers.
pub(super) const DILATION: &str = "dilation";
/// Largest plausible measurement, which keeps sums far from overflow: a million seconds, a kilojoule.
const MOST: f64 = 1e15;
/// Most entries of a table. 600 layers at all pairs of six bit-widths have 21 600.
const MOST_ENTRIES: usize = 250_000;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// None was named.
    #[error("no file is given; set path to a .csv or .json file (limpq latency-template writes one to fill in)")]
    NoPath,
    /// It cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// Neither CSV nor JSON.
    #[error("{0}: the name must end in .csv or .json")]
    Extension(String),
    /// Nothing in it.
    #[error("{path} has no entries; it needs {columns}")]
    Empty {
        /// The file.
        path: String,
        /// The columns.
        columns: String,
    },
    /// More in it than is read.
    #[error("{0} has more than {MOST_ENTRIES} entries, the most that is read; keep those of this network")]
    Long(String),
    /// It is not JSON, or not a list of objects.
    #[error("{path} is not a list of entries: {message}")]
    Json {
        /// The file.
        path: String,
        /// The parser's error, with line and column.
        message: String,
    },
    /// Entries are wrong.
    #[error("{}", shown(.0))]
    Faults(Vec<String>),
}

/// The first few of many, one per line.
pub(super) fn shown(faults: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = if faults.len() > SHOWN { format!("\n  and {} more", faults.len() - SHOWN) } else { String::new() };
    faults.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n  ") + &more
}

/// What layers must have in common to share a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Signature {
    kind: &'static str,
    in_shape: Shape,
    out_shape: Shape,
    kernel: Sides,
    stride: Sides,
    groups: usize,
    dilation: Sides,
}

/// Height and width: `3` if they are equal, else `3x1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sides([usize; 2]);

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([height, width]) = self;
        if height == width { write!(f, "{height}") } else { write!(f, "{height}x{width}") }
    }
}

impl FromStr for Sides {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        Ok(Self([height.parse()?, width.parse()?]))
    }
}

impl Signature {
    /// The signature of a layer.
    pub fn of(layer: &Layer) -> Self {
        let Layer { kind, in_shape, out_shape, window, groups, .. } = *layer;
        let [kernel, stride, dilation] = [window.kernel, window.stride, window.dilation].map(Sides);
        Self { kind, in_shape, out_shape, kernel, stride, groups, dilation }
    }

    /// The distance between neighbouring values that the kernel sees; none if it sees neighbours.
    pub fn dilation(&self) -> Option<String> {
        (self.dilation != Sides([1; 2])).then(|| self.dilation.to_string())
    }

    /// In the order of [`SIGNATURE`].
    pub fn fields(&self) -> [String; 6] {
        let Self { kind, in_shape, out_shape, kernel, stride, groups, .. } = self;
        [
            (*kind).to_owned(),
            in_shape.to_string(),
            out_shape.to_string(),
            kernel.to_string(),
            stride.to_string(),
            groups.to_string(),
        ]
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, in_shape, out_shape, kernel, stride, groups] = self.fields();
        write!(f, "{kind} {in_shape} to {out_shape}, kernel {kernel}, stride {stride}, groups {groups}")?;
        self.dilation().map_or(Ok(()), |dilation| write!(f, ", dilation {dilation}"))
    }
}

/// The subject of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// One layer by name.
    Layer(String),
    /// Every layer of a signature.
    Signature(Signature),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(name) => f.write_str(name),
            Self::Signature(signature) => signature.fmt(f),
        }
    }
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// File and line.
    place: String,
    key: Key,
    /// The signature that an entry for a layer gives as well.
    claimed: Option<Signature>,
    bits: Precision,
    /// In integer units of the cost; `None` if it is not filled in yet.
    pub value: Option<u64>,
}

/// All values of a layer or a signature.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub key: Key,
    /// Signatures that entries for the layer give, with their places.
    pub claimed: Vec<(Signature, String)>,
    /// Its first place in the file.
    pub place: String,
    pub values: BTreeMap<Precision, u64>,
}

/// An entry as text, by column.
type Row = BTreeMap<String, String>;

/// Reads all entries.
///
/// # Errors
/// All faults, by line.
pub(super) fn read(path: &str, quantity: Quantity) -> Result<Vec<Entry>, FileError> {
    if path.is_empty() {
        return Err(FileError::NoPath);
    }
    let form = form(path)?;
    let text = input::read_text(Path::new(path)).map_err(|error| FileError::Read { path: path.to_owned(), error })?;
    parse(path, &text, form, quantity)
}

/// The format that a file's extension names.
pub(super) fn form(path: &str) -> Result<Format, FileError> {
    let extension = Path::new(path).extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("csv") => Ok(Format::Csv),
        Some("json") => Ok(Format::Json),
        _ => Err(FileError::Extension(path.to_owned())),
    }
}

/// Reads all entries of a text; `path` is used in errors.
///
/// # Errors
/// All faults, by line.
pub(super) fn parse(path: &str, text: &str, form: Format, quantity: Quantity) -> Result<Vec<Entry>, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match form {
        Format::Csv => csv_rows,
        Format::Json => json_rows,
    };
    let mut faults = vec![];
    let rows = rows(path, text, quantity, &mut faults)?;
    let mut entries = vec![];
    for (place, row) in rows {
        match entry(&place, &row, quantity) {
            Ok(entry) => entries.push(entry),
            Err(fault) => faults.push(format!("{place}: {fault}")),
        }
    }
    match (faults.is_empty(), entries.is_empty()) {
        (false, _) => Err(FileError::Faults(faults)),
        (true, true) => Err(FileError::Empty { path: path.to_owned(), columns: columns(quantity) }),
        (true, false) => Ok(entries),
    }
}

/// Groups entries by subject.
///
/// # Errors
/// Two entries for the same subject and bits that differ.
pub(super) fn subjects(entries: Vec<Entry>, quantity: Quantity) -> Result<Vec<Subject>, FileError> {
    let mut subjects: Vec<Subject> = vec![];
    let mut index: BTreeMap<Key, usize> = BTreeMap::new();
    let mut places: Vec<BTreeMap<Precision, String>> = vec![];
    let mut faults = vec![];
    for Entry { place, key, claimed, bits, value } in entries {
        let at = *index.entry(key.clone()).or_insert_with(|| {
            subjects.push(Subject { key, claimed: vec![], place: place.clone(), values: BTreeMap::new() });
            places.push(BTreeMap::new());
            subjects.len() - 1
        });
        let subject = &mut subjects[at];
        if let Some(claimed) = claimed.filter(|claimed| subject.claimed.iter().all(|(other, _)| other != claimed)) {
            subject.claimed.push((claimed, place.clone()));
        }
        let Some(value) = value else { continue };
        match subject.values.get(&bits) {
            Some(&other) if other != value => faults.push(format!(
                "{place}: {} at {bits} is {} here and {} in {}; keep one",
                subject.key,
                quantity.shown(value),
                quantity.shown(other),
                places[at][&bits],
            )),
            _ => {
                subject.values.insert(bits, value);
                places[at].insert(bits, place);
            }
        }
    }
    if faults.is_empty() { Ok(subjects) } else { Err(FileError::Faults(faults)) }
}

fn known(quantity: Quantity) -> Vec<&'static str> {
    ["layer"].into_iter().chain(SIGNATURE).chain([DILATION, "w_bits", "a_bits", quantity.column()]).collect()
}

fn columns(quantity: Quantity) -> String {
    let signature = SIGNATURE.join(", ");
    format!("layer, or {signature} (and {DILATION} if it is not 1); and w_bits, a_bits, {}", quantity.column())
}

fn unknown(column: &str, quantity: Quantity) -> String {
    let near = nearest(column, known(quantity)).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    format!("unknown column {column:?}{near}; allowed: {}", columns(quantity))
}

type Rows = Vec<(String, Row)>;

fn csv_rows(path: &str, text: &str, quantity: Quantity, faults: &mut Vec<String>) -> Result<Rows, FileError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    if header.iter().all(str::is_empty) {
        return Err(FileError::Empty { path: path.to_owned(), columns: columns(quantity) });
    }
    let line = header.position().map_or(1, csv::Position::line);
    let alone = header.get(0).filter(|_| header.len() == 1).unwrap_or_default();
    if let Some(separator) = [';', '\t'].into_iter().find(|&separator| alone.contains(separator)) {
        let why = format!("{path}:{line}: its fields are separated by {separator:?}; save it with commas instead");
        return Err(FileError::Faults(vec![why]));
    }
    let (mut seen, mut wrong) = (BTreeSet::new(), vec![]);
    for column in &header {
        if !known(quantity).contains(&column) {
            wrong.push(format!("{path}:{line}: {}", unknown(column, quantity)));
        } else if !seen.insert(column) {
            wrong.push(format!("{path}:{line}: column {column:?} is given twice"));
        }
    }
    for column in ["w_bits", "a_bits", quantity.column()] {
        if !seen.contains(column) {
            wrong.push(format!("{path}:{line}: column {column:?} is missing; it needs {}", columns(quantity)));
        }
    }
    if !wrong.is_empty() {
        return Err(FileError::Faults(wrong));
    }
    let mut rows = vec![];
    for (count, record) in reader.records().enumerate() {
        if count == MOST_ENTRIES {
            return Err(FileError::Long(path.to_owned()));
        }
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let row = header.iter().zip(&record).map(|(column, text)| (column.to_owned(), text.to_owned()));
                rows.push((format!("{path}:{line}"), row.collect()));
            }
            Err(error) => faults.push(match error.kind() {
                csv::ErrorKind::UnequalLengths { pos: Some(place), expected_len, len } => {
                    format!("{path}:{}: {len} fields, and the header has {expected_len}", place.line())
                }
                _ => format!("{path}: {error}"),
            }),
        }
    }
    Ok(rows)
}

fn json_rows(path: &str, text: &str, quantity: Quantity, faults: &mut Vec<String>) -> Result<Rows, FileError> {
    let list: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text)
        .map_err(|error| FileError::Json { path: path.to_owned(), message: input::json_error(&error) })?;
    if list.len() > MOST_ENTRIES {
        return Err(FileError::Long(path.to_owned()));
    }
    let mut rows = vec![];
    for (index, object) in list.into_iter().enumerate() {
        let place = format!("{path}: entry {}", index + 1);
        let mut row = Row::new();
        for (column, value) in object {
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                other => {
                    faults.push(format!("{place}: {column} must be a number or text, got {other}"));
                    continue;
                }
            };
            if !known(quantity).contains(&column.as_str()) {
                faults.push(format!("{place}: {}", unknown(&column, quantity)));
            }
            row.insert(column, text);
        }
        rows.push((place, row));
    }
    Ok(rows)
}

fn entry(place: &str, row: &Row, quantity: Quantity) -> Result<Entry, String> {
    let text = |column: &str| row.get(column).map(|text| text.trim()).filter(|text| !text.is_empty());
    let given = |column: &str| text(column).ok_or_else(|| format!("{column} is missing"));
    let bits = |column: &str| -> Result<BitWidth, String> {
        given(column)?.parse().map_err(|error: limpq_core::search::BitsError| format!("{column}: {error}"))
    };
    let bits = Precision { weight: bits("w_bits")?, act: bits("a_bits")? };
    let missing: Vec<&str> = SIGNATURE.into_iter().filter(|column| text(column).is_none()).collect();
    let signature = match missing.len() {
        0 => Some(signature(&text)?),
        6 if text(DILATION).is_none() => None,
        _ => return Err(format!("a signature needs {}; missing: {}", SIGNATURE.join(", "), missing.join(", "))),
    };
    let (key, claimed) = match (text("layer"), signature) {
        (Some(layer), claimed) => (Key::Layer(layer.to_owned()), claimed),
        (None, Some(signature)) => (Key::Signature(signature), None),
        (None, None) => return Err(format!("it names no layer; give layer, or {}", SIGNATURE.join(", "))),
    };
    let column = quantity.column();
    let value = text(column).map(|text| -> Result<u64, String> {
        let number: f64 = text
            .parse()
            .map_err(|_| format!("{key} at {bits}: cannot read {column} {text:?}; expected a number such as 12.5"))?;
        let ticks = (number * quantity.ticks()).round();
        match number >= 0.0 && ticks <= MOST {
            true => Ok(ticks as u64),
            false => Err(format!(
                "{key} at {bits}: {column} must be a number of 0..={}, got {text}",
                MOST / quantity.ticks()
            )),
        }
    });
    Ok(Entry { place: place.to_owned(), claimed, bits, value: value.transpose()?, key })
}

fn signature<'t>(text: &impl Fn(&str) -> Option<&'t str>) -> Result<Signature, String> {
    fn parsed<T: FromStr>(column: &str, text: &str, expected: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("cannot read {column} {text:?}; expected {expected}"))
    }
    let of = |column: &str| text(column).unwrap_or_default();
    let shape = |column: &str| parsed::<Shape>(column, of(column), "CHANNELSxHEIGHTxWIDTH such as 64x56x56");
    let sides = |column: &str| parsed::<Sides>(column, of(column), "a whole number such as 3, or two such as 3x1");
    let size = |column: &str| parsed::<usize>(column, of(column), "a whole number such as 3");
    let layers = registry::entries::<dyn Operator>().map_err(|error| error.to_string())?;
    let layers = layers.into_iter().filter(|entry| is_layer(entry)).map(|entry| entry.name);
    let kind = layers
        .clone()
        .find(|name| *name == of("kind"))
        .ok_or_else(|| format!("unknown kind {:?}; allowed: {}", of("kind"), layers.collect::<Vec<_>>().join(", ")))?;
    Ok(Signature {
        kind,
        in_shape: shape("in_shape")?,
        out_shape: shape("out_shape")?,
        kernel: sides("kernel")?,
        stride: sides("stride")?,
        groups: size("groups")?,
        dilation: if text(DILATION).is_some() { sides(DILATION)? } else { Sides([1; 2]) },
    })
}

/// Whether nodes of an operator are layers.
fn is_layer(entry: &registry::Entry<dyn Operator>) -> bool {
    (entry.build)(&toml::Table::new()).is_ok_and(|operator| operator.operands().is_some())
}

//! Measured costs: a file of values for layers at pairs of bits, in CSV or JSON.
//!
//! Columns (CSV, with a header; lines that start with # are comments) or keys (JSON, a list of objects):
//!
//! | column | what |
//! |---|---|
//! | `layer` | name of one layer, such as layer1.0.conv1 |
//! | `kind`, `in_shape`, `out_shape`, `kernel`, `stride`, `groups` | signature: conv, linear or matmul (of two activations), 64x56x56, 64x56x56, 3, 1, 1 |
//! | `dilation` | the rest of the signature; may be left out where it is 1 |
//! | `w_bits`, `a_bits` | bits of weights and of input activations |
//! | `microseconds` or `picojoules` | the measured value; empty (in JSON null) if there is none yet |
//!
//! An entry names a layer, or gives a signature and applies to every layer with it. With both, it applies to that
//! layer, and the signature is compared with the network's: a table measured at another image size is refused. An entry
//! for a layer overrides one for its signature. Values are rounded to whole nanoseconds or picojoules.
//!
//! Interpolation, if asked for, is linear in both bit-widths between the nearest measured ones, and needs all four
//! corners. There is no extrapolation.

mod audit;
mod cost;
mod file;
mod template;

pub use audit::{Audit, MeasuredError};
pub use cost::{MeasuredCost, Measures};
pub use file::FileError;
pub use template::{Format, template};

use file::{Entry, Key, Signature, Subject};
use limpq_core::graph::Layer;
use limpq_core::search::{Precision, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The measured quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quantity {
    /// Time for one image; counted in nanoseconds.
    #[default]
    Microseconds,
    /// Energy for one image; counted in picojoules.
    Picojoules,
}

impl Quantity {
    /// Name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Microseconds => "microseconds",
            Self::Picojoules => "picojoules",
        }
    }

    /// The unit of the cost.
    pub fn unit(self) -> Unit {
        match self {
            Self::Microseconds => Unit::Nanoseconds,
            Self::Picojoules => Unit::Picojoules,
        }
    }

    /// Number of integer units of the cost in one unit of the column.
    fn ticks(self) -> f64 {
        match self {
            Self::Microseconds => 1000.0,
            Self::Picojoules => 1.0,
        }
    }

    /// A value in the unit of the column.
    fn shown(self, value: u64) -> String {
        format!("{} {}", value as f64 / self.ticks(), self.column())
    }
}

/// The value at bits that were not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolate {
    /// Nothing: they are not known.
    #[default]
    None,
    /// Linear interpolation between the nearest measured bits, in weights and activations.
    Linear,
}

/// Options of a measured cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasuredOptions {
    /// The file, .csv or .json; `limpq latency-template` writes one to fill in, `limpq latency-check` checks it. Must
    /// be given.
    pub path: String,
    /// Value at bit-widths that were not measured: "none", or "linear" interpolation between measured ones (never
    /// beyond them).
    pub interpolate: Interpolate,
    /// Whether stem and classifier count too; they need entries at 8 bits then.
    pub fixed_layers: bool,
    /// Whether entries that fit no layer of the network are ignored, for a file that serves several networks. They are
    /// errors otherwise.
    pub allow_unused: bool,
    /// Whether a value that decreases with more bits is an error. Measured values often do; `limpq latency-check` lists
    /// them.
    pub require_monotone: bool,
}

impl Default for MeasuredOptions {
    fn default() -> Self {
        Self {
            path: String::new(),
            interpolate: Interpolate::None,
            fixed_layers: true,
            allow_unused: false,
            require_monotone: false,
        }
    }
}

/// The contents of a file of measurements. The default is empty and knows no layer.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    options: MeasuredOptions,
    quantity: Quantity,
    /// Layers and signatures in the order of the file.
    subjects: Vec<Subject>,
    /// Indices of the subjects.
    index: BTreeMap<Key, usize>,
    /// Number of entries without a value.
    blank: usize,
}

impl Measured {
    /// Reads the file.
    ///
    /// # Errors
    /// No file, or what is wrong in it, by line.
    pub fn read(options: MeasuredOptions, quantity: Quantity) -> Result<Self, FileError> {
        let entries = file::read(&options.path, quantity)?;
        Self::of(entries, options, quantity)
    }

    /// Reads a text in place of the file that the options name.
    ///
    /// # Errors
    /// What is wrong in it, by line.
    pub fn parse(text: &str, options: MeasuredOptions, quantity: Quantity) -> Result<Self, FileError> {
        let entries = file::parse(&options.path, text, file::form(&options.path)?, quantity)?;
        Self::of(entries, options, quantity)
    }

    fn of(entries: Vec<Entry>, options: MeasuredOptions, quantity: Quantity) -> Result<Self, FileError> {
        let blank = entries.iter().filter(|entry| entry.value.is_none()).count();
        let subjects = file::subjects(entries, quantity)?;
        let index = subjects.iter().enumerate().map(|(place, subject)| (subject.key.clone(), place)).collect();
        Ok(Self { options, quantity, subjects, index, blank })
    }

    /// The values of a layer or a signature.
    fn subject(&self, key: &Key) -> Option<&Subject> {
        self.index.get(key).map(|&place| &self.subjects[place])
    }

    /// The options that it was made from.
    pub fn into_options(self) -> MeasuredOptions {
        self.options
    }

    /// Whether stem and classifier count.
    pub fn counts_fixed_layers(&self) -> bool {
        self.options.fixed_layers
    }

    /// The value of a layer, measured or interpolated.
    pub fn value(&self, layer: &Layer, bits: Precision) -> Option<u64> {
        let signature = Key::Signature(Signature::of(layer));
        let (named, alike) = (self.subject(&Key::Layer(layer.name.clone())), self.subject(&signature));
        let subjects = || alike.into_iter().chain(named);
        let measured = subjects().filter_map(|subject| subject.values.get(&bits)).next_back();
        match self.options.interpolate {
            Interpolate::None => measured.copied(),
            Interpolate::Linear => measured.copied().or_else(|| {
                let values = subjects().flat_map(|subject| subject.values.iter().map(|(&bits, &value)| (bits, value)));
                between(&values.collect(), bits)
            }),
        }
    }
}

/// Linear in both bit-widths between the nearest measured ones, rounded to the nearest integer.
fn between(values: &BTreeMap<Precision, u64>, bits: Precision) -> Option<u64> {
    let ends = |at: u64, of: fn(Precision) -> u64| {
        let known = || values.keys().map(|&bits| of(bits));
        Some((known().filter(|&known| known <= at).max()?, known().filter(|&known| known >= at).min()?))
    };
    let shares = |at: u64, (low, high): (u64, u64)| match high - low {
        0 => [(low, 1), (high, 0)],
        _ => [(low, high - at), (high, at - low)],
    };
    let (weight, act) = (bits.weight.get(), bits.act.get());
    let weights = shares(weight, ends(weight, |bits| bits.weight.get())?);
    let acts = shares(act, ends(act, |bits| bits.act.get())?);
    let (mut sum, mut parts) = (0u128, 0u128);
    for (weight, weight_share) in weights {
        for (act, act_share) in acts {
            let share = u128::from(weight_share * act_share);
            if share > 0 {
                let corner = format!("w{weight}a{act}").parse().expect("measured bits are bits");
                sum += share * u128::from(*values.get(&corner)?);
                parts += share;
            }
        }
    }
    u64::try_from((sum + parts / 2) / parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_measured_bits_by_hand() {
        let grid = |values: &[(&str, u64)]| -> BTreeMap<Precision, u64> {
            values.iter().map(|&(bits, value)| (bits.parse().unwrap(), value)).collect()
        };
        let all = grid(&[("w8a8", 100), ("w4a8", 80), ("w8a4", 60), ("w4a4", 20), ("w2a2", 10)]);
        let at = |values: &BTreeMap<Precision, u64>, bits: &str| between(values, bits.parse().unwrap());
        assert_eq!(at(&all, "w4a4"), Some(20));
        assert_eq!(at(&all, "w4a5"), Some(35), "a quarter of the way from 20 to 80");
        assert_eq!(at(&all, "w6a6"), Some(65), "the mean of the four corners");
        assert_eq!(at(&all, "w7a5"), Some(61), "(20*3 + 80*1 + 60*9 + 100*3) / 16 = 61.25");
        assert_eq!(at(&all, "w3a3"), None, "w2a4 and w4a2 were not measured");
        assert_eq!(at(&all, "w9a8"), None, "nothing is extrapolated");
        assert_eq!(at(&all, "w1a2"), None);
        assert_eq!(at(&grid(&[]), "w4a4"), None);
    }

    fn read(text: &str) -> Result<Measured, FileError> {
        let options = MeasuredOptions { path: "table.csv".into(), ..MeasuredOptions::default() };
        Measured::parse(text, options, Quantity::Microseconds)
    }

    fn graph() -> limpq_core::graph::Graph {
        use limpq_core::graph::{Builder, Conv, Shape};
        let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).unwrap(), 3);
        let x = b.conv("body", x, Conv::new(4, 3));
        b.classifier("fc", x);
        b.finish().unwrap()
    }

    #[test]
    fn headings_may_be_quoted_and_marked() {
        let table =
            read("\u{feff}\"layer\",\"w_bits\",\"a_bits\",\"microseconds\"\r\n\"body\",\"4\",\"4\",\"1.5\"\r\n")
                .unwrap();
        assert_eq!(table.value(&graph().layers()[0], "w4a4".parse().unwrap()), Some(1500));
        let error = read("layer;w_bits;a_bits;microseconds\nbody;4;4;1,5\n").unwrap_err().to_string();
        assert_eq!(error, "table.csv:1: its fields are separated by ';'; save it with commas instead");
    }

    /// Compared each with each, as many layers take minutes.
    #[test]
    fn two_hundred_thousand_layers_of_another_network() {
        let rows = |count: usize| -> String { (0..count).map(|row| format!("layer{row},4,4,1\n")).collect() };
        let table = read(&format!("layer,w_bits,a_bits,microseconds\n{}", rows(200_000))).unwrap();
        let audit = table.audit(&graph(), &["w4a4".parse().unwrap()]);
        assert_eq!((audit.unused.len(), audit.measured, audit.missing.len()), (200_000, 200_000, 2));
        let error = table.check(&graph()).unwrap_err().to_string();
        assert!(error.ends_with("and 199994 more"), "{error}");
        let error = read(&format!("layer,w_bits,a_bits,microseconds\n{}", rows(250_001))).unwrap_err().to_string();
        assert_eq!(error, "table.csv has more than 250000 entries, the most that is read; keep those of this network");
    }
}

//! A batch of CIFAR-10 as Python pickled it: a dict with the keys `data` and `labels`, bytes or text.
//!
//! A numpy array is pickled as a call of `_reconstruct` and a state `(version, shape, dtype, Fortran order, bytes)`.
//! serde-pickle calls nothing: it drops the object and keeps its state, and of the dtype in it again the state. So the
//! array is a tuple of five here. The dtype's letter is lost with the call, but not the size of an item: rows times columns
//! must be the number of bytes.

use super::PIXELS;
use serde_pickle::{DeOptions, HashableValue, Value};
use std::collections::BTreeMap;

/// Images of a file.
#[derive(Debug)]
pub struct Batch {
    /// How many.
    pub rows: usize,
    /// One row after another.
    pub pixels: Vec<u8>,
    /// As they stand in the file.
    pub labels: Vec<i64>,
}

/// Reads a pickle's bytes; the error says what is wrong with them.
pub fn read(bytes: &[u8]) -> Result<Batch, String> {
    let options = DeOptions::new().replace_unresolved_globals();
    let value =
        serde_pickle::value_from_slice(bytes, options).map_err(|error| format!("no pickle of CIFAR-10: {error}"))?;
    let Value::Dict(mut dict) = value else { return Err("no pickle of CIFAR-10: it holds no dict".to_owned()) };
    let labels = match take(&mut dict, "labels")? {
        Value::List(labels) => labels.into_iter().map(|label| match label {
            Value::I64(label) => Ok(label),
            other => Err(format!("\"labels\" has {} in it, which is no whole number", short(&other))),
        }),
        other => return Err(format!("\"labels\" must be a list, but is {}", short(&other))),
    };
    let labels = labels.collect::<Result<_, _>>()?;
    let (rows, pixels) = array(take(&mut dict, "data")?)?;
    Ok(Batch { rows, pixels, labels })
}

fn take(dict: &mut BTreeMap<HashableValue, Value>, key: &str) -> Result<Value, String> {
    let either = |key: &str| [HashableValue::Bytes(key.as_bytes().to_vec()), HashableValue::String(key.to_owned())];
    let found = either(key).iter().find_map(|key| dict.remove(key));
    found.ok_or_else(|| {
        let fine = either("fine_labels").iter().any(|key| dict.contains_key(key));
        let fix = if fine { "; this is CIFAR-100" } else { "" };
        format!("the dict in it has no key {key:?}{fix}")
    })
}

/// Rows and bytes of a numpy array of `n x 3072` bytes.
fn array(value: Value) -> Result<(usize, Vec<u8>), String> {
    let wrong = |found: String| format!("\"data\" must be a numpy array of uint8 with rows of {PIXELS}, but {found}");
    let Value::Tuple(state) = value else { return Err(wrong(format!("is {}", short(&value)))) };
    let [_, Value::Tuple(shape), _, Value::Bool(fortran), Value::Bytes(bytes)] = &state[..] else {
        return Err(wrong("its state is another".to_owned()));
    };
    let [Value::I64(rows), Value::I64(columns)] = shape[..] else {
        return Err(wrong(format!("it has {} dimensions instead of 2", shape.len())));
    };
    if *fortran {
        return Err(wrong("its columns stand after another (Fortran order)".to_owned()));
    }
    let rows_fit = usize::try_from(rows).ok().filter(|rows| rows.checked_mul(PIXELS) == Some(bytes.len()));
    match rows_fit {
        Some(rows) if columns == PIXELS as i64 => Ok((rows, bytes.clone())),
        _ => Err(wrong(format!("it is {rows} x {columns} in {} bytes", bytes.len()))),
    }
}

/// A value for a message.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 40 { text.chars().take(40).chain("...".chars()).collect() } else { text }
}

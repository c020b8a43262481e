//! A pickled batch of CIFAR-10: a dict with the keys `data` and `labels`, as bytes or text.
//!
//! A numpy array is pickled as a call of `_reconstruct` and a state `(version, shape, dtype, Fortran order, bytes)`, and its
//! dtype as a call of `dtype` with its letter and size.

use super::PIXELS;
use limpq_core::pickle::{self, Id, Names, Pickle, Value};

/// The images of a file.
#[derive(Debug)]
pub struct Batch {
    /// Number of images.
    pub rows: usize,
    /// Their rows, concatenated.
    pub pixels: Vec<u8>,
    /// Their labels, as in the file.
    pub labels: Vec<i64>,
}

/// Parses a pickle; the error says what is wrong.
pub fn read(bytes: &[u8]) -> Result<Batch, String> {
    let file = pickle::read(bytes, Names::Opaque).map_err(|error| format!("not a pickle of CIFAR-10: {error}"))?;
    if file.pairs(file.root()).is_none() {
        return Err("not a pickle of CIFAR-10: it holds no dict".to_owned());
    }
    let list = under(&file, "labels")?;
    let Value::List(labels) = file.value(list) else {
        return Err(format!("\"labels\" must be a list, but is {}", file.described(list)));
    };
    let label = |&id: &Id| {
        file.int(id).ok_or_else(|| format!("\"labels\" contains {}, which is not an integer", file.described(id)))
    };
    let labels = labels.iter().map(label).collect::<Result<_, _>>()?;
    let (rows, pixels) = array(&file, under(&file, "data")?)?;
    Ok(Batch { rows, pixels, labels })
}

fn under(file: &Pickle, key: &str) -> Result<Id, String> {
    file.get(file.root(), key).ok_or_else(|| {
        let fine = file.get(file.root(), "fine_labels").is_some();
        let fix = if fine { "; this is CIFAR-100" } else { "" };
        format!("the dict in it has no key {key:?}{fix}")
    })
}

/// Number of rows, and the bytes, of a numpy array of `n x 3072` bytes.
fn array(file: &Pickle, id: Id) -> Result<(usize, Vec<u8>), String> {
    let wrong = |found: String| format!("\"data\" must be a numpy array of uint8 with rows of {PIXELS}, but {found}");
    let state = match file.value(id) {
        Value::Object(object) => object.state.and_then(|state| file.items(state)),
        _ => None,
    };
    let state = state.ok_or_else(|| wrong(format!("is {}", file.described(id))))?;
    let &[_, shape, dtype, fortran, bytes] = state else { return Err(wrong("its state has another form".to_owned())) };
    let (Some(shape), &Value::Bool(fortran), Value::Bytes(bytes)) =
        (file.items(shape), file.value(fortran), file.value(bytes))
    else {
        return Err(wrong("its state has another form".to_owned()));
    };
    let dtype = match file.value(dtype) {
        Value::Object(dtype) => file.items(dtype.arguments).and_then(|arguments| file.text(*arguments.first()?)),
        _ => None,
    };
    if let Some(other) = dtype.filter(|dtype| !["u1", "uint8", "|u1"].contains(dtype)) {
        return Err(wrong(format!("its data type is {other:?}")));
    }
    let &[rows, columns] = shape else {
        return Err(wrong(format!("it has {} dimensions instead of 2", shape.len())));
    };
    if fortran {
        return Err(wrong("it is in Fortran order".to_owned()));
    }
    let rows_fit = file.int(rows).and_then(|rows| usize::try_from(rows).ok());
    let rows_fit = rows_fit.filter(|rows| rows.checked_mul(PIXELS) == Some(bytes.len()));
    match rows_fit {
        Some(rows) if file.int(columns) == Some(PIXELS as i64) => Ok((rows, bytes.to_vec())),
        _ => {
            let (rows, columns) = (file.described(rows), file.described(columns));
            Err(wrong(format!("it is {rows} x {columns} in {} bytes", bytes.len())))
        }
    }
}

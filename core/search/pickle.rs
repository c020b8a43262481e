//! LIMPQ's indicator files: a Python pickle of plain dicts, lists, strings and floats with the keys `layer_name`, `weight`
//! and `act`. Only plain data is accepted: a pickle that names a class or function is refused, nothing is ever executed.

mod plain;

use super::{BitWidth, Candidates, INDICATORS_SCHEMA, Indicators, LayerIndicators, Provenance, indicators::plain_name};
use plain::Foreign;
use serde::Deserialize;
use serde_pickle::{DeOptions, Error, ErrorCode};
use std::collections::{BTreeMap, BTreeSet};

type ByBits = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Limpq {
    layer_name: Vec<String>,
    weight: BTreeMap<String, ByBits>,
    act: BTreeMap<String, ByBits>,
}

/// Reads a pickle's bytes; the error says what is wrong with them.
pub fn read(bytes: &[u8]) -> Result<Indicators, String> {
    if let Some(foreign) = plain::first_foreign(bytes) {
        return Err(refused(bytes, &foreign));
    }
    let file: Limpq = serde_pickle::from_slice(bytes, DeOptions::new()).map_err(|error| explain(&error))?;
    let mut layers = BTreeMap::new();
    for name in &file.layer_name {
        let of = |key: &str, table: &BTreeMap<String, ByBits>| {
            let values =
                table.get(name).ok_or_else(|| format!("layer_name lists {name:?}, which {key:?} does not have"))?;
            values
                .iter()
                .map(|(bits, &value)| {
                    let bits = bits.parse::<BitWidth>().map_err(|error| format!("{key} of {name:?}: {error}"))?;
                    Ok((bits, value))
                })
                .collect::<Result<BTreeMap<BitWidth, f64>, String>>()
        };
        let indicators = LayerIndicators { weight: of("weight", &file.weight)?, act: of("act", &file.act)? };
        if layers.insert(plain_name(name).to_owned(), indicators).is_some() {
            return Err(format!("layer {:?} stands twice in layer_name", plain_name(name)));
        }
    }
    let listed: BTreeSet<&String> = file.layer_name.iter().collect();
    if let Some(extra) = file.weight.keys().chain(file.act.keys()).find(|name| !listed.contains(name)) {
        return Err(format!("{extra:?} has indicators but is not in layer_name"));
    }
    // The candidates are the bit-widths every layer has; a hole shows up as a missing one when it is asked for.
    let bits: BTreeSet<BitWidth> = layers.values().flat_map(|l| l.weight.keys().copied()).collect();
    let candidates = match layers.is_empty() {
        true => return Err("layer_name is empty: there are no indicators in it".into()),
        false => Candidates::new(bits.into_iter().collect()).map_err(|error| error.to_string())?,
    };
    let provenance = Provenance { sensitivity: "LIMPQ pickle".into(), ..Provenance::default() };
    Ok(Indicators { schema: INDICATORS_SCHEMA, model: None, candidates, provenance, layers, spread: None })
}

/// What an operation that plain data does not have would do.
fn refused(bytes: &[u8], &Foreign { operation, at, end }: &Foreign) -> String {
    const HINT: &str = "which could run anything, so it is refused; save plain floats instead: {k: {b: float(s)}}";
    match operation {
        b'c' | b'i' => {
            let name = String::from_utf8_lossy(&bytes[at + 1..end]).trim_end().replace('\n', ".");
            format!("as a pickle: it wants to call {name}, {HINT}")
        }
        // A name from the stack, a call, an object's making, a name from a register of extensions or of objects outside.
        0x93 | b'R' | b'o' | b'b' | 0x81 | 0x92 | 0x82..=0x84 | b'P' | b'Q' => {
            format!("as a pickle: it wants to call Python code, {HINT}")
        }
        _ => format!(
            "as a pickle: its byte {at}, {operation:#04x}, is an operation that dicts, lists, strings and floats have no use \
             for, so it is refused"
        ),
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::Eval(ErrorCode::EOFWhileParsing, _) => "as a pickle: it ends early; copy it again".into(),
        other => format!("as a pickle: {other}"),
    }
}

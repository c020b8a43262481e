//! LIMPQ's indicator files: a Python pickle of dicts, lists, strings and floats with the keys `layer_name`, `weight` and
//! `act`. A pickle that names a class or function is refused, but for Python's own dicts.

use super::indicators::plain_name;
use crate::pickle::{self, Id, Names, Pickle, PickleError, Value};
use crate::search::{BitWidth, Candidates, Indicators, LayerIndicators, Provenance};
use std::collections::{BTreeMap, BTreeSet};

/// So many bit-widths are there.
const MOST_BITS: usize = 32;

/// Tables by layer, as they stand in the file.
type ByLayer<'p> = BTreeMap<&'p str, Id>;

/// Reads a pickle's bytes; the error says what is wrong with them.
pub fn read(bytes: &[u8]) -> Result<Indicators, String> {
    let file = pickle::read(bytes, Names::Refused).map_err(|error| explain(&error))?;
    let under = |key: &str| {
        let found = file.get(file.root(), key);
        found.ok_or_else(|| match file.pairs(file.root()) {
            Some(pairs) => format!("as a pickle: it has no key {key:?}; its keys are {}", keys(&file, pairs)),
            None => format!("as a pickle: it holds {} and not a dict", file.described(file.root())),
        })
    };
    let names = layer_names(&file, under("layer_name")?)?;
    let [weights, acts] = [by_layer(&file, "weight", under("weight")?)?, by_layer(&file, "act", under("act")?)?];
    let mut layers = BTreeMap::new();
    for &name in &names {
        let of = |key: &str, table: &ByLayer| {
            let values =
                table.get(name).ok_or_else(|| format!("layer_name lists {name:?}, which {key:?} does not have"))?;
            by_bits(&file, &format!("{key} of {name:?}"), *values)
        };
        let indicators = LayerIndicators { weight: of("weight", &weights)?, act: of("act", &acts)? };
        if layers.insert(plain_name(name).to_owned(), indicators).is_some() {
            return Err(format!("layer {:?} stands twice in layer_name", plain_name(name)));
        }
    }
    let listed: BTreeSet<&str> = names.into_iter().collect();
    if let Some(extra) = weights.keys().chain(acts.keys()).find(|name| !listed.contains(*name)) {
        return Err(format!("{extra:?} has indicators but is not in layer_name"));
    }
    // The candidates are the bit-widths every layer has; a hole shows up as a missing one when it is asked for.
    let bits: BTreeSet<BitWidth> = layers.values().flat_map(|l| l.weight.keys().copied()).collect();
    let candidates = match layers.is_empty() {
        true => return Err("layer_name is empty: there are no indicators in it".into()),
        false => Candidates::new(bits.into_iter().collect()).map_err(|error| error.to_string())?,
    };
    let provenance = Provenance { sensitivity: "LIMPQ pickle".into(), step_sizes: true, ..Provenance::default() };
    Ok(Indicators::new(None, candidates, provenance, layers))
}

fn layer_names<'p>(file: &'p Pickle, id: Id) -> Result<Vec<&'p str>, String> {
    let names = file.items(id).ok_or_else(|| format!("layer_name must be a list, but is {}", file.described(id)))?;
    names.iter().map(|&name| layer_name(file, "layer_name", name)).collect()
}

fn layer_name<'p>(file: &'p Pickle, place: &str, id: Id) -> Result<&'p str, String> {
    file.text(id).ok_or_else(|| {
        format!(
            "{place} calls a layer {}; layers must have the names of the network's state dict, such as \"layer1.0.conv1\"",
            file.described(id)
        )
    })
}

fn by_layer<'p>(file: &'p Pickle, key: &str, id: Id) -> Result<ByLayer<'p>, String> {
    let pairs = file.pairs(id).ok_or_else(|| format!("{key:?} must be a dict, but is {}", file.described(id)))?;
    pairs.iter().map(|&(name, values)| Ok((layer_name(file, &format!("{key:?}"), name)?, values))).collect()
}

/// Indicators by bit-width, which may be text or whole numbers.
fn by_bits(file: &Pickle, place: &str, id: Id) -> Result<BTreeMap<BitWidth, f64>, String> {
    let pairs = file.pairs(id).ok_or_else(|| format!("{place} must be a dict, but is {}", file.described(id)))?;
    if pairs.len() > MOST_BITS {
        return Err(format!("{place} has {} bit-widths; there are {MOST_BITS} at most", pairs.len()));
    }
    let entry = |&(bits, value): &(Id, Id)| {
        let text = file.text(bits).map_or_else(|| file.described(bits), str::to_owned);
        let bits = text.parse::<BitWidth>().map_err(|error| format!("{place}: {error}"))?;
        match *file.value(value) {
            Value::Float(number) => Ok((bits, number)),
            Value::Int(number) => Ok((bits, number as f64)),
            _ => Err(format!("{place} at {bits} bits must be a number, but is {}", file.described(value))),
        }
    };
    pairs.iter().map(entry).collect()
}

/// A few of a dict's keys.
fn keys(file: &Pickle, pairs: &[(Id, Id)]) -> String {
    let shown: Vec<String> = pairs.iter().take(5).map(|&(key, _)| file.described(key)).collect();
    let more = if pairs.len() > 5 { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn explain(error: &PickleError) -> String {
    match error {
        PickleError::Call(_) => format!(
            "as a pickle: {error}, which could run anything, so it is refused; save plain floats instead: {{k: {{b: float(s)}}}}"
        ),
        PickleError::Foreign { at, operation } => format!(
            "as a pickle: its byte {at}, {operation:#04x}, is an operation that dicts, lists, strings and floats have no use \
             for, so it is refused"
        ),
        other => format!("as a pickle: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pickles");
        std::fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn one_dict_may_stand_at_many_places() {
        let [shared, whole] = ["shared.pkl", "whole_bits.pkl"].map(|name| read(&golden(name)).unwrap());
        assert_eq!(shared, whole, "bit-widths may be text or whole numbers");
        let [four, two] = [4, 2].map(|bits| BitWidth::new(bits).unwrap());
        let by_bits = BTreeMap::from([(four, 0.25), (two, 0.5)]);
        let layer = LayerIndicators { weight: by_bits.clone(), act: by_bits };
        let layers = ["body", "tail"].map(|name| (name.to_owned(), layer.clone()));
        assert_eq!(shared.layers, BTreeMap::from(layers));
    }

    #[test]
    fn layers_without_names_are_said_to_be() {
        assert_eq!(
            read(&golden("numbered.pkl")).unwrap_err(),
            "layer_name calls a layer 0; layers must have the names of the network's state dict, such as \"layer1.0.conv1\""
        );
    }

    /// What a thousandfold shared table would be if it were written out.
    #[test]
    fn a_table_of_too_many_bit_widths_is_refused() {
        let table = b"}(X\x01\0\0\x004G?\xd0\0\0\0\0\0\0u".to_vec();
        let many = [b"}(".to_vec(), b"K\x04G?\xd0\0\0\0\0\0\0".repeat(1000), b"u".to_vec()].concat();
        let with = |table: &[u8]| {
            let head = b"}(U\x0alayer_name](U\x01aeU\x06weight}U\x01a";
            [&head[..], table, b"sq\x00U\x03acth\x00u."].concat()
        };
        read(&with(&table)).unwrap();
        assert_eq!(read(&with(&many)).unwrap_err(), "weight of \"a\" has 1000 bit-widths; there are 32 at most");
        assert_eq!(read(&with(b"N")).unwrap_err(), "weight of \"a\" must be a dict, but is None");
        assert_eq!(read(b"}.").unwrap_err(), "as a pickle: it has no key \"layer_name\"; its keys are ");
        assert_eq!(read(b"].").unwrap_err(), "as a pickle: it holds a list of 0 and not a dict");
    }
}

//! The file to fill in: one entry per layer (or signature) and pair of bits.

use super::Quantity;
use super::file::{DILATION, SIGNATURE, Signature};
use limpq_core::graph::Graph;
use limpq_core::search::Precision;
use serde_json::{Map, Value};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header and one line for each entry.
    Csv,
    /// A list of objects.
    Json,
}

/// A file with an entry for every searchable layer at every pair of bits and every fixed layer at 8 bits, without
/// values. By signature, equal layers have one entry.
pub fn template(
    graph: &Graph,
    precisions: &[Precision],
    by_signature: bool,
    quantity: Quantity,
    format: Format,
) -> String {
    let mut rows: Vec<Map<String, Value>> = vec![];
    let dilated = graph.layers().iter().any(|layer| Signature::of(layer).dilation().is_some());
    for layer in graph.layers() {
        let fixed = [layer.fixed_bits];
        for bits in if layer.fixed { &fixed } else { precisions } {
            let mut row = Map::new();
            if !by_signature {
                row.insert("layer".to_owned(), layer.name.as_str().into());
            }
            let signature = Signature::of(&layer);
            let dilation = dilated.then(|| (DILATION, signature.dilation().unwrap_or_else(|| "1".to_owned())));
            for (column, text) in SIGNATURE.into_iter().zip(signature.fields()).chain(dilation) {
                row.insert(column.to_owned(), text.parse::<u64>().map_or(text.into(), Value::from));
            }
            row.insert("w_bits".to_owned(), bits.weight.get().into());
            row.insert("a_bits".to_owned(), bits.act.get().into());
            row.insert(quantity.column().to_owned(), Value::Null);
            if !by_signature || !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    match format {
        Format::Json => {
            let lines: Vec<String> = rows.into_iter().map(|row| format!("  {}", Value::Object(row))).collect();
            format!("[\n{}\n]\n", lines.join(",\n"))
        }
        Format::Csv => csv(&rows),
    }
}

fn csv(rows: &[Map<String, Value>]) -> String {
    let mut writer = csv::Writer::from_writer(vec![]);
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some(first) = rows.first() {
        writer.write_record(first.keys()).expect("writing to memory does not fail");
    }
    for row in rows {
        writer.write_record(row.values().map(text)).expect("rows have the same columns");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("it was written from text")
}

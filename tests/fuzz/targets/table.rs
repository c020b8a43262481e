//! Tables of measured latencies, as CSV and as JSON: what is read is known exactly where the table says so.
#![no_main]

mod graph;

use graph::GRAPH;
use libfuzzer_sys::fuzz_target;
use limpq_core::search::Candidates;
use limpq_plugins::costs::measured::{Interpolate, Measured, MeasuredOptions, Quantity};

fuzz_target!(|text: &str| {
    for path in ["table.csv", "table.json"] {
        for interpolate in [Interpolate::None, Interpolate::Linear] {
            let options = MeasuredOptions { path: path.to_owned(), interpolate, ..MeasuredOptions::default() };
            let Ok(table) = Measured::parse(text, options, Quantity::Microseconds) else { continue };
            let bits: Vec<_> = Candidates::of(&[8, 4, 3]).expect("bit-widths").pairs().collect();
            let audit = table.audit(&GRAPH, &bits);
            assert!(audit.missing.len() <= audit.needed);
            let _ = table.check(&GRAPH);
        }
    }
});

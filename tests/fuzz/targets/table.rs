//! Tables of measured latencies, as CSV and as JSON: what is read is known exactly where the table says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::graph::{Builder, Conv, Graph, Shape};
use limpq_core::search::Candidates;
use limpq_plugins::costs::measured::{Interpolate, Measured, MeasuredOptions, Quantity};
use std::sync::LazyLock;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).expect("a shape"), 10);
    let x = b.fixed_conv("stem", x, Conv::new(8, 3));
    let x = b.conv("body", x, Conv::new(16, 3));
    b.classifier("fc", x);
    b.finish().expect("a network")
});

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

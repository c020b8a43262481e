//! Any bytes as an ONNX file: it is read or refused, and what is read has a layer and parameters in the shapes that it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::{
    graph::Shape,
    onnx::{OnnxFile, declared_input, import},
};
use std::path::Path;

/// Parameters with more values are not computed: a short file may ask for a large fill.
const FEW: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = OnnxFile::parse(Path::new("no-such-folder/net.onnx"), bytes.to_vec()) else { return };
    let Ok(sizes) = declared_input(&file, None) else { return };
    let [channels, height, width] = sizes.map(|size| size.unwrap_or(3).min(64));
    let Ok(imported) = import(&file, Shape { channels, height, width }, None) else { return };
    assert!(!imported.graph.layers().is_empty());
    for constant in imported.parameters.values() {
        let count: usize = constant.shape().iter().product();
        if count <= FEW && let Ok(values) = constant.floats() {
            assert_eq!(values.len(), count);
        }
    }
});

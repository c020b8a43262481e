//! Weights from an ONNX file, by the names and in the shapes that the network has which is read from it.

use super::{
    WeightsError,
    file::{Entry, Numbers},
};
use crate::{
    graph::Graph,
    onnx::{OnnxFile, import},
    store::hash,
};
use std::{collections::BTreeMap, fs::File, io, io::Read, path::Path};

/// Whether a file is ONNX: by its name, or because it begins as one does, with a small version of the format.
pub(super) fn is_onnx(path: &Path) -> io::Result<bool> {
    if path.extension().is_some_and(|extension| extension == "onnx") {
        return Ok(true);
    }
    let mut start = [0; 9];
    let read = File::open(path)?.read(&mut start)?;
    // safetensors may begin with the same byte, and has a brace after the length of its header.
    Ok(read == start.len() && start[0] == 8 && start[1] < 64 && start[8] != b'{')
}

/// The tensors of a file, and the SHA-256 of it and of the files that hold its external data.
pub(super) fn open(path: &Path, graph: &Graph) -> Result<(BTreeMap<String, Entry>, String), WeightsError> {
    let file = OnnxFile::open(path).map_err(Box::new)?;
    let output = graph.options.as_ref().and_then(|options| options.get("output")).and_then(|output| output.as_str());
    let imported = import(&file, graph.input, output).map_err(Box::new)?;
    let mut sha256 = file.sha256().to_owned();
    for data in file.external() {
        // What is absent is reported with the tensor that needs it.
        if let Ok(data) = hash::of_file(&path.with_file_name(data)) {
            sha256 = hash::of_bytes((sha256 + &data).as_bytes());
        }
    }
    let entry = |(name, constant): (String, crate::onnx::Constant)| {
        let shape = constant.shape().to_vec();
        let bytes = move |_| {
            let values = constant.floats().map_err(io::Error::other)?;
            Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
        };
        (name, Entry { shape, numbers: Ok(Numbers::Single), bytes: Box::new(bytes) })
    };
    Ok((imported.parameters.into_iter().map(entry).collect(), sha256))
}

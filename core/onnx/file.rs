//! An ONNX file: read whole, its declared sizes checked against what is there.

use super::{OnnxError, proto, tensor};
use crate::store::hash;
use prost::{Message, bytes::Bytes};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// No file of protocol buffers is larger; more stands in external data.
const MOST_BYTES: u64 = 2 << 30;
/// Operators mean something else before.
const OLDEST_OPSET: i64 = 7;

/// An ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxFile {
    path: PathBuf,
    sha256: String,
    model: Arc<proto::Model>,
    opset: i64,
}

impl OnnxFile {
    /// Reads a file; external data is left where it is.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is something else.
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let read = || {
            let file = open_plain(path)?;
            let mut bytes = Vec::with_capacity(file.metadata()?.len().min(MOST_BYTES) as usize);
            file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| OnnxError::Read { path: path.display().to_string(), error })?;
        Self::parse(path, bytes)
    }

    /// A file that was read from `path`; external data is looked for beside it.
    ///
    /// # Errors
    /// What is damaged or something else.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, OnnxError> {
        let wrong = |why: String| OnnxError::Format { path: path.display().to_string(), why };
        if bytes.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong("it is larger than 2 GiB, the most that such a file can have".to_owned()));
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(wrong("it is a pointer of Git LFS; fetch the file itself with git lfs pull".to_owned()));
        }
        let sha256 = hash::of_bytes(&bytes);
        let model = proto::Model::decode(Bytes::from(bytes)).map_err(|error| {
            wrong(format!("{error}; if it came from the network, see whether it is whole, or an error page"))
        })?;
        let graph = model.graph.as_ref().ok_or_else(|| wrong("it holds no graph".to_owned()))?;
        if graph.node.is_empty() {
            return Err(wrong("its graph has no nodes".to_owned()));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(wrong("it has sparse initializers, which are not read".to_owned()));
        }
        for initializer in &graph.initializer {
            tensor::check(initializer).map_err(|why| wrong(format!("initializer {:?} {why}", initializer.name)))?;
        }
        let own = model.opset_import.iter().find(|set| is_onnx(&set.domain)).and_then(|set| set.version);
        let opset = own.ok_or_else(|| wrong("it does not say which version of ONNX's operators it uses".to_owned()))?;
        if opset < OLDEST_OPSET {
            return Err(wrong(format!(
                "it uses opset {opset}, and those before {OLDEST_OPSET} are not read; convert it with onnx.version_converter"
            )));
        }
        Ok(Self { path: path.to_owned(), sha256, model: Arc::new(model), opset })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file, without external data, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Version of ONNX's operators.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Files of external data that its tensors are in, as it names them.
    pub fn external(&self) -> Vec<&str> {
        let outside = |tensor: &&proto::Tensor| tensor.data_location == Some(tensor::EXTERNAL);
        let entries = self.graph().initializer.iter().filter(outside).flat_map(|tensor| &tensor.external_data);
        let mut files: Vec<&str> =
            entries.filter(|entry| entry.key == "location").map(|entry| entry.value.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    pub(super) fn graph(&self) -> &proto::Graph {
        self.model.graph.as_ref().expect("it was looked for when the file was read")
    }

    pub(super) fn producer(&self) -> String {
        match self.model.producer_name.as_str() {
            "" => String::new(),
            name => format!(", written by {name} {}", self.model.producer_version).trim_end().to_owned(),
        }
    }

    /// What is given to the network: not the weights, which old files list among the inputs.
    pub(super) fn inputs(&self) -> Vec<&proto::ValueInfo> {
        let graph = self.graph();
        let weights: HashMap<&str, ()> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), ())).collect();
        graph.input.iter().filter(|input| !weights.contains_key(input.name.as_str())).collect()
    }
}

/// Opens a file; reading from a pipe might never end.
pub(super) fn open_plain(path: &Path) -> io::Result<fs::File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    fs::File::open(path)
}

/// Whether a domain is ONNX's own.
pub(super) fn is_onnx(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

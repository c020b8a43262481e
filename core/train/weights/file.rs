//! The tensors of a file by name, whatever its format. Values are only read on demand, so that a file takes no more
//! memory than its network.

use super::{WeightsError, torch};
use crate::input::{self, MOST_BYTES};
use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

/// One tensor, its values not yet read.
pub(super) struct Entry {
    pub shape: Vec<usize>,
    /// Its data type; the error says what it is instead, after "the tensor".
    pub numbers: Result<Numbers, String>,
    pub bytes: Box<dyn Fn(u64) -> io::Result<Vec<u8>>>,
}

/// Data types of weights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers {
    Half,
    Brain,
    Single,
    Double,
}

impl Numbers {
    /// By PyTorch's name of a storage or dtype; the error is the name of a type that is not read.
    pub fn of(kind: &str) -> Result<Self, String> {
        match short(kind) {
            "F16" => Ok(Self::Half),
            "BF16" => Ok(Self::Brain),
            "F32" => Ok(Self::Single),
            "F64" => Ok(Self::Double),
            other => Err(other.to_owned()),
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Single => 4,
            Self::Double => 8,
        }
    }
}

/// A short form of PyTorch's name of a storage or dtype.
fn short(kind: &str) -> &str {
    match kind {
        "HalfStorage" | "float16" | "half" => "F16",
        "BFloat16Storage" | "bfloat16" => "BF16",
        "FloatStorage" | "float32" | "float" => "F32",
        "DoubleStorage" | "float64" | "double" => "F64",
        "LongStorage" | "int64" | "long" => "I64",
        "IntStorage" | "int32" | "int" => "I32",
        "ShortStorage" | "int16" | "short" => "I16",
        "CharStorage" | "int8" => "I8",
        "ByteStorage" | "uint8" => "U8",
        "BoolStorage" | "bool" => "Bool",
        other => other,
    }
}

/// Bytes of one value in a storage.
pub(super) fn size_of(kind: &str) -> Option<u64> {
    match short(kind) {
        "F64" | "I64" | "ComplexFloatStorage" => Some(8),
        "F32" | "I32" | "QInt32Storage" => Some(4),
        "F16" | "BF16" | "I16" => Some(2),
        "I8" | "U8" | "Bool" | "QInt8Storage" | "QUInt8Storage" | "UntypedStorage" => Some(1),
        "ComplexDoubleStorage" => Some(16),
        _ => None,
    }
}

impl Entry {
    /// Its values as 32-bit floats; the error says what it holds instead.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        let numbers = self.numbers.clone()?;
        let bytes = (self.bytes)(numbers.size()).map_err(|error| format!("cannot be read: {error}"))?;
        let values: Vec<f32> = match numbers {
            Numbers::Half => bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32()).collect(),
            Numbers::Brain => bytes.as_chunks().0.iter().map(|&two| bf16::from_le_bytes(two).to_f32()).collect(),
            Numbers::Single => bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
            Numbers::Double => bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight) as f32).collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(format!("holds {} at index {place}; its training diverged", values[place])),
            None => Ok(values),
        }
    }
}

/// Why a file is not a file of weights.
pub(super) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// It is something else.
    Foreign,
    /// It is damaged, or holds something that is not read.
    Content(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a file; `shown` is its name in messages.
pub(super) fn open(path: &Path, shown: &str) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let wrong = |why: String| WeightsError::Format { path: shown.to_owned(), why };
    let entries = read(path).map_err(|fault| match fault {
        Fault::Io(error) => WeightsError::Read { path: shown.to_owned(), error },
        Fault::Foreign => wrong(
            "it is neither a PyTorch checkpoint (torch.save) nor safetensors nor ONNX; \
             if it came from the network, see whether it is an error page or a pointer of Git LFS"
                .to_owned(),
        ),
        Fault::Content(why) => wrong(why),
    })?;
    match entries.is_empty() {
        true => Err(wrong("it holds no tensors".to_owned())),
        false => Ok(entries),
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Entry>, Fault> {
    let mut start = vec![];
    File::open(path)?.take(9).read_to_end(&mut start)?;
    match start[..] {
        [] => Err(Fault::Content("it is empty".to_owned())),
        // A safetensors file begins with the length of its header, which is JSON.
        [.., b'{'] if start.len() == 9 => safetensors(path),
        _ => {
            let (tensors, storages) = torch::open(path)?;
            let entry = |(name, tensor): (String, torch::Tensor)| {
                let (shape, numbers, storages) = (tensor.shape.clone(), tensor.numbers.clone(), storages.clone());
                (name, Entry { shape, numbers, bytes: Box::new(move |size| tensor.bytes(&storages, size)) })
            };
            Ok(tensors.into_iter().map(entry).collect())
        }
    }
}

/// The length of a JSON header, the header, and the values of all tensors, concatenated.
fn safetensors(path: &Path) -> Result<BTreeMap<String, Entry>, Fault> {
    let wrong = |why: String| Fault::Content(format!("as safetensors: {why}"));
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let after = file.metadata()?.len().saturating_sub(8);
    if length > after {
        return Err(wrong(format!("its header has {length} bytes, and only {after} follow; copy it again")));
    }
    if length > MOST_BYTES {
        return Err(wrong(format!("its header is larger than {} MiB, the most that is read", MOST_BYTES >> 20)));
    }
    let mut header = vec![];
    file.take(length).read_to_end(&mut header)?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| wrong(input::json_error(&error)))?;
    let (wanted, found) = (header.data_len() as u64, after - length);
    if wanted != found {
        return Err(wrong(format!("its tensors have {wanted} bytes, but {found} follow the header; copy it again")));
    }
    let (start, shared): (u64, Arc<Path>) = (8 + length, path.into());
    let entry = |(name, info): (String, &TensorInfo)| {
        let numbers = match info.dtype {
            Dtype::F16 => Ok(Numbers::Half),
            Dtype::BF16 => Ok(Numbers::Brain),
            Dtype::F32 => Ok(Numbers::Single),
            Dtype::F64 => Ok(Numbers::Double),
            other => Err(format!("holds {other:?}, not floating-point numbers")),
        };
        let (from, to) = info.data_offsets;
        let path = shared.clone();
        let bytes = move |_| {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(start + from as u64))?;
            let mut bytes = vec![];
            file.take((to - from) as u64).read_to_end(&mut bytes)?;
            if bytes.len() == to - from { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        };
        (name, Entry { shape: info.shape.clone(), numbers, bytes: Box::new(bytes) })
    };
    Ok(header.tensors().into_iter().map(entry).collect())
}

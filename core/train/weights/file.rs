//! The tensors of a file by name. PyTorch's pickles are read as data by `pytorch-reader`, which runs none of the code
//! that they name.

use super::WeightsError;
use half::{bf16, f16};
use pytorch_reader::{DType, FileFormat, PytorchError, PytorchReader};
use safetensors::{Dtype, SafeTensors};
use std::{collections::BTreeMap, fs, io, io::Read, path::Path};

/// One tensor, its numbers not yet read.
pub(super) struct Entry {
    pub shape: Vec<usize>,
    numbers: Result<Float, String>,
    bytes: Box<dyn Fn() -> io::Result<Vec<u8>>>,
}

/// Floating-point formats that weights come in.
#[derive(Clone, Copy)]
enum Float {
    Half,
    Brain,
    Single,
    Double,
}

impl Entry {
    /// Its numbers as 32-bit floats; the error says what it holds instead.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        let float = self.numbers.as_ref().map_err(|other| format!("holds {other}, not floating-point numbers"))?;
        let bytes = (self.bytes)().map_err(|error| format!("cannot be read: {error}"))?;
        let values: Vec<f32> = match float {
            Float::Half => bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32()).collect(),
            Float::Brain => bytes.as_chunks().0.iter().map(|&two| bf16::from_le_bytes(two).to_f32()).collect(),
            Float::Single => bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
            Float::Double => bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight) as f32).collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(format!("holds {} at place {place}; its training diverged", values[place])),
            None => Ok(values),
        }
    }
}

/// Opens a file; `shown` is its name for messages.
pub(super) fn open(path: &Path, shown: &str) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let unreadable = |error| WeightsError::Read { path: shown.to_owned(), error };
    let wrong = |why: String| WeightsError::Format { path: shown.to_owned(), why };
    let mut start = vec![];
    fs::File::open(path).and_then(|file| file.take(9).read_to_end(&mut start)).map_err(unreadable)?;
    let entries = match start[..] {
        [] => return Err(wrong("it is empty".to_owned())),
        // A safetensors file begins with the length of its header, which is JSON.
        [.., b'{'] if start.len() == 9 => safetensors(&fs::read(path).map_err(unreadable)?).map_err(wrong)?,
        _ => torch(path).map_err(|error| wrong(explain(&error)))?,
    };
    match entries.is_empty() {
        true => Err(wrong("it holds no tensors".to_owned())),
        false => Ok(entries),
    }
}

fn safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("as safetensors: {error}"))?;
    let entry = |(name, view): (String, safetensors::tensor::TensorView)| {
        let numbers = match view.dtype() {
            Dtype::F16 => Ok(Float::Half),
            Dtype::BF16 => Ok(Float::Brain),
            Dtype::F32 => Ok(Float::Single),
            Dtype::F64 => Ok(Float::Double),
            other => Err(format!("{other:?}")),
        };
        let bytes = view.data().to_vec();
        (name, Entry { shape: view.shape().to_vec(), numbers, bytes: Box::new(move || Ok(bytes.clone())) })
    };
    Ok(file.tensors().into_iter().map(entry).collect())
}

fn torch(path: &Path) -> Result<BTreeMap<String, Entry>, PytorchError> {
    let reader = PytorchReader::new(path)?;
    if reader.is_empty() && reader.metadata().format_type == FileFormat::Pickle {
        return Err(PytorchError::InvalidFormat("it is a pickle without tensors".to_owned()));
    }
    let entry = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let numbers = match tensor.dtype() {
            DType::F16 => Ok(Float::Half),
            DType::BF16 => Ok(Float::Brain),
            DType::F32 => Ok(Float::Single),
            DType::F64 => Ok(Float::Double),
            other => Err(format!("{other:?}")),
        };
        let shape = tensor.shape().to_vec();
        (name, Entry { shape, numbers, bytes: Box::new(move || tensor.read()) })
    };
    Ok(reader.into_tensors().into_iter().map(entry).collect())
}

/// What the reader said, in the words of whoever has to mend it.
fn explain(error: &PytorchError) -> String {
    match error {
        PytorchError::InvalidFormat(why) if why.contains("no ZIP, TAR, legacy or pickle header") => {
            "it is neither a PyTorch checkpoint (torch.save) nor safetensors; \
             if it came from the network, see whether it is an error page or a pointer of Git LFS"
                .to_owned()
        }
        PytorchError::Zip(error) => {
            format!("as a PyTorch checkpoint: {error}; it looks cut off or damaged, copy it again")
        }
        PytorchError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "as a PyTorch checkpoint: it ends early; copy it again".to_owned()
        }
        other => format!("as a PyTorch checkpoint: {other}. What can be read is torch.save(model.state_dict(), path)"),
    }
}

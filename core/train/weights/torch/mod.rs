//! PyTorch's checkpoints in every container format of `torch.save`: a ZIP archive (since 1.6), pickles followed by the
//! tensors' bytes (0.1.10 to 1.5), a TAR archive (before).
//!
//! Each contains a pickle that describes the tensors, and storages with their bytes. The pickle is read as data: no
//! code in it is run. A storage is read on demand, as far as a tensor needs it.

mod containers;
mod storages;
mod tensors;

pub(super) use tensors::Tensor;

use super::file::Fault;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};
use storages::Storages;

/// Largest size of a pickle. Bytes of tensors are not in it.
const MOST_PICKLE: u64 = 100 << 20;

/// Tensors by name, and their storages.
pub(super) type Checkpoint = (BTreeMap<String, Tensor>, Arc<Storages>);

/// The tensors of a file, none of their bytes read.
pub(super) fn open(path: &Path) -> Result<Checkpoint, Fault> {
    /// Where a TAR archive has its mark.
    const TAR: std::ops::Range<usize> = 257..262;
    let mut head = vec![];
    File::open(path)?.take(TAR.end as u64).read_to_end(&mut head)?;
    match head.first() {
        _ if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") => containers::zip(path),
        _ if head.get(TAR) == Some(b"ustar") => containers::tar(path),
        _ if containers::is_legacy(&head) => containers::legacy(path),
        Some(0x80 | b'(' | b'}' | b']' | b'c') => containers::bare(path),
        _ => Err(Fault::Foreign),
    }
}

/// At most so many bytes of a file from an offset on.
fn piece(path: &Path, at: u64, most: u64) -> Result<Vec<u8>, Fault> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;

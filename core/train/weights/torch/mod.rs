//! PyTorch's checkpoints in every container that `torch.save` has written: a ZIP archive (since 1.6), pickles with the
//! tensors' bytes behind them (0.1.10 to 1.5), a TAR archive (before).
//!
//! Each holds a pickle that says which tensors there are, and storages with their bytes. The pickle is read as data: no code
//! in it is run. A storage is read when a tensor is asked for, as far as that tensor reaches.

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

/// The largest pickle that is read. Bytes of tensors are not in it.
const MOST_PICKLE: u64 = 100 << 20;

/// Tensors by name, and where their bytes are.
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

/// Bytes of a file from a place on, so many at most.
fn piece(path: &Path, at: u64, most: u64) -> Result<Vec<u8>, Fault> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;

//! The storages with the bytes of tensors.

use super::super::file::Fault;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

/// Largest compression ratio of an entry: weights hardly compress.
const MOST_GROWTH: u64 = 16;
/// Up to this size any ratio is accepted: a network of zeros compresses to nothing.
const SMALL: u64 = 64 << 20;

/// The storages of a checkpoint by key.
pub(in super::super) enum Storages {
    /// Entries of an archive.
    Zip(Mutex<Archive>),
    /// Offsets and lengths in the file.
    Places(PathBuf, BTreeMap<String, (u64, u64)>),
}

/// A ZIP archive that `torch.save` wrote.
pub(in super::super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// Common prefix of its names, including the slash.
    folder: String,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let zip = ZipArchive::new(BufReader::new(File::open(path)?)).map_err(|error| {
            Fault::Content(format!("as a PyTorch checkpoint: {error}; it looks cut off or damaged, copy it again"))
        })?;
        let folder = zip.file_names().find_map(|name| {
            let name = name.ok()?;
            let folder = name.strip_suffix("data.pkl")?;
            (folder.is_empty() || folder.ends_with('/')).then(|| folder.to_owned())
        });
        let folder = folder.ok_or_else(|| {
            Fault::Content("it is a ZIP archive without data.pkl, and so not what torch.save writes".to_owned())
        })?;
        Ok(Self { zip, folder })
    }

    pub fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.folder)).is_some()
    }

    /// A whole entry of at most `most` bytes.
    pub fn whole(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let size = self.entry(name, |entry, _| Ok(entry.size()))?;
        if size > most {
            return Err(wrong(format!("{name} in it has {size} bytes; at most {most} are read")));
        }
        self.part(name, 0, size)
    }

    /// Bytes of an entry from an offset on. The checksum is compared if the end is reached.
    pub fn part(&mut self, name: &str, from: u64, length: u64) -> io::Result<Vec<u8>> {
        self.entry(name, |entry, name| {
            let (size, packed) = (entry.size(), entry.compressed_size());
            if entry.compression() != CompressionMethod::Stored && size > SMALL && size / MOST_GROWTH > packed {
                return Err(wrong(format!("{name} grows from {packed} to {size} bytes, which no weights do")));
            }
            let end = from.checked_add(length).filter(|&end| end <= size);
            let Some(end) = end else {
                return Err(wrong(format!(
                    "{name} has {size} bytes, of which number {} is wanted",
                    from.saturating_add(length)
                )));
            };
            io::copy(&mut entry.by_ref().take(from), &mut io::sink())?;
            let mut bytes = vec![];
            entry.by_ref().take(length).read_to_end(&mut bytes)?;
            // The archive compares the checksum when it is read beyond the end.
            if end == size && entry.read(&mut [0])? > 0 || bytes.len() as u64 != length {
                return Err(wrong(format!("{name} does not have the {size} bytes that it says")));
            }
            Ok(bytes)
        })
    }

    fn entry<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut zip::read::ZipFile<'_, BufReader<File>>, &str) -> io::Result<T>,
    ) -> io::Result<T> {
        let full = format!("{}{name}", self.folder);
        let damaged = |error: zip::result::ZipError| wrong(format!("{full}: {error}"));
        let index = self.zip.index_for_name(&full).ok_or_else(|| wrong(format!("{full} is not in it")))?;
        // `torch.save` with compute_crc32=False writes 0 for all checksums.
        let unchecked = self.zip.by_index_raw(index).map_err(damaged)?.crc32() == 0;
        let options = ZipReadOptions::new().ignore_crc32(unchecked);
        read(&mut self.zip.by_index_with_options(index, options).map_err(damaged)?, &full)
    }
}

impl Storages {
    /// Bytes of a storage from an offset on.
    pub fn read(&self, key: &str, from: u64, length: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Zip(archive) => {
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                archive.part(&format!("data/{key}"), from, length)
            }
            Self::Places(path, places) => {
                let &(at, size) = places.get(key).ok_or_else(|| wrong(format!("storage {key:?} is not in it")))?;
                if from.checked_add(length).is_none_or(|end| end > size) {
                    return Err(wrong(format!("storage {key:?} has {size} bytes, which is too few")));
                }
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(at + from))?;
                let mut bytes = vec![];
                file.take(length).read_to_end(&mut bytes)?;
                match bytes.len() as u64 == length {
                    true => Ok(bytes),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

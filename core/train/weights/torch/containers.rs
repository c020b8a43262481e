//! The container formats of `torch.save`, from the newest to the oldest, and a bare pickle.

use super::{
    super::file::{Fault, Numbers, size_of},
    Checkpoint, MOST_PICKLE, piece,
    storages::{Archive, Storages},
    tensors::{self, Storage, Tensor, key_text},
};
use crate::pickle::{self, Names, Pickle, Value};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

/// The magic number of files of PyTorch 0.1.10 to 1.5, as a pickled integer: little-endian, and in decimal digits.
const MAGIC: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
const MAGIC_DIGITS: &[u8] = b"119547037146038801333356";

/// Parses a pickle; errors refer to a checkpoint.
fn read(bytes: &[u8]) -> Result<Pickle<'_>, Fault> {
    pickle::read(bytes, Names::Opaque).map_err(|error| content(error.to_string()))
}

fn content(why: String) -> Fault {
    Fault::Content(format!("as a PyTorch checkpoint: {why}"))
}

fn big_endian() -> Fault {
    content("its values are big-endian, which is not supported; save it on a little-endian machine".to_owned())
}

/// A ZIP archive with `data.pkl` and one entry per storage.
pub(super) fn zip(path: &Path) -> Result<Checkpoint, Fault> {
    let mut archive = Archive::open(path)?;
    let damaged = |error: std::io::Error| content(format!("{error}; copy it again"));
    if archive.has("byteorder") && archive.whole("byteorder", 64).map_err(damaged)?.trim_ascii() != b"little" {
        return Err(big_endian());
    }
    let bytes = archive.whole("data.pkl", MOST_PICKLE).map_err(damaged)?;
    let found = tensors::all(&read(&bytes)?, &BTreeMap::new()).map_err(content)?;
    Ok((found, Arc::new(Storages::Zip(archive.into()))))
}

/// Whether a file starts with the magic number, in any pickle protocol.
pub(super) fn is_legacy(head: &[u8]) -> bool {
    let head = &head[..head.len().min(64)];
    [MAGIC, MAGIC_DIGITS].iter().any(|magic| head.windows(magic.len()).any(|window| window == *magic))
}

/// Concatenated pickles (magic number, version, machine, tensors, keys of the storages), then the storages, each with
/// its length and values.
pub(super) fn legacy(path: &Path) -> Result<Checkpoint, Fault> {
    let head = piece(path, 0, MOST_PICKLE)?;
    let mut at = 0;
    let mut next = || {
        let pickle = read(&head[at..])?;
        at += pickle.length;
        Ok::<_, Fault>(pickle)
    };
    let (_magic, version, machine, saved, keys) = (next()?, next()?, next()?, next()?, next()?);
    if version.int(version.root()) != Some(1001) {
        return Err(content(format!("its version is {}, not 1001", version.described(version.root()))));
    }
    check_order(&machine)?;
    let found = tensors::all(&saved, &BTreeMap::new()).map_err(content)?;
    let mut sizes = BTreeMap::new();
    for value in saved.values() {
        if let Value::Outside(key) = *value
            && let Some(Storage { key, kind, .. }) = Storage::of(&saved, key)
        {
            sizes.insert(key, size_of(kind));
        }
    }
    let end = fs::metadata(path)?.len();
    let (mut places, mut at) = (BTreeMap::new(), at as u64);
    let keys_read =
        keys.items(keys.root()).ok_or_else(|| content("the keys of its storages are not a list".to_owned()))?;
    for &key in keys_read {
        let shown = keys.described(key);
        let key = key_text(&keys, key).ok_or_else(|| content(format!("a storage has the key {shown}")))?;
        let size = sizes.get(&key).copied().flatten();
        let size = size.ok_or_else(|| content(format!("storage {shown} holds what is not known here")))?;
        let length = piece(path, at, 8)?;
        let length = <[u8; 8]>::try_from(length).ok().map(u64::from_le_bytes);
        let length =
            length.and_then(|length| length.checked_mul(size)).filter(|length| *length <= end.saturating_sub(at + 8));
        let length = length.ok_or_else(|| content("it ends early; copy it again".to_owned()))?;
        places.insert(key, (at + 8, length));
        at += 8 + length;
    }
    Ok((found, Arc::new(Storages::Places(path.to_owned(), places))))
}

fn check_order(machine: &Pickle) -> Result<(), Fault> {
    let little = machine.get(machine.root(), "little_endian").map(|id| machine.value(id));
    if little == Some(&Value::Bool(false)) { Err(big_endian()) } else { Ok(()) }
}

/// A pickle without storages, and so without tensors.
pub(super) fn bare(path: &Path) -> Result<Checkpoint, Fault> {
    let bytes = piece(path, 0, MOST_PICKLE)?;
    let found = tensors::all(&read(&bytes)?, &BTreeMap::new()).map_err(content)?;
    match found.is_empty() {
        true => Err(content("it is a pickle without tensors".to_owned())),
        false => Ok((found, Arc::new(Storages::Places(path.to_owned(), BTreeMap::new())))),
    }
}

/// A TAR archive of files with pickles followed by values: `storages` (key, device, type; length and values), `tensors`
/// (key, storage, type; shape, strides and offset), and the `pickle` that refers to tensors by their keys.
pub(super) fn tar(path: &Path) -> Result<Checkpoint, Fault> {
    let files = entries(path)?;
    let place = |name: &str| files.get(name).copied().ok_or_else(|| content(format!("the archive has no {name:?}")));
    if let Some(&(at, size)) = files.get("sys_info") {
        check_order(&read(&piece(path, at, size.min(MOST_PICKLE))?)?)?;
    }
    let (places, kinds) = tar_storages(path, place("storages")?)?;
    let (at, size) = place("tensors")?;
    let outside = tar_tensors(&piece(path, at, size.min(MOST_PICKLE))?, &kinds)?;
    let (at, size) = place("pickle")?;
    let bytes = piece(path, at, size.min(MOST_PICKLE))?;
    let found = tensors::all(&read(&bytes)?, &outside).map_err(content)?;
    Ok((found, Arc::new(Storages::Places(path.to_owned(), places))))
}

/// Name, offset and size of the files in a TAR archive.
fn entries(path: &Path) -> Result<BTreeMap<String, (u64, u64)>, Fault> {
    const BLOCK: u64 = 512;
    let (mut files, mut at) = (BTreeMap::new(), 0);
    loop {
        let head = piece(path, at, BLOCK)?;
        if head.len() < BLOCK as usize || head[0] == 0 {
            return Ok(files);
        }
        let text = |range: std::ops::Range<usize>| {
            let field = head[range].split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).trim().to_owned()
        };
        let size = u64::from_str_radix(&text(124..136), 8).ok();
        let end = size.and_then(|size| (at + BLOCK).checked_add(size.checked_next_multiple_of(BLOCK)?));
        let (Some(size), Some(end)) = (size, end) else { return Err(content("the archive is damaged".to_owned())) };
        files.insert(text(0..100).trim_start_matches("./").to_owned(), (at + BLOCK, size));
        at = end;
    }
}

/// Offsets and lengths of the storages, by key.
type Places = BTreeMap<String, (u64, u64)>;
/// The type of each storage.
type Kinds = BTreeMap<String, String>;

fn tar_storages(path: &Path, (mut at, size): (u64, u64)) -> Result<(Places, Kinds), Fault> {
    /// The head of a storage is some hundred bytes.
    const HEAD: u64 = 4096;
    let end = at + size;
    let early = || content("it ends early; copy it again".to_owned());
    let (mut places, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let bytes = piece(path, at, HEAD)?;
    let count = read(&bytes)?;
    at += count.length as u64;
    for _ in 0..count.int(count.root()).unwrap_or(0) {
        let bytes = piece(path, at, HEAD.min(end.saturating_sub(at)))?;
        let head = read(&bytes)?;
        let described = head.items(head.root()).and_then(|items| match *items {
            [key, _, kind] => Some((key_text(&head, key)?, head.name(kind)?.1.to_owned())),
            _ => None,
        });
        let (key, kind) = described.ok_or_else(|| content("a storage is described otherwise".to_owned()))?;
        let size = size_of(&kind).ok_or_else(|| content(format!("a storage is a {kind}")))?;
        let length = bytes[head.length..].first_chunk().copied().map(u64::from_le_bytes);
        at += head.length as u64 + 8;
        let length =
            length.and_then(|length| length.checked_mul(size)).filter(|&length| length <= end.saturating_sub(at));
        let length = length.ok_or_else(early)?;
        places.insert(key.clone(), (at, length));
        kinds.insert(key, kind);
        at += length;
    }
    // Storages that are parts of others: own key, key of the whole, first value, count.
    let bytes = piece(path, at, MOST_PICKLE.min(end.saturating_sub(at)))?;
    let views = read(&bytes)?;
    for &view in views.items(views.root()).unwrap_or_default() {
        let described = views.items(view).and_then(|items| match *items {
            [key, whole, first, count] => {
                let number = |id| views.int(id).and_then(|number| u64::try_from(number).ok());
                Some((key_text(&views, key)?, key_text(&views, whole)?, number(first)?, number(count)?))
            }
            _ => None,
        });
        let (key, whole, first, count) =
            described.ok_or_else(|| content("a storage is described otherwise".to_owned()))?;
        let part = places.get(&whole).zip(kinds.get(&whole)).and_then(|(&(at, length), kind)| {
            let size = size_of(kind)?;
            let (from, part) = (first.checked_mul(size)?, count.checked_mul(size)?);
            (from.checked_add(part)? <= length).then(|| ((at + from, part), kind.clone()))
        });
        let (place, kind) = part.ok_or_else(early)?;
        places.insert(key.clone(), place);
        kinds.insert(key, kind);
    }
    Ok((places, kinds))
}

fn tar_tensors(bytes: &[u8], kinds: &Kinds) -> Result<BTreeMap<String, Tensor>, Fault> {
    let early = || content("it ends early; copy it again".to_owned());
    let count = read(bytes)?;
    let (mut rest, mut found) = (&bytes[count.length..], BTreeMap::new());
    for _ in 0..count.int(count.root()).unwrap_or(0) {
        let head = read(rest)?;
        let keys = head.items(head.root()).and_then(|items| match *items {
            [key, storage, _] => Some((key_text(&head, key)?, key_text(&head, storage)?)),
            _ => None,
        });
        let (key, storage) = keys.ok_or_else(|| content("a tensor is described otherwise".to_owned()))?;
        rest = &rest[head.length..];
        // The number of dimensions (the last four of eight bytes mean nothing), the shape, the strides, the offset.
        let dimensions = rest.first_chunk().copied().map(u32::from_le_bytes).ok_or_else(early)? as usize;
        let length = dimensions.checked_mul(16).and_then(|length| length.checked_add(16));
        let described = length.and_then(|length| rest.get(8..length)).ok_or_else(early)?;
        rest = &rest[8 + described.len()..];
        let numbers: Vec<u64> = described.as_chunks().0.iter().map(|&eight| u64::from_le_bytes(eight)).collect();
        let (shape, others) = numbers.split_at(dimensions);
        let shape = shape.iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>().map_err(|_| early())?;
        let kind = kinds.get(&storage).ok_or_else(|| content(format!("tensor {key} has no storage")))?;
        let numbers = Numbers::of(kind).map_err(|kind| format!("holds {kind}, not floating-point numbers"));
        found.insert(key, Tensor::new(&storage, numbers, others[dimensions], shape, others[..dimensions].to_vec()));
    }
    Ok(found)
}

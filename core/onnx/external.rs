//! External data: values of tensors in a file beside the ONNX file. Read only when they are asked for, and only from the ONNX
//! file's own folder or below it.

use super::{file::open_plain, proto::Tensor};
use std::{
    io::{Read, Seek, SeekFrom},
    path::{Component, Path, PathBuf},
};

/// The bytes of a tensor whose values are outside; `wanted` is how many its shape needs.
///
/// # Errors
/// A place outside the folder, a file that is missing, or too short.
pub(super) fn bytes(folder: &Path, tensor: &Tensor, wanted: u64) -> Result<Vec<u8>, String> {
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("its {key} {text:?} is not a whole number")),
    };
    let location = entry("location").ok_or("says that its values are in another file, but not in which")?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if length.is_some_and(|length| length != wanted) {
        return Err(format!("has {} bytes in {location}, but its shape needs {wanted}", length.unwrap_or_default()));
    }
    let path = inside(folder, location)?;
    let error = |error: std::io::Error| {
        format!("has its values in {location}, which cannot be read ({error}); put it beside the ONNX file")
    };
    let mut file = open_plain(&path).map_err(error)?;
    let size = file.metadata().map_err(error)?.len();
    if offset.checked_add(wanted).is_none_or(|end| end > size) {
        return Err(format!(
            "has {wanted} bytes from byte {offset} of {location} on, but that has only {size}; copy both files again"
        ));
    }
    file.seek(SeekFrom::Start(offset)).map_err(error)?;
    let mut bytes = Vec::with_capacity(wanted as usize);
    file.take(wanted).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// Where a file of external data is: in the folder of the ONNX file, or below it.
pub(super) fn inside(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let outside = || {
        format!(
            "has its values in {location:?}, outside the folder of the ONNX file, which is not read; put that file beside it"
        )
    };
    let relative = Path::new(location);
    if location.is_empty()
        || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(outside());
    }
    let path = folder.join(relative);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A link may lead out of the folder. What does not exist leads nowhere, and is reported when it is opened.
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(real), Ok(folder)) if !real.starts_with(&folder) => Err(outside()),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::Entry;

    fn tensor(entries: &[(&str, &str)]) -> Tensor {
        let entry = |&(key, value): &(&str, &str)| Entry { key: key.to_owned(), value: value.to_owned() };
        Tensor { external_data: entries.iter().map(entry).collect(), ..Tensor::default() }
    }

    #[test]
    fn only_the_folder_of_the_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("secret"), [1; 8]).unwrap();
        std::fs::write(inner.join("w.bin"), [0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        let absolute = folder.path().join("secret").display().to_string();
        for location in ["../secret", "a/../../secret", absolute.as_str(), ""] {
            let error = bytes(&inner, &tensor(&[("location", location)]), 8).unwrap_err();
            assert!(error.contains("outside the folder"), "{location}: {error}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
            assert!(bytes(&inner, &tensor(&[("location", "link")]), 8).unwrap_err().contains("outside the folder"));
            // A pipe would be waited for without end.
            let made = std::process::Command::new("mkfifo").arg(inner.join("pipe")).status();
            assert!(made.unwrap().success());
            assert!(bytes(&inner, &tensor(&[("location", "pipe")]), 8).unwrap_err().contains("not a plain file"));
        }
        let inner_bytes = bytes(&inner, &tensor(&[("location", "w.bin"), ("offset", "2"), ("length", "4")]), 4);
        assert_eq!(inner_bytes.unwrap(), [2, 3, 4, 5]);
    }

    #[test]
    fn sizes_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.bin"), [0; 8]).unwrap();
        for (entries, wanted, says) in [
            (&[("location", "w.bin"), ("length", "4")][..], 8, "its shape needs 8"),
            (&[("location", "w.bin"), ("offset", "4")], 8, "only 8"),
            (&[("location", "w.bin"), ("offset", "18446744073709551615")], 8, "only 8"),
            (&[("location", "w.bin"), ("offset", "-1")], 8, "not a whole number"),
            (&[("location", "no.bin")], 8, "put it beside"),
            (&[], 8, "not in which"),
        ] {
            let error = bytes(folder.path(), &tensor(entries), wanted).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

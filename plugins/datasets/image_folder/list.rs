//! Which classes and images there are.

use limpq_core::train::DatasetError;
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// An image of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Place of its class.
    pub class: u32,
    /// Name of its file.
    pub name: OsString,
    /// Size of its file.
    pub bytes: u64,
}

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The folders in a folder, sorted by name.
pub fn classes(root: &Path) -> Result<Vec<String>, DatasetError> {
    let mut classes = vec![];
    for path in entries(root)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_str().ok_or_else(|| wrong(&path, "its name is no UTF-8"))?;
        classes.push(name.to_owned());
    }
    classes.sort_unstable();
    if classes.len() < 2 {
        let found = format!("it has {} folders; there must be one for each of two or more classes", classes.len());
        return Err(wrong(root, &found));
    }
    Ok(classes)
}

/// The images of the classes, sorted by class and name; of each class the first `limit`, or all if that is 0.
pub fn images(root: &Path, classes: &[String], limit: usize) -> Result<Vec<Image>, DatasetError> {
    let mut all = vec![];
    for (class, name) in (0u32..).zip(classes) {
        let folder = root.join(name);
        let known = |path: &PathBuf| {
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            EXTENSIONS.contains(&extension.as_str())
        };
        let mut paths: Vec<PathBuf> = entries(&folder)?.into_iter().filter(known).collect();
        paths.sort_unstable();
        paths.truncate(if limit == 0 { usize::MAX } else { limit });
        if paths.is_empty() {
            return Err(wrong(
                &folder,
                &format!("this class has no image; they must end in {}", EXTENSIONS.join(", ")),
            ));
        }
        for path in paths {
            let bytes = fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len();
            all.push(Image { class, name: path.file_name().unwrap_or_default().to_owned(), bytes });
        }
    }
    Ok(all)
}

/// What is in a folder, without what is hidden.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>();
    let mut paths = list().map_err(|error| unreadable(folder, error))?;
    paths.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    Ok(paths)
}

fn wrong(path: &Path, why: &str) -> DatasetError {
    DatasetError::Content { path: path.display().to_string(), why: why.to_owned() }
}

/// A file or folder that cannot be read.
pub fn unreadable(path: &Path, error: io::Error) -> DatasetError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            "; set the options `folder`, `train` and `val`: train/CLASS/*.jpg and val/CLASS/*.jpg"
        }
        _ => "",
    };
    DatasetError::Read { path: path.display().to_string(), error, hint: hint.to_owned() }
}

//! Lists classes and images as torchvision's `ImageFolder` does, in its order.
//!
//! A class's images may be in subfolders, at any depth and behind links. They are ordered by folder, then by name, both
//! as text: `a-b/` comes before `a/c/`. Files that are left out are counted and reported.

use limpq_core::train::DatasetError;
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// An image of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Index of its class.
    pub class: u32,
    /// Its file, relative to the folder of its class.
    pub name: PathBuf,
    /// Size of its file.
    pub bytes: u64,
}

/// Extensions that torchvision reads.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];
/// Most folders of a class. More must be links that lead to one another.
const MOST_FOLDERS: usize = 100_000;

/// Entries in a folder of classes that are not images to be read, with the first of each kind.
#[derive(Default)]
pub struct Others(BTreeMap<Other, (usize, PathBuf)>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Other {
    Extension,
    Special,
    BrokenLink,
    Loop,
    Hidden,
    ClassLess,
    NamedLikeImage,
}

impl Others {
    fn add(&mut self, kind: Other, path: PathBuf) {
        self.0.entry(kind).or_insert((0, path)).0 += 1;
    }

    /// In words: the number of each kind, and the first.
    pub fn remarks(&self) -> Vec<String> {
        let remark = |(kind, (count, first)): (&Other, &(usize, PathBuf))| {
            let others = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let what = match kind {
                Other::Extension => {
                    format!("left out, since no image ends so (images end in {}):", EXTENSIONS.join(", "))
                }
                Other::Special => "left out, since it is a pipe, a socket or a device:".to_owned(),
                Other::BrokenLink => "left out, since it is a link to nothing:".to_owned(),
                Other::Loop => "not followed, since it leads back to a folder above it:".to_owned(),
                Other::Hidden => "left out, since its name starts with a dot; torchvision would read it:".to_owned(),
                Other::ClassLess => "left out, since it is not in the folder of a class:".to_owned(),
                Other::NamedLikeImage => "a folder, though named like an image; the images in it are read:".to_owned(),
            };
            format!("{what} {}{others}", first.display())
        };
        self.0.iter().map(remark).collect()
    }
}

/// The folders in a folder, sorted by name.
pub fn classes(root: &Path, others: &mut Others) -> Result<Vec<String>, DatasetError> {
    let mut classes = vec![];
    for path in entries(root, others)? {
        match kind_of(&path)? {
            Kind::Folder => {
                let name = path.file_name().unwrap_or_default().to_str();
                classes.push(name.ok_or_else(|| wrong(&path, "its name is not UTF-8"))?.to_owned());
            }
            Kind::Nothing => others.add(Other::BrokenLink, path),
            _ if is_image(&path) => others.add(Other::ClassLess, path),
            _ => {}
        }
    }
    classes.sort_unstable();
    if classes.len() < 2 {
        let found = format!("it has {} folders; there must be one for each of two or more classes", classes.len());
        return Err(wrong(root, &found));
    }
    Ok(classes)
}

/// The images of the classes, sorted by class, folder and name; only the first `limit` of each class, or all if that is
/// 0.
pub fn images(root: &Path, classes: &[String], limit: usize, others: &mut Others) -> Result<Vec<Image>, DatasetError> {
    let mut all = vec![];
    for (class, name) in (0u32..).zip(classes) {
        let mut images = of_class(&root.join(name), others)?;
        images.truncate(if limit == 0 { usize::MAX } else { limit });
        if images.is_empty() {
            let why = format!("this class has no image; they must end in {}", EXTENSIONS.join(", "));
            return Err(wrong(&root.join(name), &why));
        }
        all.extend(images.into_iter().map(|(name, bytes)| Image { class, name, bytes }));
    }
    Ok(all)
}

/// A folder and the folders above it, with links resolved.
struct Way {
    real: PathBuf,
    above: Option<Rc<Way>>,
}

impl Way {
    fn leads_through(&self, real: &Path) -> bool {
        self.real == real || self.above.as_ref().is_some_and(|above| above.leads_through(real))
    }
}

/// Names and sizes of the files of a class, in order.
fn of_class(folder: &Path, others: &mut Others) -> Result<Vec<(PathBuf, u64)>, DatasetError> {
    let real = fs::canonicalize(folder).map_err(|error| unreadable(folder, error))?;
    let mut todo = VecDeque::from([(PathBuf::new(), Rc::new(Way { real, above: None }))]);
    let mut found: Vec<(PathBuf, Vec<(PathBuf, u64)>)> = vec![];
    while let Some((below, way)) = todo.pop_front() {
        if found.len() == MOST_FOLDERS {
            return Err(wrong(folder, &format!("it has more than {MOST_FOLDERS} folders; do links lead in circles?")));
        }
        let mut files = vec![];
        for path in entries(&folder.join(&below), others)? {
            let name = path.file_name().unwrap_or_default().to_owned();
            match kind_of(&path)? {
                Kind::Folder => {
                    let real = fs::canonicalize(&path).map_err(|error| unreadable(&path, error))?;
                    if way.leads_through(&real) {
                        others.add(Other::Loop, path);
                        continue;
                    }
                    if is_image(&path) {
                        others.add(Other::NamedLikeImage, path);
                    }
                    todo.push_back((below.join(name), Rc::new(Way { real, above: Some(way.clone()) })));
                }
                _ if !is_image(&path) => others.add(Other::Extension, path),
                Kind::File(bytes) => files.push((below.join(name), bytes)),
                Kind::Special => others.add(Other::Special, path),
                Kind::Nothing => others.add(Other::BrokenLink, path),
            }
        }
        files.sort_unstable_by(|(a, _), (b, _)| text(a).cmp(text(b)));
        found.push((below, files));
    }
    found.sort_unstable_by(|(a, _), (b, _)| text(a).cmp(text(b)));
    Ok(found.into_iter().flat_map(|(_, files)| files).collect())
}

/// Names in Python's order. Paths compare component by component, which is another order.
fn text(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

enum Kind {
    File(u64),
    Folder,
    Special,
    /// A link whose target is missing.
    Nothing,
}

/// The target of a path.
fn kind_of(path: &Path) -> Result<Kind, DatasetError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(Kind::Folder),
        Ok(found) if found.is_file() => Ok(Kind::File(found.len())),
        Ok(_) => Ok(Kind::Special),
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied && path.is_symlink() => Ok(Kind::Nothing),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// The entries of a folder, without hidden ones.
fn entries(folder: &Path, others: &mut Others) -> Result<Vec<PathBuf>, DatasetError> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>();
    let mut paths = list().map_err(|error| unreadable(folder, error))?;
    // Sorted, so that the first of each kind does not depend on the disk.
    paths.sort_unstable();
    let (hidden, shown) = paths
        .into_iter()
        .partition(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    let hidden: Vec<PathBuf> = hidden;
    for path in hidden.into_iter().filter(|path| path.is_dir() || is_image(path)) {
        others.add(Other::Hidden, path);
    }
    Ok(shown)
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

#[cfg(test)]
mod tests;

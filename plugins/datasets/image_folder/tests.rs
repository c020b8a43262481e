//! Tests against what Pillow and torchvision make of the same files (tests/golden/images.py).

use super::{
    resize::{Part, Rgb},
    *,
};
use limpq_core::train::{Loader, Pick, Progress};
use serde::Deserialize;
use std::{cell::RefCell, collections::BTreeMap, fs, num::NonZeroUsize};

/// Collects remarks.
#[derive(Default)]
struct Told(RefCell<Vec<String>>);

impl Progress for Told {
    fn start(&self, _: &str, _: usize, _: usize) {}
    fn finish(&self) {}
    fn remark(&self, remark: &str) {
        self.0.borrow_mut().push(remark.to_owned());
    }
}

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, Expected>,
    normalised: Vec<f32>,
    /// Width and height before and after, SHA-256.
    resized: Vec<(usize, usize, usize, usize, String)>,
}

#[derive(Deserialize)]
struct Expected {
    size: [usize; 2],
    rgb: String,
    evaluated: String,
    cropped: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/golden/images.json")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/images")
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Largest and mean difference in grey levels.
fn apart(found: &[u8], expected: &[u8]) -> (u8, f64) {
    assert_eq!(found.len(), expected.len());
    let apart = || found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    (apart().max().unwrap(), apart().map(f64::from).sum::<f64>() / found.len() as f64)
}

#[test]
fn every_kind_of_file_is_decoded_cut_and_resized_as_by_pillow() {
    let golden = golden();
    assert_eq!(golden.files.len(), 15);
    for (name, expected) in golden.files {
        let file = fs::read(root().join(&name)).unwrap();
        let found = decode::rgb(&file, u64::MAX).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!([found.width, found.height], expected.size, "{name}");
        let square = Part { left: 0, top: 0, width: 12, height: 12 };
        let evaluated = crop::middle(&found, 16, 12).picture;
        let cropped = found.resized(Part { left: 5, top: 3, width: 17, height: 11 }, (12, 12), square);
        // PNG is lossless. JPEG decoders differ: zune-jpeg's from libjpeg-turbo's by up to this many levels, most where
        // colour has half the resolution.
        let (most, mean) = if file.starts_with(b"\x89PNG") { (0, 0.0) } else { (8, 0.6) };
        for (step, found, expected) in [
            ("decoded", &found, &expected.rgb),
            ("evaluated", &evaluated, &expected.evaluated),
            ("cropped", &cropped, &expected.cropped),
        ] {
            let apart = apart(&found.pixels, &bytes(expected));
            println!("{name} {step}: {apart:?}");
            assert!(apart.0 <= most && apart.1 <= mean, "{name} {step}: {apart:?} levels apart");
        }
    }
}

#[test]
fn larger_pictures_are_resized_to_the_same_bytes_as_by_pillow() {
    for (width, height, to_width, to_height, sha256) in golden().resized {
        let pixel = |x: usize, y: usize| (0..3).map(move |c| ((7 * x + 13 * y + 29 * c + x * y) % 256) as u8);
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        let picture = Rgb { width, height, pixels };
        let to = Part { left: 0, top: 0, width: to_width, height: to_height };
        let found = hash::of_bytes(&picture.resized(picture.whole(), (to_width, to_height), to).pixels);
        assert_eq!(found, sha256, "{width}x{height} to {to_width}x{to_height}");
    }
}

/// The golden images at 12x12 pixels.
fn small() -> ImageFolder {
    let number = |n| NonZeroU32::new(n).unwrap();
    ImageFolder { folder: root(), size: number(12), resize: number(16), ..ImageFolder::default() }
}

fn error(options: &ImageFolder) -> String {
    options.load().err().unwrap().to_string()
}

fn pixels(samples: &dyn Samples, index: usize, draw: Option<u64>) -> Vec<f32> {
    let mut pixels = vec![f32::NAN; 432];
    samples.image(index, draw, &mut pixels).unwrap();
    pixels
}

#[test]
fn classes_and_images_go_by_name() {
    let data = small().load().unwrap();
    assert_eq!((data.shape.to_string().as_str(), data.classes), ("3x12x12", 2));
    assert_eq!((data.train.len(), data.test.len()), (13, 2));
    let labels: Vec<usize> = (0..13).map(|index| data.train.label(index)).collect();
    assert_eq!(labels, [[0; 5].as_slice(), &[1; 8]].concat());
    assert_eq!([data.test.label(0), data.test.label(1)], [0, 1]);
    // Of cat the fourth of five by name: black_and_white, grey, palette, rgb, rgba.
    for (found, expected) in pixels(&*data.train, 3, None).iter().zip(&golden().normalised) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    let few = ImageFolder { limit: 2, val_limit: 1, ..small() }.load().unwrap();
    let labels: Vec<usize> = (0..few.train.len()).map(|index| few.train.label(index)).collect();
    assert_eq!((labels, few.test.len()), (vec![0, 0, 1, 1], 2));
}

#[test]
fn draws_change_an_image_and_mirror_half() {
    let data = small().load().unwrap();
    let drawn = |draw| pixels(&*data.train, 3, Some(draw));
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let picture = decode::rgb(&fs::read(root().join("train/cat/rgb.png")).unwrap(), u64::MAX).unwrap();
    for draw in 0..20 {
        let View { picture, flip } = crop::random(&picture, 12, draw);
        let normal = normal(small().mean, small().deviation);
        // Row 2, column 3, green.
        let column = if flip { 8 } else { 3 };
        let expected = normal[1][usize::from(picture.pixels[3 * (2 * 12 + column) + 1])];
        assert_eq!(drawn(draw)[144 + 2 * 12 + 3], expected, "mirrored: {flip}");
    }
}

/// A copy of the golden images that a test can damage.
fn copy() -> (tempfile::TempDir, ImageFolder) {
    let folder = tempfile::tempdir().unwrap();
    for name in golden().files.keys() {
        let to = folder.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root().join(name), to).unwrap();
    }
    let options = ImageFolder { folder: folder.path().to_owned(), ..small() };
    (folder, options)
}

#[test]
fn missing_folders_and_classes_are_named() {
    let missing = error(&ImageFolder { folder: "/nowhere".into(), ..small() });
    assert!(missing.starts_with("cannot read /nowhere/train: "), "{missing}");
    assert!(missing.contains("train/CLASS/*.jpg"), "{missing}");
    let (folder, options) = copy();
    fs::create_dir(folder.path().join("train/eel")).unwrap();
    let empty = error(&options);
    assert!(empty.contains("train/eel: this class has no image; they must end in jpg, jpeg, png, ppm, bmp"), "{empty}");
    fs::write(folder.path().join("train/eel/notes.txt"), "").unwrap();
    assert!(error(&options).contains("train/eel: this class has no image"));
    fs::rename(folder.path().join("train/eel"), folder.path().join("val/eel")).unwrap();
    let unknown = error(&options);
    assert!(unknown.contains("val/eel: there is no such class in ") && unknown.contains("/train"), "{unknown}");
    fs::remove_dir_all(folder.path().join("val/eel")).unwrap();
    fs::remove_dir_all(folder.path().join("val/dog")).unwrap();
    assert!(error(&options).contains("has 1 folders; there must be one for each of two or more classes"));
    fs::create_dir(folder.path().join("val/.dog")).unwrap();
    assert!(error(&options).contains("has 1 folders"), "hidden folders are no classes");
    fs::create_dir_all(folder.path().join("train/ant")).unwrap();
    fs::copy(root().join("train/cat/rgb.png"), folder.path().join("train/ant/a.png")).unwrap();
    fs::rename(folder.path().join("val/.dog"), folder.path().join("val/ant")).unwrap();
    fs::copy(root().join("train/cat/rgb.png"), folder.path().join("val/ant/a.png")).unwrap();
    let missing = error(&options);
    assert!(missing.contains("val/dog: this class of ") && missing.contains("is missing"), "{missing}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let number = |n| NonZeroU32::new(n).unwrap();
    let resize = error(&ImageFolder { resize: number(11), ..small() });
    assert_eq!(resize, "[dataset] resize: must be at least size, 12, to crop it; got 11");
    let deviation = error(&ImageFolder { deviation: [1.0, 0.0, 1.0], ..small() });
    assert_eq!(deviation, "[dataset] deviation: must be positive numbers, got 0");
}

#[test]
fn an_image_that_cannot_be_decoded_stops_or_is_left_out() {
    let (folder, options) = copy();
    // By name: cmyk.jpg is image 5, grey16.png image 6, photo_420.jpg image 8.
    let spoil = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let path = folder.path().join("train/dog").join(name);
        fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    };
    spoil("cmyk.jpg", &|_| vec![]);
    spoil("grey16.png", &|file| file[..file.len() - 30].to_vec());
    spoil("photo_420.jpg", &|file| file[..file.len() * 2 / 3].to_vec());
    let data = options.load().unwrap();
    let mut out = vec![0.0; 432];
    for (index, name, why) in
        [(5, "cmyk.jpg", "it is empty"), (6, "grey16.png", "as PNG: "), (8, "photo_420.jpg", "as JPEG: it ends early")]
    {
        let error = data.train.image(index, None, &mut out).unwrap_err().to_string();
        assert!(error.contains(&format!("train/dog/{name}: {why}")), "{error}");
        assert!(error.ends_with("replace or remove it, or set unreadable = \"skip\" in [dataset]"), "{error}");
    }
    assert!(data.train.image(7, None, &mut out).is_ok());
    let data = ImageFolder { unreadable: Unreadable::Skip, ..options }.load().unwrap();
    let error = data.train.image(5, Some(1), &mut out).unwrap_err();
    assert!(matches!(&error, DatasetError::LeftOut { path, .. } if path.ends_with("cmyk.jpg")), "{error}");
    // Each is reported once to whoever loads batches.
    let told = Told::default();
    let [one, picks] = [NonZeroUsize::MIN, NonZeroUsize::new(4).unwrap()];
    let epoch = || {
        let images = Pick::plain(&(0..data.train.len()).collect::<Vec<_>>());
        let loader = Loader::new(data.train.clone(), 432, images, picks, one).telling(&told);
        loader.map(|batch| batch.unwrap().labels.len()).sum::<usize>()
    };
    assert_eq!([epoch(), epoch()], [data.train.len() - 3; 2]);
    let mut told = told.0.into_inner();
    told.sort();
    let starts =
        ["cmyk.jpg is left out: it is empty", "grey16.png is left out: as PNG", "photo_420.jpg is left out: as JPEG"];
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().zip(starts).all(|(told, said)| told.contains(said)), "{told:?}");
    fs::remove_file(folder.path().join("train/dog/cmyk.jpg")).unwrap();
    let error = data.train.image(5, None, &mut out).unwrap_err();
    assert!(matches!(error, DatasetError::Read { .. }), "a file that went away is no image to leave out: {error}");
}

#[test]
fn the_identity_is_names_sizes_and_options() {
    let (folder, options) = copy();
    let identity = |options: &ImageFolder| options.load().unwrap().train.identity(432).unwrap();
    let plain = identity(&options);
    assert_eq!(identity(&ImageFolder { folder: root(), ..options.clone() }), plain, "where it is does not matter");
    assert_ne!(identity(&ImageFolder { resize: NonZeroU32::new(17).unwrap(), ..options.clone() }), plain);
    let path = folder.path().join("train/cat/rgb.png");
    fs::write(&path, [fs::read(&path).unwrap(), vec![0]].concat()).unwrap();
    let longer = identity(&options);
    assert_ne!(longer, plain);
    fs::rename(&path, folder.path().join("train/cat/other.png")).unwrap();
    assert_ne!(identity(&options), longer);
}

//! The four IDX files of a data set: the input is what stands for the training images, and for their labels behind the first
//! `#`. Both are also gzipped if they are so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpq_core::train::Dataset;
use limpq_plugins::datasets::Idx;

fuzz_target!(|bytes: &[u8]| {
    let (images, labels) = bytes.split_at(bytes.iter().position(|&byte| byte == b'#').unwrap_or(bytes.len()));
    let folder = tempfile::tempdir().expect("a folder");
    let end = |file: &[u8]| if file.starts_with(&[0x1f, 0x8b]) { ".gz" } else { "" };
    let labels = labels.get(1..).unwrap_or_default();
    for (name, file) in [("images", images), ("labels", labels)] {
        std::fs::write(folder.path().join(format!("{name}{}", end(file))), file).expect("a file");
    }
    let idx = Idx {
        folder: folder.path().to_owned(),
        train_images: "images".into(),
        train_labels: "labels".into(),
        test_images: "images".into(),
        test_labels: "labels".into(),
        ..Idx::default()
    };
    if let Ok(data) = idx.load() {
        let mut pixels = vec![0.0; data.shape.elements()];
        assert!((0..data.train.len()).all(|index| data.train.label(index) < data.classes));
        data.train.image(data.train.len() - 1, Some(1), &mut pixels).expect("it is in memory");
    }
});

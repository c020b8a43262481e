//! Data sets through the program: what it says of them, and images that cannot be read.

use crate::{
    fixtures::limpq,
    runs::{go, tiny},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A BMP of 8x8 pixels of one colour.
fn picture(colour: u8) -> Vec<u8> {
    let header = [&b"BM"[..], &[0; 8], &54u32.to_le_bytes(), &40u32.to_le_bytes(), &8u32.to_le_bytes()].concat();
    let rest = [&8u32.to_le_bytes()[..], &[1, 0, 24, 0], &[0; 24], &[colour; 192]].concat();
    [header, rest].concat()
}

/// Images of two classes: so many for training and for evaluation, the first ones of those `readable`.
fn folder(root: &Path, train: (usize, usize), val: (usize, usize)) {
    for (part, (count, readable)) in [("train", train), ("val", val)] {
        for index in 0..count {
            let class = if 2 * index < count { "dark" } else { "light" };
            let path = root.join(part).join(class);
            fs::create_dir_all(&path).unwrap();
            let colour = if class == "dark" { 20 } else { 200 } + (index % 40) as u8;
            let bytes = if index < readable { picture(colour) } else { vec![] };
            fs::write(path.join(format!("{index:04}.bmp")), bytes).unwrap();
        }
    }
}

/// Settings of the tiny experiment for that folder.
fn settings(root: &Path) -> Vec<String> {
    let folder = format!(
        "dataset={{ name = \"image_folder\", folder = {root:?}, size = 8, resize = 8, unreadable = \"skip\" }}"
    );
    vec![folder, "sensitivity.name=random".to_owned(), "pretrain.epochs=1".to_owned(), "finetune.epochs=1".to_owned()]
}

/// 257 images are a batch of 256 and one of the last alone; of the training images whole batches are unreadable.
#[test]
fn batches_of_unreadable_images_end_no_run() {
    let (home, images) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folder(images.path(), (128, 70), (257, 256));
    let run = |name: &str, more: &[&str]| {
        let mut sets = settings(images.path());
        sets.extend(more.iter().map(|&set| set.to_owned()));
        let config = tiny(&sets.iter().map(String::as_str).collect::<Vec<_>>());
        (
            go(&config, &home.path().join(name)).0,
            fs::read(home.path().join(name).join("pretrained.safetensors")).unwrap(),
        )
    };
    let batches = ["pretrain.batch_size=2", "finetune.batch_size=2", "indicators.batch_size=2"];
    let (summary, weights) = run("one", &[&batches[..], &["split.workers=1"]].concat());
    assert!(summary.networks.iter().all(|network| network.score.images == 256 && network.score.loss.is_finite()));
    let (again, same) = run("three", &[&batches[..], &["split.workers=3"]].concat());
    assert_eq!(again.networks, summary.networks, "whatever the number of workers");
    assert!(same == weights);
}

fn check(config: &Path) -> String {
    let output = limpq().arg("check").arg(config).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

fn config(root: &Path, dataset: &str) -> PathBuf {
    let path = root.join("config.toml");
    let text = tiny(&[format!("dataset={dataset}").as_str(), "device=flex"]).to_toml();
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn check_says_what_of_a_folder_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let images = home.path().join("images");
    folder(&images, (4, 4), (4, 4));
    fs::write(images.join("train/dark/thumbs.db"), "").unwrap();
    fs::write(images.join("val/light/deep.pgm"), b"P5 2 2 1000\n\0\x01\0\x02\0\x03\0\x04").unwrap();
    let dataset = format!("{{ name = \"image_folder\", folder = {images:?}, size = 8, resize = 8 }}");
    let said = check(&config(home.path(), &dataset));
    assert!(said.contains("# data: 4 training and 5 test images of 3x8x8, 2 classes"), "{said}");
    assert!(said.contains("# note: left out, since no image ends so") && said.contains("thumbs.db"), "{said}");
    assert!(said.contains("# note: 1 of 5 images looked at hold grey of more than 8 bits"), "{said}");
}

/// As EMNIST's letters, whose labels are 1 to 26.
#[test]
fn check_names_classes_without_images() {
    let home = tempfile::tempdir().unwrap();
    let idx = |magic: u32, sizes: &[u32], items: &[u8]| {
        let words = [&[magic], sizes].concat();
        [&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()[..], items].concat()
    };
    for part in ["train", "t10k"] {
        let write = |name: &str, bytes: Vec<u8>| fs::write(home.path().join(format!("{part}-{name}")), bytes).unwrap();
        write("images-idx3-ubyte", idx(0x803, &[3, 8, 8], &[9; 192]));
        write("labels-idx1-ubyte", idx(0x801, &[3], &[1, 2, 3]));
    }
    let said = check(&config(home.path(), &format!("{{ name = \"idx\", folder = {:?} }}", home.path())));
    assert!(said.contains("# note: no training image is of class 0; there are images of 3 of the 4 classes"), "{said}");
}

#[test]
fn channels_that_come_last_are_refused() {
    let refused = limpq().args(["profile", "resnet20", "--input", "32x32x3"]).assert().failure();
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(said.contains("channels come first") && said.contains("write 3x32x32"), "{said}");
}

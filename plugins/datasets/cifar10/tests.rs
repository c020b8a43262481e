//! Tests of both layouts on the files that tests/golden/cifar10.py wrote.

use super::*;
use std::fs;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/cifar10")
}

fn load(folder: &Path) -> Result<Data, DatasetError> {
    Cifar10 { folder: folder.to_owned(), ..Cifar10::default() }.load()
}

fn error(folder: &Path) -> String {
    load(folder).err().unwrap().to_string()
}

/// Pixel `p` of image `i` as the script has it.
fn pixel(i: usize, p: usize) -> u8 {
    ((7 * i + p + p / 1024) % 251) as u8
}

/// A copy of one layout that can be spoilt.
fn copy(layout: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join(layout)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn both_layouts_hold_the_same_images() {
    let mut means = vec![];
    for layout in ["cifar-10-batches-bin", "cifar-10-batches-py"] {
        let data = load(&golden().join(layout)).unwrap();
        assert_eq!((data.shape.to_string().as_str(), data.classes), ("3x32x32", 10));
        assert_eq!((data.train.len(), data.test.len()), (10, 3));
        let samples = |i| if i < 10 { (&data.train, i) } else { (&data.test, i - 10) };
        let channels: Vec<Vec<u8>> =
            (0..3).map(|c| (0..10).flat_map(|i| (0..1024).map(move |p| pixel(i, 1024 * c + p))).collect()).collect();
        for i in 0..13 {
            let (set, index) = samples(i);
            assert_eq!(set.label(index), (3 * i + 1) % 10, "{layout}");
            let mut pixels = vec![0.0; PIXELS];
            set.image(index, None, &mut pixels).unwrap();
            for (p, found) in pixels.iter().enumerate() {
                let channel = &channels[p / 1024];
                let mean = channel.iter().map(|&p| f64::from(p)).sum::<f64>() / 10240.0;
                if p % 511 == 0 {
                    let squares = channel.iter().map(|&p| (f64::from(p) - mean).powi(2)).sum::<f64>();
                    let expected = (f64::from(pixel(i, p)) - mean) / (squares / 10240.0).sqrt();
                    assert!((f64::from(*found) - expected).abs() < 1e-5, "{layout}: {found} {expected}");
                }
            }
        }
        means.push(data.train.identity(PIXELS).unwrap());
    }
    assert_eq!(means[0], means[1], "to the last bit");
}

#[test]
fn training_images_are_augmented_unless_it_is_off() {
    let changed = |cifar: Cifar10| {
        let data = Cifar10 { folder: golden(), ..cifar }.load().unwrap();
        let (mut plain, mut drawn) = (vec![0.0; PIXELS], vec![0.0; PIXELS]);
        data.train.image(3, None, &mut plain).unwrap();
        data.train.image(3, Some(1), &mut drawn).unwrap();
        plain != drawn
    };
    assert!(changed(Cifar10::default()));
    assert!(!changed(Cifar10 { crop_padding: 0, flip: false, ..Cifar10::default() }));
}

#[test]
fn the_folder_above_will_do_and_a_missing_one_says_what_to_unpack() {
    assert_eq!(load(&golden()).unwrap().train.len(), 10);
    let missing = error(Path::new("/nowhere"));
    assert!(missing.starts_with("cannot read /nowhere/data_batch_1.bin: "), "{missing}");
    assert!(missing.contains("cifar-10-binary.tar.gz") && missing.contains("option `folder`"), "{missing}");
}

#[test]
fn a_missing_file_is_named() {
    for (layout, name) in [("cifar-10-batches-bin", "data_batch_4.bin"), ("cifar-10-batches-py", "test_batch")] {
        let folder = copy(layout);
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = error(folder.path());
        assert!(error.contains(&format!("/{name}: ")) && error.contains("unpack the archive again"), "{error}");
    }
}

#[test]
fn spoilt_records_are_refused() {
    let folder = copy("cifar-10-batches-bin");
    let path = folder.path().join("data_batch_2.bin");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 3072, 6145] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = error(folder.path());
        assert!(error.contains(&format!("data_batch_2.bin: it is {length} bytes long")), "{error}");
    }
    let mut wrong = bytes;
    wrong[3073] = 10;
    fs::write(&path, wrong).unwrap();
    let error = error(folder.path());
    assert!(error.ends_with("image 1 (from 0) has class 10; CIFAR-10 has 0 to 9"), "{error}");
}

#[test]
fn spoilt_pickles_are_refused() {
    let folder = copy("cifar-10-batches-py");
    let path = folder.path().join("data_batch_1");
    let bytes = fs::read(&path).unwrap();
    let with = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).expect("it is in the file");
        fs::write(&path, [&bytes[..at], to, &bytes[at + from.len()..]].concat()).unwrap();
        error(folder.path())
    };
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(folder.path()).contains("data_batch_1: no pickle of CIFAR-10: "));
    fs::write(&path, b"\x80\x02](K\x01K\x02e.").unwrap();
    assert!(error(folder.path()).ends_with("it holds no dict"));
    // `U` and a length stand before a text of Python 2, `K` before a small number, `M` before one of two bytes.
    let missing = with(b"U\x06labels", b"U\x06lebals");
    assert!(missing.ends_with("the dict in it has no key \"labels\""), "{missing}");
    let hundred = with(b"U\x06labels", b"U\x0bfine_labels");
    assert!(hundred.ends_with("the dict in it has no key \"labels\"; this is CIFAR-100"), "{hundred}");
    let rows = with(b"K\x02M\x00\x0c", b"K\x03M\x00\x0c");
    assert!(rows.contains("with rows of 3072, but it is 3 x 3072 in 6144 bytes"), "{rows}");
    let columns = with(b"K\x02M\x00\x0c", b"M\x00\x0cK\x02");
    assert!(columns.contains("but it is 3072 x 2 in 6144 bytes"), "{columns}");
    let dtype = with(b"U\x02u1", b"U\x02i1");
    assert!(dtype.ends_with("but its numbers are \"i1\""), "{dtype}");
    let class = with(b"(K\x01K\x04e", b"(K\x01K\x0ae");
    assert!(class.ends_with("image 1 (from 0) has class 10; CIFAR-10 has 0 to 9"), "{class}");
    let count = with(b"(K\x01K\x04e", b"(K\x01e");
    assert!(count.contains("it has 1 labels for 2 images"), "{count}");
}

/// Values in one another as often as bytes fit into a file; they would fill stack and memory if they were copied out.
#[test]
fn hostile_pickles_are_refused() {
    let folder = copy("cifar-10-batches-py");
    let path = folder.path().join("data_batch_1");
    let nested = [b"}(U\x06labels".to_vec(), vec![b'N'], vec![0x85; 1_000_000], b"U\x04dataNu.".to_vec()].concat();
    fs::write(&path, nested).unwrap();
    let labels = error(folder.path());
    assert!(labels.ends_with("\"labels\" must be a list, but is a tuple of 1"), "{labels}");
    fs::write(&path, [vec![b']'; 5_000_000], vec![b'.']].concat()).unwrap();
    let many = error(folder.path());
    assert!(
        many.ends_with("no pickle of CIFAR-10: it holds more than 4194304 values, the most that is read"),
        "{many}"
    );
    let digits = [b"}(U\x06labels](L".to_vec(), vec![b'7'; 1_000_000], b"L\neU\x04dataNu.".to_vec()].concat();
    fs::write(&path, digits).unwrap();
    let digits = error(folder.path());
    assert!(
        digits.ends_with("\"labels\" has a number of more than 64 bits in it, which is no whole number"),
        "{digits}"
    );
}

/// As `image_folder` and `idx`: a pipe is waited for without end, a device has none.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    let folder = copy("cifar-10-batches-bin");
    let path = folder.path().join("data_batch_3.bin");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let error = error(folder.path());
    assert!(error.contains("data_batch_3.bin: it is not a regular file but a pipe, a socket or a device"), "{error}");
}

//! Files that PyTorch does not write, made to exhaust memory, stack or time. `tests/weights.rs` reads PyTorch's own.

use super::super::{file, names};
use std::{
    io::{Cursor, Write},
    path::Path,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A text of a pickle.
fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A whole number.
fn int(number: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &number.to_le_bytes()].concat()
}

fn tuple(items: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), items.iter().flat_map(|&item| int(item)).collect(), b"t".to_vec()].concat()
}

/// A tensor of floats in storage 0, which claims to hold `count`.
fn tensor(offset: i64, shape: &[i64], strides: &[i64], length: i64) -> Vec<u8> {
    let storage =
        [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), int(length)];
    let of = [int(offset), tuple(shape), tuple(strides), b"\x89)tR".to_vec()].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(), storage.concat(), b"tQ".to_vec(), of].concat()
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(".to_vec(), pairs, b"u".to_vec()].concat()
}

/// An archive with this pickle and this storage 0.
fn archive(pickle: &[u8], storage: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in [("a/data.pkl", &[b"\x80\x02", pickle, b"."].concat()[..]), ("a/data/0", storage)] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn with<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    std::fs::write(&path, content).unwrap();
    read(&path)
}

fn values(content: &[u8], name: &str) -> Result<Vec<f32>, String> {
    with(content, |path| {
        let entries = file::open(path, "FILE").map_err(|error| error.to_string())?;
        entries.get(name).ok_or("not there")?.values()
    })
}

fn floats(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

#[test]
fn views_of_a_storage_are_read() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let of = |tensor: Vec<u8>| values(&archive(&dict(&[("w", tensor)]), &floats(12), method), "w").unwrap();
        assert_eq!(of(tensor(2, &[2, 2], &[2, 1], 12)), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(of(tensor(1, &[2, 3], &[1, 4], 12)), [1.0, 5.0, 9.0, 2.0, 6.0, 10.0]);
        assert_eq!(of(tensor(3, &[2, 2], &[0, 1], 12)), [3.0, 4.0, 3.0, 4.0], "expanded");
        assert_eq!(of(tensor(11, &[], &[], 12)), [11.0]);
        assert!(of(tensor(0, &[0, 5], &[5, 1], 12)).is_empty());
    }
}

#[test]
fn shapes_beyond_the_file_are_refused() {
    let of = |tensor: Vec<u8>| {
        let content = archive(&dict(&[("w", tensor)]), &floats(12), CompressionMethod::Stored);
        values(&content, "w").unwrap_err()
    };
    let many = 1 << 40;
    assert!(of(tensor(0, &[many], &[1], many)).contains("a/data/0 has 48 bytes"));
    assert!(of(tensor(many, &[2], &[1], many)).contains("a/data/0 has 48 bytes"));
    assert!(of(tensor(0, &[many, many], &[many, 1], many)).contains("reach beyond any file"));
    assert!(of(tensor(i64::MAX, &[2], &[i64::MAX], many)).contains("reach beyond any file"));
    assert!(of(tensor(0, &[many], &[0], 12)).contains("a view of more than 1 GiB"));
    assert!(of(tensor(0, &[2, 2], &[many, 2], 12)).contains("a view of more than 1 GiB"));
    assert!(of(tensor(0, &[-1], &[1], 12)).contains("makes no sense"));
    assert!(of(tensor(0, &[2], &[1, 1], 12)).contains("makes no sense"));
}

#[test]
fn entries_that_swell_are_refused() {
    let zeros = vec![0; 80 << 20];
    let content = archive(&dict(&[("w", tensor(0, &[20 << 20], &[1], 20 << 20))]), &zeros, CompressionMethod::Deflated);
    let error = values(&content, "w").unwrap_err();
    assert!(
        error.contains("a/data/0 grows from ") && error.ends_with("to 83886080 bytes, which no weights do"),
        "{error}"
    );
    let pickle = [b"N0".repeat(51 << 20), b"}".to_vec()].concat();
    let error = values(&archive(&pickle, &[], CompressionMethod::Deflated), "w").unwrap_err();
    assert!(error.contains("a/data.pkl in it has") || error.contains("data.pkl in it has"), "{error}");
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let mut content = archive(&dict(&[("w", tensor(0, &[3], &[1], 3))]), &floats(3), CompressionMethod::Stored);
    let at = content.windows(12).position(|window| window == floats(3)).unwrap();
    content[at] ^= 1;
    let error = values(&content, "w").unwrap_err();
    assert!(error.contains("cannot be read") && error.to_lowercase().contains("checksum"), "{error}");
}

#[test]
fn what_holds_itself_is_passed_over_or_refused() {
    let good = tensor(0, &[3], &[1], 3);
    // Nested lists, a million deep, besides the weights.
    let deep = [vec![b']'; 1_000_000], vec![b'a'; 999_999]].concat();
    let content = archive(&dict(&[("deep", deep), ("w", good.clone())]), &floats(3), CompressionMethod::Stored);
    assert_eq!(values(&content, "w").unwrap(), [0.0, 1.0, 2.0]);
    // Forty lists that each contain the next one twice.
    let mut doubling = b"]".to_vec();
    for _ in 0..40 {
        doubling.extend(b"q\x000](h\x00h\x00e");
    }
    let content = archive(&dict(&[("twice", doubling), ("w", good.clone())]), &floats(3), CompressionMethod::Stored);
    assert!(values(&content, "w").unwrap_err().contains("hold each other over and over"));
    // A thousand names for each of a thousand tensors, and again.
    let keys = |value: &[u8]| -> Vec<u8> {
        let pairs: Vec<u8> = (0..1000).flat_map(|key| [int(key), value.to_vec()].concat()).collect();
        [b"}(".to_vec(), pairs, b"u".to_vec()].concat()
    };
    let shared = [good, b"q\x010".to_vec(), keys(b"h\x01"), b"q\x020".to_vec(), keys(b"h\x02")].concat();
    let error = values(&archive(&shared, &floats(3), CompressionMethod::Stored), "w").unwrap_err();
    assert!(error.contains("more than 100000 tensors"), "{error}");
    let many = archive(&[b"]0".repeat(2_200_000), b"}".to_vec()].concat(), &[], CompressionMethod::Stored);
    assert!(values(&many, "w").unwrap_err().contains("it holds more than 4194304 values"));
}

#[test]
fn what_is_no_tensor_is_passed_over() {
    let quantized = b"ctorch._utils\n_rebuild_qtensor\n)R".to_vec();
    let pickle = dict(&[("n", b"N".to_vec()), ("q", quantized), ("w", tensor(0, &[3], &[1], 3))]);
    let content = archive(&pickle, &floats(3), CompressionMethod::Stored);
    assert_eq!(values(&content, "w").unwrap(), [0.0, 1.0, 2.0]);
    assert_eq!(values(&content, "n").unwrap_err(), "not there");
    let kind = "is of a kind that is not read here (torch._utils._rebuild_qtensor)";
    assert_eq!(values(&content, "q").unwrap_err(), kind);
}

#[test]
fn hostile_safetensors_are_refused() {
    let of =
        |length: u64, header: &str| values(&[&length.to_le_bytes()[..], header.as_bytes()].concat(), "w").unwrap_err();
    assert!(of(u64::MAX, "{").contains("its header has 18446744073709551615 bytes, and only 1 follow"));
    let large = format!("{{{}", " ".repeat(17 << 20));
    assert!(of(large.len() as u64, &large).contains("its header is larger than 16 MiB"));
    let deep = format!("{{\"w\":{}", "[".repeat(100_000));
    assert!(of(deep.len() as u64, &deep).contains("more than 127 levels deep"));
    let huge = r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}    "#;
    assert!(of(huge.len() as u64, huge).contains("as safetensors: "));
    let short = r#"{"w":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}"#;
    assert!(of(short.len() as u64, short).contains("its tensors have 4000 bytes, but 0 follow the header"));
}

#[test]
fn a_hundred_thousand_keys_are_looked_through_once() {
    let all: names::Shapes = (0..100_000).map(|i| (format!("k{i}.w"), vec![1])).collect();
    let wanted: names::Shapes = [("w".to_owned(), vec![2])].into();
    assert_eq!(names::hint(&all, &wanted, &[]), "");
}

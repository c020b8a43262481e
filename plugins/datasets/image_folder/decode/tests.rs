//! Tests against what Pillow makes of the same files (tests/golden/decoded.py), and of files that are not what they say.

use super::*;
use limpq_core::store::hash;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

const MOST: u64 = 178_956_970;

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, Expected>,
    /// Width and height before and after, SHA-256.
    resized: Vec<(usize, usize, usize, usize, String)>,
}

#[derive(Deserialize)]
struct Expected {
    size: [usize; 2],
    sha256: Option<String>,
    rgb: Option<String>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../../tests/golden/decoded.json")).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/decoded").join(name)).unwrap()
}

#[test]
fn every_kind_of_file_has_the_pixels_that_pillow_gives_it() {
    let files = golden().files;
    assert_eq!(files.len(), 114);
    for (name, expected) in files {
        let found = rgb(&file(&name), MOST).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!([found.width, found.height], expected.size, "{name}");
        match (expected.sha256, expected.rgb) {
            (Some(sha256), _) => assert_eq!(hash::of_bytes(&found.pixels), sha256, "{name}"),
            (None, hex) => {
                let hex = hex.unwrap();
                let bytes = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap());
                let most = found.pixels.iter().zip(bytes).map(|(a, b)| a.abs_diff(b)).max();
                // Decoders of JPEG may differ; those with colour at half the resolution do most.
                assert!(most.unwrap() <= 8, "{name}: {most:?} levels apart");
            }
        }
    }
}

/// Pillow 13.0 takes the rows of some tall pictures first, which gives a level more or less here and there.
#[test]
fn tall_pictures_are_resized_as_by_pillow_before_13() {
    use crate::datasets::image_folder::resize::Part;
    for (width, height, to_width, to_height, sha256) in golden().resized {
        let pixel = |x: usize, y: usize| (0..3).map(move |c| ((7 * x + 13 * y + 29 * c + x * y) % 256) as u8);
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        let picture = Rgb { width, height, pixels };
        let to = Part { left: 0, top: 0, width: to_width, height: to_height };
        let found = picture.resized(picture.whole(), (to_width, to_height), to);
        assert_eq!(hash::of_bytes(&found.pixels), sha256, "{width}x{height} to {to_width}x{to_height}");
    }
}

/// A file with other bytes from some place on.
fn with(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file(name);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// CVE-2019-16865 and others of Pillow: a few bytes whose header says that there are 3.6 billion pixels.
#[test]
fn sizes_are_checked_before_there_is_memory_for_them() {
    let jpeg = file("photo_progressive.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc2]).unwrap();
    let mut bombs = vec![with("photo_progressive.jpg", frame + 5, &[0xea, 0x60, 0xea, 0x60])];
    let mut png = with("two_bits.png", 16, &[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(&png[12..29]);
        crc.sum()
    };
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    bombs.push(png);
    bombs.push(with("rgb.bmp", 18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]));
    bombs.push(with("runs8.bmp", 18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]));
    bombs.extend(
        ["P6 60000 60000 255\n", "P1 60000 60000\n", "P2 60000 60000 9\n1"].map(|text| text.as_bytes().to_vec()),
    );
    let tiff = file("tiles.tif");
    let field = |tag: u16| tiff.windows(4).position(|bytes| bytes == [tag as u8, (tag >> 8) as u8, 3, 0]).unwrap() + 8;
    let mut large = with("tiles.tif", field(256), &[0x60, 0xea]);
    large[field(257)..field(257) + 2].copy_from_slice(&[0x60, 0xea]);
    bombs.push(large);
    for bomb in bombs {
        let error = rgb(&bomb, MOST).unwrap_err();
        assert!(error.contains("60000 x 60000 pixels, more than [dataset] max_pixels = 178956970"), "{error}");
    }
    // A small picture in large tiles, and the largest picture that WebP can say.
    let mut tiles = with("tiles.tif", field(322), &[0x60, 0xea]);
    tiles[field(323)..field(323) + 2].copy_from_slice(&[0x60, 0xea]);
    assert!(rgb(&tiles, MOST).unwrap_err().contains("more than [dataset] max_pixels"));
    let mut webp = file("rgb_lossless.webp");
    let start = webp.windows(4).position(|bytes| bytes == b"VP8L").unwrap() + 9;
    webp[start..start + 4].copy_from_slice(&[0xfe, 0xbf, 0xff, 0x0f]);
    let error = rgb(&webp, MOST).unwrap_err();
    assert!(error.contains("16383 x 16383 pixels, more than"), "{error}");
    // Below the limit, but too few bytes for any JPEG of that size.
    let small = with("photo_progressive.jpg", frame + 5, &[0x30, 0, 0x30, 0]);
    assert!(rgb(&small, MOST).unwrap_err().contains("are too few for 12288 x 12288 pixels"));
    assert!(rgb(&file("rgb.bmp"), 23 * 19).is_ok() && rgb(&file("rgb.bmp"), 23 * 19 - 1).is_err());
}

#[test]
fn files_that_end_early_are_refused() {
    for name in golden().files.keys() {
        let whole = file(name);
        for length in [whole.len() * 2 / 3, whole.len() / 2, 20, 3] {
            // Of some files the end holds no pixels.
            let holds_pixels = length < whole.len() / 2 + 1 && !name.starts_with("moving") && name != "two.tif";
            let found = rgb(&whole[..length], MOST);
            assert!(found.is_err() || !holds_pixels, "{length} bytes of {name}");
        }
    }
    assert_eq!(rgb(&[], MOST).unwrap_err(), "it is empty");
}

#[test]
fn what_is_not_read_is_named() {
    for (bytes, what) in [
        (b"GIF89a".as_slice(), "a GIF"),
        (b"\0\0\0\x20ftypavif", "an AVIF image"),
        (b"\0\0\0\x20ftypheic", "a HEIC image"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
        (b"<!DOCTYPE html>", "such as a web page"),
        (b"version https://git-lfs", "unknown"),
    ] {
        let error = rgb(bytes, MOST).unwrap_err();
        assert!(
            error.contains(what) && error.contains("JPEG, PNG, WebP, BMP, PPM (PGM, PBM) and TIFF are read"),
            "{error}"
        );
    }
    let fields = file("rgb_tiff_lzw.tif");
    let at = fields.windows(4).position(|bytes| bytes == [3, 1, 3, 0]).unwrap() + 8;
    for (number, what) in [(4u16, "CCITT fax"), (50000, "Zstandard"), (77, "number 77")] {
        let error = rgb(&with("rgb_tiff_lzw.tif", at, &number.to_le_bytes()), MOST).unwrap_err();
        assert!(error.contains(&format!("it is compressed as {what}, which is not read")), "{error}");
    }
    let masks = rgb(&with("bits16_565.bmp", 54, &[0, 0xf]), MOST).unwrap_err();
    assert!(masks.contains("its colour masks are not supported"), "{masks}");
}

#[test]
fn deep_greys_are_told_from_others() {
    for name in ["deep.ppm", "deep.tiff", "plain_of_1000.pgm", "grey16_big.tif", "whole.tiff", "bits12.tif"] {
        assert!(deep_grey(&file(name)), "{name}");
    }
    for name in ["grey.ppm", "raw_of_65535.ppm", "rgb16_big.tif", "grey.tif", "two_bits.png", "kept_rgb.jpg", "rgb.bmp"]
    {
        assert!(!deep_grey(&file(name)), "{name}");
    }
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/images/train/dog");
    assert!(deep_grey(&fs::read(images.join("grey16.png")).unwrap()));
    assert!(!deep_grey(&fs::read(images.join("rgb16.png")).unwrap()));
}

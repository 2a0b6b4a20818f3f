//! Labelled images: what is read, and what is refused.

use std::path::Path;

use half::f16;
use png::{BitDepth, ColorType};
use sigmax_formats::Images;
use sigmax_formats::images::{Axes, Cifar10, Idx, Units};

use crate::build::Zip;
use crate::content::gzip;

/// 8×8 grey pixels of 128.
const GREY_JPEG: &str = "ffd8ffe000104a46494600010100000100010000ffdb004300010101010101010101010101\
    0101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101\
    0101010101ffc0000b080008000801011100ffc40014000100000000000000000000000000000000ffc40014100100\
    000000000000000000000000000000ffda0008010100003f003fffd9";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// An idx file of unsigned bytes.
pub(crate) fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, sizes.len() as u8];
    out.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    out.extend(data);
    out
}

/// A NumPy file with this dictionary.
fn npy_of(version: u8, dict: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY".to_vec();
    out.extend([version, 0]);
    if version == 1 {
        out.extend((dict.len() as u16 + 1).to_le_bytes());
    } else {
        out.extend((dict.len() as u32 + 1).to_le_bytes());
    }
    out.extend(dict.bytes());
    out.push(b'\n');
    out.extend(data);
    out
}

pub(crate) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    npy_of(1, &dict, data)
}

fn fortran(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': True, 'shape': {shape}, }}");
    npy_of(1, &dict, data)
}

pub(crate) fn cifar(labels: &[u8]) -> Vec<u8> {
    let record = |&label: &u8| {
        let mut record = vec![label; 3073];
        record[1] = 255;
        record
    };
    labels.iter().flat_map(record).collect()
}

pub(crate) fn png_of(size: [u32; 2], colour: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size[0], size[1]);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 255, 0, 51]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    out
}

/// Grey pixels in one row.
fn row(data: &[u8]) -> Vec<u8> {
    let size = [data.len() as u32, 1];
    png_of(size, ColorType::Grayscale, BitDepth::Eight, data)
}

#[track_caller]
pub(crate) fn read(images: Vec<u8>, labels: Vec<u8>) -> Images {
    let read = Images::from_bytes(("images", images), Some(("labels", labels)), None);
    read.unwrap_or_else(|error| panic!("{error}"))
}

fn labels_of(images: &Images) -> Vec<usize> {
    (0..images.len()).map(|i| images.label(i)).collect()
}

/// Equal bit by bit, so that a rounding would show.
#[track_caller]
pub(crate) fn same(found: &[f64], expected: &[f64]) {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected), "{found:?}, not {expected:?}");
}

#[track_caller]
pub(crate) fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// Images with good labels for two, refused.
#[track_caller]
fn refused(images: Vec<u8>, parts: &[&str]) {
    let labels = idx(&[2], &[0, 1]);
    let error = Images::from_bytes(("images", images), Some(("labels", labels)), None)
        .unwrap_err()
        .to_string();
    says(&error, &["images"]);
    says(&error, parts);
}

/// Two good images with labels that are refused.
#[track_caller]
fn labels_refused(labels: Vec<u8>, parts: &[&str]) {
    let images = idx(&[2, 1, 1], &[0, 1]);
    let error = Images::from_bytes(("images", images), Some(("labels", labels)), None)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("labels: "), "{error}");
    says(&error, parts);
}

#[test]
fn idx_files() {
    let labels = idx(&[2], &[3, 0]);
    let grey = idx(&[2, 1, 2], &[0, 51, 255, 17]);
    for (images, labels) in [(grey.clone(), labels.clone()), (gzip(&grey), gzip(&labels))] {
        let images = read(images, labels);
        assert_eq!(*images.axes(), Axes::Picture([1, 1, 2]));
        assert_eq!((images.len(), images.units()), (2, Units::Bytes));
        assert!(!images.is_empty() && !images.is_exact() && images.classes().is_none());
        assert_eq!(labels_of(&images), [3, 0]);
        same(&images.values(0), &[0.0, 0.2]);
        same(&images.values(1), &[1.0, 17.0 / 255.0]);
        assert_eq!(images.name(1), "1");
    }
    let colour = read(idx(&[2, 3, 1, 1], &[0, 51, 255, 1, 2, 3]), labels);
    assert_eq!(*colour.axes(), Axes::Array(vec![3, 1, 1]));
    same(&colour.values(0), &[0.0, 0.2, 1.0]);
}

#[test]
fn the_limit_takes_the_first() {
    let images = idx(&[3, 1, 1], &[9, 8, 7]);
    let labels = idx(&[3], &[2, 1, 0]);
    for (limit, expected) in [(1, vec![2]), (3, vec![2, 1, 0]), (9, vec![2, 1, 0])] {
        let labels = Some(("labels", labels.clone()));
        let images = Images::from_bytes(("images", images.clone()), labels, Some(limit)).unwrap();
        assert_eq!(labels_of(&images), expected);
    }
    // The counts are those of the files.
    let short = Some(("labels", idx(&[2], &[2, 1])));
    let error = Images::from_bytes(("images", images.clone()), short, Some(1)).unwrap_err();
    says(
        &error.to_string(),
        &["3 labels, as many as images has", "found 2"],
    );
    let error = Images::from_bytes(("images", images), None, Some(0)).unwrap_err();
    says(&error.to_string(), &["at least one image", "found 0"]);
    let cut = Images::from_bytes(("images", cifar(&[1, 2, 77])), None, Some(2)).unwrap();
    assert_eq!(labels_of(&cut), [1, 2]);
}

#[test]
fn idx_files_that_are_wrong() {
    refused(vec![], &["an empty file", "expected labelled images: idx"]);
    refused(
        vec![0, 0, 8, 3, 0, 0],
        &["idx header of 16 bytes", "a shorter file"],
    );
    refused(
        idx(&[2], &[0, 1]),
        &["0x00000803", "0x00000804", "found 0x00000801"],
    );
    let mut float = idx(&[2, 1, 1], &[0; 8]);
    float[2] = 0x0d;
    refused(float, &["unsigned bytes", "0x00000d03"]);
    refused(idx(&[0, 1, 1], &[]), &["1 to 1000000 entries", "found 0"]);
    refused(idx(&[u32::MAX, 1, 1], &[]), &["1000000", "4294967295"]);
    refused(idx(&[2, 0, 1], &[]), &["at least one pixel", "[2, 0, 1]"]);
    refused(
        idx(&[2, 1, 2], &[0; 3]),
        &["4 bytes after the header", "3 bytes"],
    );
    refused(
        idx(&[2, 1, 2], &[0; 6]),
        &["4 bytes after the header", "2 more"],
    );
    let huge = idx(&[1000, u32::MAX, u32::MAX, u32::MAX], &[0; 6]);
    refused(huge, &["a file that can be", "6 bytes"]);
    refused(
        idx(&[900_000, 60_000, 60_000], &[]),
        &["3240000000000000 bytes", "0 bytes"],
    );
    refused(gzip(&[]), &["an empty gzip file", "labelled images"]);
    refused(gzip(&gzip(b"x")), &["gzip inside gzip"]);
    refused(gzip(&vec![0; 64 << 20]), &["decompressed size", "limit"]);
    let cut = gzip(&idx(&[2, 1, 1], &[0, 1]));
    refused(cut[..cut.len() - 6].to_vec(), &["cannot decompress"]);
}

#[test]
fn what_is_none_of_them() {
    refused(
        b"<html>".to_vec(),
        &["web page", "expected labelled images"],
    );
    refused(b"\x80\x03}q\x00.".to_vec(), &["a pickle", "binary version"]);
    refused(
        b"hello".to_vec(),
        &["68 65 6c 6c 6f in 5 bytes", "records of 3073"],
    );
    labels_refused(
        b"3\n1\n".to_vec(),
        &["expected labels: idx, .npy or .npz", "33 0a"],
    );
    labels_refused(cifar(&[1]), &["CIFAR-10 records"]);
    labels_refused(row(&[1]), &["a picture"]);
    labels_refused(vec![], &["an empty file"]);
}

#[test]
fn labels_that_are_missing_or_wrong() {
    for images in [
        idx(&[2, 1, 1], &[0, 1]),
        npy("|u1", "(2, 1)", &[0, 1]),
        row(&[7]),
    ] {
        let error = Images::from_bytes(("images", images), None, None).unwrap_err();
        says(
            &error.to_string(),
            &["expected labels", "no file of labels"],
        );
    }
    labels_refused(
        idx(&[3], &[0, 1, 2]),
        &["2 labels, as many as images", "found 3"],
    );
    labels_refused(
        idx(&[2, 1], &[0, 1]),
        &["0x00000801 (unsigned bytes, 1 axes)"],
    );
    labels_refused(npy("|u1", "(3,)", &[0; 3]), &["2 labels", "found 3"]);
    labels_refused(
        npy("|i1", "(2,)", &[0, 255]),
        &["at least 0", "-1 for image 1"],
    );
    labels_refused(npy("<f4", "(2,)", &[0; 8]), &["integer labels", "found f4"]);
    labels_refused(npy("|b1", "(2,)", &[0; 2]), &["integers or floats", "|b1"]);
    labels_refused(npy("|u1", "(1, 2)", &[0; 2]), &["[n] or [n, 1]", "[1, 2]"]);
    labels_refused(npy("|u1", "()", &[0]), &["[n] or [n, 1]", "[]"]);
    labels_refused(npy("|u1", "(0,)", &[]), &["2 labels", "found 0"]);
    let error = Images::from_bytes(
        ("batch", cifar(&[1])),
        Some(("labels", idx(&[1], &[1]))),
        None,
    );
    says(
        &error.unwrap_err().to_string(),
        &["no other labels", "labels too"],
    );
}

#[test]
fn cifar_records() {
    let images = Images::from_bytes(("batch", cifar(&[3, 9, 0])), None, None).unwrap();
    assert_eq!(*images.axes(), Axes::Picture([3, 32, 32]));
    assert_eq!(images.len(), 3);
    assert_eq!(labels_of(&images), [3, 9, 0]);
    let mut expected = vec![9.0 / 255.0; 3072];
    expected[0] = 1.0;
    same(&images.values(1), &expected);
    // A record that begins as idx does.
    let mut alike = cifar(&[0]);
    alike[..4].copy_from_slice(&[0, 0, 8, 3]);
    let alike = Images::from_bytes(("batch", alike), None, None).unwrap();
    same(&alike.values(0)[..3], &[0.0, 8.0 / 255.0, 3.0 / 255.0]);
    // An idx file of just as many bytes.
    let image = vec![0; 3073 - 16];
    let idx = read(idx(&[1, 1, 3073 - 16], &image), idx(&[1], &[4]));
    assert_eq!(*idx.axes(), Axes::Picture([1, 1, 3057]));
    let error = Images::from_bytes(("batch", cifar(&[1, 77])), None, None).unwrap_err();
    says(
        &error.to_string(),
        &["labels from 0 to 9", "77 for image 1"],
    );
    let cut = Images::from_bytes(("batch", cifar(&[1, 2])[..4000].to_vec()), None, None);
    says(
        &cut.unwrap_err().to_string(),
        &["4000 bytes", "records of 3073"],
    );
}

#[test]
fn arrays_of_every_type() {
    let labels = || npy("<i8", "(2,)", &[1i64, 0].map(i64::to_le_bytes).concat());
    let values = [0.25f32, -1.5, 1e-3, 7.0];
    let exact: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    let halves = values.map(f16::from_f32);
    let half: Vec<f64> = halves.iter().map(|v| v.to_f64()).collect();
    let doubles = exact.iter().map(|v| v / 3.0).collect::<Vec<_>>();
    for (descr, bytes, expected) in [
        ("<f4", values.map(f32::to_le_bytes).concat(), &exact),
        (">f4", values.map(f32::to_be_bytes).concat(), &exact),
        ("<f2", halves.map(f16::to_le_bytes).concat(), &half),
        (">f2", halves.map(f16::to_be_bytes).concat(), &half),
        (
            "<f8",
            doubles.iter().flat_map(|v| v.to_le_bytes()).collect(),
            &doubles,
        ),
        (
            ">f8",
            doubles.iter().flat_map(|v| v.to_be_bytes()).collect(),
            &doubles,
        ),
    ] {
        let images = read(npy(descr, "(2, 2)", &bytes), labels());
        assert!(images.is_exact(), "{descr}");
        assert_eq!(*images.axes(), Axes::Array(vec![2]));
        same(&images.values(0), &expected[..2]);
        same(&images.values(1), &expected[2..]);
    }
    let images = read(npy("|u1", "(2, 1, 2)", &[0, 51, 255, 17]), labels());
    assert_eq!(*images.axes(), Axes::Array(vec![1, 2]));
    assert!(!images.is_exact());
    same(&images.values(1), &[1.0, 17.0 / 255.0]);
    let images = read(npy("|u1", "(2, 2, 1, 1)", &[0, 51, 255, 17]), labels());
    assert_eq!(*images.axes(), Axes::Array(vec![2, 1, 1]));
    for version in [1, 2, 3] {
        let dict = "{'shape': (2L, 1L), \"fortran_order\": False, 'descr': 'u1'}   ";
        let images = read(npy_of(version, dict, &[0, 255]), labels());
        same(&images.values(1), &[1.0]);
    }
}

#[test]
fn labels_of_every_type() {
    let data = |size: usize, big: bool| -> Vec<u8> {
        let entry = |value: u8| {
            let mut entry = vec![0; size];
            entry[if big { size - 1 } else { 0 }] = value;
            entry
        };
        [entry(7), entry(99)].concat()
    };
    for kind in ["i", "u"] {
        for size in [1, 2, 4, 8] {
            for (order, big) in [("<", false), (">", true)] {
                for shape in ["(2,)", "(2, 1)"] {
                    let labels = npy(&format!("{order}{kind}{size}"), shape, &data(size, big));
                    let images = read(idx(&[2, 1, 1], &[0, 1]), labels);
                    assert_eq!(labels_of(&images), [7, 99]);
                }
            }
        }
    }
    let labels = fortran("|u1", "(2, 1)", &[5, 6]);
    assert_eq!(labels_of(&read(idx(&[2, 1, 1], &[0, 1]), labels)), [5, 6]);
}

#[test]
fn fortran_order() {
    let shape = [3usize, 2, 5, 4];
    let value = |i: usize, c: usize, y: usize, x: usize| (1000 * i + 100 * c + 10 * y + x) as u16;
    let mut data = Vec::new();
    for x in 0..shape[3] {
        for y in 0..shape[2] {
            for c in 0..shape[1] {
                for i in 0..shape[0] {
                    data.extend(f32::from(value(i, c, y, x)).to_be_bytes());
                }
            }
        }
    }
    let array = fortran(">f4", "(3, 2, 5, 4)", &data);
    for limit in [None, Some(2)] {
        let labels = Some(("labels", idx(&[3], &[0, 1, 2])));
        let images = Images::from_bytes(("images", array.clone()), labels, limit).unwrap();
        for i in 0..images.len() {
            let mut expected = Vec::new();
            for c in 0..shape[1] {
                for y in 0..shape[2] {
                    expected.extend((0..shape[3]).map(|x| f64::from(value(i, c, y, x))));
                }
            }
            same(&images.values(i), &expected);
        }
    }
    // More than one block.
    let bytes: Vec<u8> = (0..2 * 700_000usize).map(|k| (k / 2 % 251) as u8).collect();
    let images = read(fortran("|u1", "(2, 700000)", &bytes), idx(&[2], &[0, 1]));
    for (k, value) in images.values(1).into_iter().enumerate() {
        assert_eq!(value.to_bits(), ((k % 251) as f64 / 255.0).to_bits());
    }
}

#[test]
fn arrays_that_are_wrong() {
    refused(
        npy("|O", "(2, 1)", &[0; 16]),
        &["objects", "pickles", "not read"],
    );
    refused(
        npy("<c8", "(2, 1)", &[0; 16]),
        &["integers or floats", "<c8"],
    );
    refused(
        npy("<f16", "(2, 1)", &[0; 32]),
        &["integers or floats", "<f16"],
    );
    refused(
        npy("<i8", "(2, 1)", &[0; 16]),
        &["dtype u1, f2, f4 or f8", "i8"],
    );
    refused(
        npy("|u1", "(2,)", &[0; 2]),
        &["[n, h, w], [n, c, h, w], [n, h, w, c] or [n, d]", "[2]"],
    );
    refused(npy("|u1", "(2, 1, 1, 1, 1)", &[0; 2]), &["[2, 1, 1, 1, 1]"]);
    refused(npy("|u1", "(0, 4)", &[]), &["at least one image", "[0, 4]"]);
    refused(npy("|u1", "(2, 0)", &[]), &["one pixel", "[2, 0]"]);
    refused(
        npy("<f4", "(2, 2)", &[0; 15]),
        &["16 bytes after the header", "15 for shape"],
    );
    refused(
        npy("<f4", "(2, 2)", &[0; 17]),
        &["16 bytes", "17 for shape [2, 2] and dtype f4"],
    );
    let huge = "(4294967296, 4294967296, 4294967296)";
    refused(npy("<f4", huge, &[0; 4]), &["sizes of a file that can be"]);
    refused(
        npy("<f4", "(1000000000000, 2)", &[0; 4]),
        &["8000000000000 bytes"],
    );
    refused(
        npy("<f4", "(-1, 2)", &[0; 4]),
        &["malformed at offset", "not negative"],
    );
    let structured = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}";
    refused(npy_of(1, structured, &[]), &["several fields"]);
    let lacking = "{'descr': '<f4', 'shape': (2, 1)}";
    refused(
        npy_of(1, lacking, &[0; 8]),
        &["fortran_order", "{'descr': '<f4'"],
    );
    let twice = "{'descr': '<f4', 'descr': '<f4'}";
    refused(npy_of(1, twice, &[0; 8]), &["every key once", "descr"]);
    refused(
        npy_of(1, "{'colour': 'x'}", &[]),
        &["descr, fortran_order and shape", "colour"],
    );
    refused(npy_of(4, "{}", &[]), &["version 1.0, 2.0 or 3.0", "4.0"]);
    let mut long = b"\x93NUMPY\x02\0".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    refused(long, &["header's length", "4294967295"]);
    refused(
        b"\x93NUMPY\x01\0\xff\x7f{".to_vec(),
        &["32767 bytes are needed"],
    );
    refused(b"\x93NUMPY\x01".to_vec(), &["cut short"]);
}

#[test]
fn values_that_are_not_finite() {
    for (value, text) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let mut values = [0f32; 12];
        values[9] = value;
        let bytes = values.map(f32::to_le_bytes).concat();
        let found = format!("found {text} at index [1, 1, 1]");
        refused(npy("<f4", "(2, 3, 2)", &bytes), &["finite values", &found]);
    }
    // Of an image that is not read, nothing is asked.
    let bytes = [0.5, f32::NAN].map(f32::to_le_bytes).concat();
    let images = ("images", npy("<f4", "(2, 1)", &bytes));
    let labels = Some(("labels", idx(&[2], &[0, 1])));
    same(
        &Images::from_bytes(images, labels, Some(1))
            .unwrap()
            .values(0),
        &[0.5],
    );
}

fn npz(members: &[(&str, Vec<u8>)], method: u16) -> Vec<u8> {
    let members: Vec<_> = members.iter().map(|(n, d)| (*n, d.as_slice())).collect();
    Zip {
        method,
        ..Zip::new(&members)
    }
    .bytes()
}

#[test]
fn archives_of_arrays() {
    let images = npy("|u1", "(2, 2)", &[0, 51, 255, 17]);
    let labels = npy("<i2", "(2,)", &[5, 0, 6, 0]);
    for method in [0, 8] {
        for (x, y) in [
            ("images", "labels"),
            ("x", "y"),
            ("x_test", "y_test"),
            ("data", "labels"),
            ("arr_0", "y"),
        ] {
            let members = [
                (format!("{x}.npy"), images.clone()),
                (format!("{y}.npy"), labels.clone()),
                ("y_train.npy".to_owned(), npy("|u1", "(1,)", &[0])),
            ];
            let members: Vec<_> = members
                .iter()
                .map(|(n, d)| (n.as_str(), d.clone()))
                .collect();
            let archive = npz(&members, method);
            let read = Images::from_bytes(("set.npz", archive.clone()), None, None).unwrap();
            assert_eq!(labels_of(&read), [5, 6]);
            same(&read.values(0), &[0.0, 0.2]);
            // Labels of a file of their own, and labels from an archive.
            let others = Some(("labels", idx(&[2], &[7, 8])));
            let read = Images::from_bytes(("set.npz", archive.clone()), others, None).unwrap();
            assert_eq!(labels_of(&read), [7, 8]);
            let read = Images::from_bytes(("x", images.clone()), Some(("y", archive)), None);
            assert_eq!(labels_of(&read.unwrap()), [5, 6]);
        }
    }
}

#[test]
fn archives_that_are_wrong() {
    let error = |archive: Vec<u8>| {
        let read = Images::from_bytes(("set.npz", archive), None, None);
        read.unwrap_err().to_string()
    };
    let image = || npy("|u1", "(2, 1)", &[0, 1]);
    let labels = || npy("|u1", "(2,)", &[0, 1]);
    let two = [("a.npy", image()), ("b.npy", image()), ("y.npy", labels())];
    says(
        &error(npz(&two, 0)),
        &["images, x, x_test, data", "2 others", "b.npy"],
    );
    let none = [("a.npy", labels()), ("y.npy", labels())];
    says(&error(npz(&none, 0)), &["0 others"]);
    let bare = [("x.npy", image()), ("target.npy", labels())];
    says(
        &error(npz(&bare, 0)),
        &["labels, in a file", "labels, y, y_test", "target.npy"],
    );
    let objects = [
        ("x.npy", npy("|O", "(2, 1)", &[0; 16])),
        ("y.npy", labels()),
    ];
    says(&error(npz(&objects, 8)), &["set.npz/x.npy", "objects"]);
    let few = [("x.npy", image()), ("y.npy", npy("|u1", "(1,)", &[0]))];
    says(
        &error(npz(&few, 0)),
        &["set.npz/y.npy", "2 labels, as many as set.npz/x.npy has"],
    );
    says(
        &error(npz(&[("net/data.pkl", vec![])], 0)),
        &["a PyTorch file"],
    );
    says(&error(npz(&[], 0)), &["0 members"]);
    let good = [("x.npy", image()), ("y.npy", labels())];
    says(
        &error(npz(&good, 12)),
        &["set.npz/x.npy", "stored or deflated", "method 12"],
    );
    let members = [("x.npy", &image()[..]), ("y.npy", &labels()[..])];
    let encrypted = Zip {
        flags: 1,
        ..Zip::new(&members)
    };
    says(&error(encrypted.bytes()), &["encrypted"]);
    let bomb = npy("|u1", "(2, 32000000)", &vec![0; 64_000_000]);
    let bomb = npz(&[("x.npy", bomb), ("y.npy", labels())], 8);
    says(&error(bomb), &["decompressed size", "limit"]);
    let whole = npz(&good, 8);
    let at = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut damaged = whole.clone();
    damaged[at + 16] ^= 1; // the checksum
    says(&error(damaged), &["checksum"]);
    let mut damaged = whole.clone();
    damaged[at + 24] ^= 1; // the size
    says(&error(damaged), &["checksum"]);
    for length in [30, whole.len() / 2, whole.len() - 1] {
        assert!(error(whole[..length].to_vec()).contains("set.npz"));
    }
}

#[test]
fn pictures_of_every_kind() {
    let eight = BitDepth::Eight;
    for (name, picture, shape, values) in [
        ("grey", row(&[0, 51]), [1, 1, 2], vec![0.0, 0.2]),
        (
            "one bit",
            png_of([3, 1], ColorType::Grayscale, BitDepth::One, &[0b1010_0000]),
            [1, 1, 3],
            vec![1.0, 0.0, 1.0],
        ),
        (
            "colour",
            png_of([2, 1], ColorType::Rgb, eight, &[0, 51, 255, 1, 2, 3]),
            [3, 1, 2],
            [0, 1, 51, 2, 255, 3].map(|b| f64::from(b) / 255.0).to_vec(),
        ),
        (
            "palette",
            png_of([2, 1], ColorType::Indexed, BitDepth::One, &[0b0100_0000]),
            [3, 1, 2],
            vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.2],
        ),
        (
            "opaque colour",
            png_of(
                [1, 2],
                ColorType::Rgba,
                eight,
                &[0, 51, 255, 255, 51, 0, 0, 255],
            ),
            [3, 2, 1],
            vec![0.0, 0.2, 0.2, 0.0, 1.0, 0.0],
        ),
        (
            "opaque grey",
            png_of([1, 1], ColorType::GrayscaleAlpha, eight, &[51, 255]),
            [1, 1, 1],
            vec![0.2],
        ),
        (
            "sixteen bits",
            png_of(
                [2, 1],
                ColorType::Grayscale,
                BitDepth::Sixteen,
                &[0x33, 0x33, 0x12, 0x34],
            ),
            [1, 1, 2],
            vec![0.2, f64::from(0x1234) / 65535.0],
        ),
        ("JPEG", hex(GREY_JPEG), [1, 8, 8], vec![128.0 / 255.0; 64]),
    ] {
        let images = read(picture, idx(&[1], &[6]));
        assert_eq!(*images.axes(), Axes::Picture(shape), "{name}");
        assert_eq!(images.label(0), 6);
        assert!(!images.is_exact());
        same(&images.values(0), &values);
    }
}

#[test]
fn pictures_that_are_wrong() {
    let alpha = png_of(
        [2, 1],
        ColorType::GrayscaleAlpha,
        BitDepth::Eight,
        &[1, 255, 1, 254],
    );
    refused(alpha, &["an opaque picture", "alpha 254 of 255 at pixel 1"]);
    let good = row(&[7; 500]);
    for length in [9, 20, good.len() / 2, good.len() - 12] {
        refused(good[..length].to_vec(), &["a PNG picture"]);
    }
    // A size that the file only states, with the right checksum.
    for (side, parts) in [
        (
            60_000u32,
            &["pixels of a picture is 3600000000", "limit of 16777216"][..],
        ),
        (4096, &["4096×4096", "bytes"]),
    ] {
        let mut bomb = row(&[7]);
        bomb[16..20].copy_from_slice(&side.to_be_bytes());
        bomb[20..24].copy_from_slice(&side.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        refused(bomb, parts);
    }
    // A palette that ends within a colour.
    let mut cut = png_of([2, 1], ColorType::Indexed, BitDepth::One, &[0]);
    let at = cut.windows(4).position(|w| w == b"PLTE").unwrap();
    cut.drain(at + 8..at + 10); // of six bytes, two
    cut[at - 1] = 4;
    let mut crc = flate2::Crc::new();
    crc.update(&cut[at..at + 8]);
    cut[at + 8..at + 12].copy_from_slice(&crc.sum().to_be_bytes());
    refused(cut, &["three bytes a colour", "4 bytes"]);
    let jpeg = hex(GREY_JPEG);
    for length in [4, 40, 100, 150, jpeg.len() - 4] {
        refused(jpeg[..length].to_vec(), &["a JPEG picture"]);
    }
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let mut large = jpeg.clone();
    large[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    refused(large, &["JPEG"]);
    let mut many = jpeg;
    many[at + 5..at + 9].copy_from_slice(&[0x10, 0, 0x10, 0]);
    refused(many, &["4096×4096"]);
    // One picture, two labels.
    let error = Images::from_bytes(("a.png", row(&[7])), Some(("l", idx(&[2], &[0, 1]))), None);
    says(
        &error.unwrap_err().to_string(),
        &["1 labels, as many as a.png", "found 2"],
    );
}

fn write(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn names(images: &Images) -> Vec<String> {
    (0..images.len()).map(|i| images.name(i)).collect()
}

#[test]
fn folders_by_class() {
    let folder = tempfile::tempdir().unwrap();
    let sixteen = png_of([1, 1], ColorType::Grayscale, BitDepth::Sixteen, &[0, 1]);
    write(
        folder.path(),
        &[
            ("dog/2.PNG", row(&[51])),
            ("dog/10.jpg", row(&[1])), // recognised by content
            ("cat/a.png", row(&[2])),
            ("cat/b.jpeg", sixteen),
            ("cat/c.png", row(&[4])),
            ("cat/notes.txt", vec![]),
            ("ant/.hidden.png", vec![]),
            (".git/x", vec![]),
            ("README", vec![]),
        ],
    );
    let images = Images::open(folder.path(), None, None).unwrap();
    assert_eq!(images.classes().unwrap(), ["ant", "cat", "dog"]);
    assert_eq!(
        names(&images),
        [
            "cat/a.png",
            "cat/b.jpeg",
            "cat/c.png",
            "dog/10.jpg",
            "dog/2.PNG"
        ]
    );
    assert_eq!(labels_of(&images), [1, 1, 1, 2, 2]);
    assert_eq!(*images.axes(), Axes::Picture([1, 1, 1]));
    same(&images.values(0), &[2.0 / 255.0]);
    same(&images.values(1), &[1.0 / 65535.0]);
    same(&images.values(4), &[0.2]);
    // A limit takes from every class.
    let few = Images::open(folder.path(), None, Some(3)).unwrap();
    assert_eq!(names(&few), ["cat/a.png", "cat/b.jpeg", "dog/10.jpg"]);
}

#[test]
fn folders_with_numbers() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("10/a.png", row(&[1])),
            ("9/a.png", row(&[2])),
            ("02/a.png", row(&[3])),
        ],
    );
    let images = Images::open(folder.path(), None, None).unwrap();
    assert_eq!(images.classes().unwrap(), ["02", "9", "10"]);
    assert_eq!(names(&images), ["02/a.png", "9/a.png", "10/a.png"]);
    assert_eq!(labels_of(&images), [2, 9, 10]);
    write(folder.path(), &[("2/a.png", row(&[1]))]);
    let error = Images::open(folder.path(), None, None)
        .unwrap_err()
        .to_string();
    says(&error, &["one folder for each class", "\"02\" and \"2\""]);
    // One name that is no number: all are names.
    std::fs::rename(folder.path().join("2"), folder.path().join("+2")).unwrap();
    let images = Images::open(folder.path(), None, None).unwrap();
    assert_eq!(images.classes().unwrap(), ["+2", "02", "10", "9"]);
    assert_eq!(labels_of(&images), [0, 1, 2, 3]);
}

#[test]
fn folders_that_are_wrong() {
    let fails = |files: &[(&str, Vec<u8>)], parts: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        let error = Images::open(folder.path(), None, None)
            .unwrap_err()
            .to_string();
        says(&error, &[&folder.path().display().to_string()]);
        says(&error, parts);
    };
    let good = ("a/1.png", row(&[1, 2]));
    fails(
        &[],
        &[
            "t10k-images",
            "test_batch.bin",
            "for each class",
            "no folders",
        ],
    );
    fails(&[("a/x.txt", vec![])], &["1 folders without pictures"]);
    fails(&[("1.png", row(&[1]))], &["1.png in no class"]);
    fails(
        &[good.clone(), ("b/1.png", row(&[1, 2, 3]))],
        &[
            "b/1.png",
            "1 channels of 2×1 pixels, as",
            "a/1.png has",
            "found 1 channels of 3×1",
        ],
    );
    let colour = png_of([2, 1], ColorType::Rgb, BitDepth::Eight, &[0; 6]);
    fails(&[good.clone(), ("a/2.png", colour)], &["found 3 channels"]);
    fails(
        &[good.clone(), ("a/2.bmp", vec![])],
        &["a/2.bmp", "another format"],
    );
    fails(
        &[good.clone(), ("a/deep/2.png", row(&[1]))],
        &["no folders", "deep"],
    );
    fails(
        &[good.clone(), ("a/2.png", vec![])],
        &["a/2.png", "an empty file"],
    );
    fails(
        &[good.clone(), ("a/2.png", b"GIF89a".to_vec())],
        &["a/2.png", "47 49 46"],
    );
    fails(
        &[good.clone(), ("a/2.png", idx(&[1, 1, 1], &[0]))],
        &["a/2.png", "Idx"],
    );

    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[good, ("labels", idx(&[1], &[0]))]);
    let labels = folder.path().join("labels");
    let error = Images::open(folder.path(), Some(&labels), None)
        .unwrap_err()
        .to_string();
    says(&error, &["no other labels than the folders", "labels too"]);
    let error = Images::open(&labels.join("none"), None, None)
        .unwrap_err()
        .to_string();
    says(&error, &["cannot open"]);
    let error = Images::open(&folder.path().join("a/1.png"), Some(folder.path()), None);
    says(
        &error.unwrap_err().to_string(),
        &["a directory", "labels: idx"],
    );
}

#[test]
fn folders_of_known_sets() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (images, labels) = (idx(&[2, 1, 1], &[0, 255]), idx(&[2], &[4, 2]));
    write(root, &[("mnist/t10k-images-idx3-ubyte.gz", gzip(&images))]);
    let error = Images::open(&root.join("mnist"), None, None)
        .unwrap_err()
        .to_string();
    says(&error, &["t10k-images-idx3-ubyte.gz", "expected labels"]);
    write(
        root,
        &[
            ("mnist/t10k-labels-idx1-ubyte", labels),
            ("other", idx(&[2], &[5, 6])),
        ],
    );
    let read = Images::open(&root.join("mnist"), None, None).unwrap();
    assert_eq!(labels_of(&read), [4, 2]);
    let read = Images::open(&root.join("mnist"), Some(&root.join("other")), Some(1)).unwrap();
    assert_eq!(labels_of(&read), [5]);
    write(
        root,
        &[
            ("cifar/test_batch.bin", cifar(&[8])),
            ("cifar/data_batch_1.bin", cifar(&[1])),
        ],
    );
    assert_eq!(
        labels_of(&Images::open(&root.join("cifar"), None, None).unwrap()),
        [8]
    );
}

#[test]
fn readers_of_one_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, idx(&[3, 1, 2], &[1, 2, 3, 4, 5, 6])).unwrap();
    let file = Idx::open(&path, 3).unwrap();
    assert_eq!(file.sizes(), [3, 1, 2]);
    assert_eq!(file.read(2).unwrap(), [1, 2, 3, 4]);
    assert_eq!(file.read(9).unwrap(), [1, 2, 3, 4, 5, 6]);
    says(
        &Idx::open(&path, 1).unwrap_err().to_string(),
        &["0x00000801", "0x00000803"],
    );
    std::fs::write(&path, idx(&[], &[7])).unwrap();
    says(
        &Idx::open(&path, 0).unwrap_err().to_string(),
        &["1 to 1000000 entries"],
    );
    says(
        &Idx::open(&path, 255).unwrap_err().to_string(),
        &["0x000008ff"],
    );
    std::fs::write(&path, gzip(&cifar(&[2, 3]))).unwrap();
    let file = Cifar10::open(&path).unwrap();
    let (labels, pixels) = file.read(1).unwrap();
    assert_eq!((file.len(), labels, pixels.len()), (2, vec![2], 3072));
    std::fs::write(&path, b"").unwrap();
    says(
        &Cifar10::open(&path).unwrap_err().to_string(),
        &["3073 bytes", "0 bytes"],
    );
    says(
        &Idx::open(&path, 1).unwrap_err().to_string(),
        &["header of 8 bytes", "a shorter file"],
    );
}

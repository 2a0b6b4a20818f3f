//! Zip archives that are not what `torch.save` writes.

use sigmax_formats::Model;

use crate::build::{Zip, dict, floats, pickle, tensor, zip};
use crate::inspect::{error, fails, survives, values};

fn net() -> Zip {
    let pickle = pickle(&dict(&[("w", tensor(2, 0, &[1, 2], &[2, 1]))]));
    let data = floats(&[1.0, -2.0]);
    let entries: [(&str, &[u8]); 2] = [("data.pkl", &pickle), ("data/0", &data)];
    Zip::new(&entries)
}

#[test]
fn what_is_read() {
    for wide in [false, true] {
        for comment in [
            &b""[..],
            b"a comment",
            b"PK\x05\x06 in a comment is no end record",
        ] {
            let comment = comment.to_vec();
            let bytes = Zip {
                wide,
                comment,
                ..net()
            }
            .bytes();
            let model = Model::from_bytes("input", bytes).unwrap();
            assert_eq!(values(&model, "w"), [1.0, -2.0]);
        }
    }
}

#[test]
fn entries_that_are_deflated() {
    for wide in [false, true] {
        let bytes = Zip {
            method: 8,
            wide,
            ..net()
        }
        .bytes();
        let model = Model::from_bytes("input", bytes).unwrap();
        assert_eq!(values(&model, "w"), [1.0, -2.0]);
    }
}

#[test]
fn entries_that_are_encrypted_or_packed_by_other_methods() {
    let method = |method| Zip { method, ..net() }.bytes();
    fails(
        method(14),
        &[
            "\"data.pkl\" at offset 0 is compressed by zip's method 14",
            "zip -0",
        ],
    );
    for method in [0, 8] {
        let entries = Zip {
            flags: 1,
            method,
            ..net()
        };
        fails(entries.bytes(), &["\"data.pkl\" at offset 0 is encrypted"]);
    }
}

/// Where the local header of the entry of that place begins.
fn header(bytes: &[u8], place: usize) -> usize {
    let starts = bytes.windows(4).enumerate();
    let mut starts = starts.filter(|(_, window)| window == b"PK\x03\x04");
    starts.nth(place).unwrap().0
}

#[test]
fn deflated_entries_that_are_damaged() {
    let whole = Zip { method: 8, ..net() }.bytes();
    // 30 bytes of header, "data/0" and five bytes of padding.
    let data = header(&whole, 1) + 30 + 6 + 5;
    for (at, flip) in [(data, 0x06), (data + 1, 0x40), (data + 2, 0x10)] {
        let mut bytes = whole.clone();
        bytes[at] ^= flip;
        fails(bytes, &["the zip entry \"data/0\""]);
    }
    // What the directory says: the checksum, then the sizes, of the second entry.
    let line = whole.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    let mut checksum = whole.clone();
    checksum[line + 16] ^= 1;
    fails(checksum, &["\"data/0\" has 8 bytes with checksum"]);
    let mut short = whole.clone();
    short[line + 24] = 7;
    fails(
        short,
        &["\"data/0\" is longer than the 7 bytes that the directory states"],
    );
    let mut long = whole.clone();
    long[line + 24] = 9;
    fails(long, &["\"data/0\" has 8 bytes", "expected 9"]);
    let mut huge = whole;
    huge[line + 27] = 0x7f;
    fails(huge, &["the decompressed size in bytes is 213", "limit"]);
}

#[test]
fn many_small_bombs_are_one_large_one() {
    let zeros = vec![0; 12 << 20];
    let names: Vec<String> = (0..3).map(|i| format!("data/{i}")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &zeros[..])).collect();
    let bombs = Zip {
        method: 8,
        ..Zip::new(&entries)
    };
    fails(
        bombs.bytes(),
        &["the decompressed size in bytes is 37748736", "limit"],
    );
}

#[test]
fn deflated_archives_cut_or_changed_at_any_byte() {
    let whole = Zip { method: 8, ..net() }.bytes();
    for length in 0..whole.len() {
        let text = error(whole[..length].to_vec());
        assert!(text.starts_with("input: "), "{length}: {text}");
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            survives(bytes);
        }
    }
}

#[test]
fn directories_that_lie() {
    fails(
        Zip {
            same_place: true,
            ..net()
        }
        .bytes(),
        &["overlaps"],
    );
    fails(Zip { longer: 1, ..net() }.bytes(), &["overlaps"]);
    for wide in [false, true] {
        fails(
            Zip {
                wide,
                longer: 1 << 20,
                ..net()
            }
            .bytes(),
            &["1048", "are needed"],
        );
    }
    fails(
        Zip {
            wide: true,
            longer: u64::MAX - 1000,
            ..net()
        }
        .bytes(),
        &["needed"],
    );
    fails(
        Zip {
            count: Some(60_000),
            ..net()
        }
        .bytes(),
        &["60000 entries"],
    );
    fails(
        Zip {
            wide: true,
            count: Some(u64::MAX),
            ..net()
        }
        .bytes(),
        &["18446744073709551615 entries"],
    );
    let mut twice = net();
    twice.entries.push(twice.entries[1].clone());
    fails(twice.bytes(), &["\"data/0\" occurs twice"]);
    let mut bytes = net().bytes();
    bytes[0..4].copy_from_slice(b"PK\x05\x06");
    fails(bytes, &["header of the zip entry \"data.pkl\" is not here"]);
    let mut bytes = net().bytes();
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[at] = b'X';
    fails(bytes, &[&format!("malformed at offset {at}"), "directory"]);
    let mut bytes = Zip {
        wide: true,
        ..net()
    }
    .bytes();
    let locator = bytes.len() - 42;
    bytes[locator + 15] = 0xff; // the last byte of the offset
    fails(bytes, &["64-bit end record", "not before its locator"]);
}

#[test]
fn other_byte_order() {
    let mut big = net();
    big.entries.push(("byteorder".to_owned(), b"big".to_vec()));
    fails(big.bytes(), &["byte order \"big\"", "little"]);
}

#[test]
fn archives_of_something_else() {
    for (entry, found) in [
        ("arr_0.npy", "NumPy archive"),
        ("model.weights.h5", "Keras"),
        ("model/archive_format", "torch.export"),
        (
            "word/document.xml",
            "without data.pkl, with [\"word/document.xml\"]",
        ),
    ] {
        fails(
            Zip::new(&[(entry, b"x")]).bytes(),
            &[found, "expected an ONNX"],
        );
    }
    fails(Zip::new(&[]).bytes(), &["an empty zip archive"]);
    let code: [(&str, &[u8]); 2] = [("m/data.pkl", b"N."), ("m/code/net.py", b"")];
    fails(
        Zip::new(&code).bytes(),
        &["TorchScript", "torch.save(model.state_dict()"],
    );
}

#[test]
fn an_archive_without_tensors_has_no_layers() {
    let model = Model::from_bytes("input", zip(&dict(&[]), &[])).unwrap();
    assert!(model.layers.is_empty());
}

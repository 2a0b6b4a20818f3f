//! Zip archives that are not what `torch.save` writes.

use sigmax_formats::Model;

use crate::build::{Zip, dict, floats, pickle, tensor, zip};
use crate::inspect::{fails, values};

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
fn compressed_or_encrypted_entries() {
    fails(
        Zip { method: 8, ..net() }.bytes(),
        &["\"data.pkl\" at offset 0 is compressed", "zip -0"],
    );
    fails(Zip { flags: 1, ..net() }.bytes(), &["encrypted"]);
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

//! Readers: what is official is read, what is not is refused with a reason.

use std::path::Path;

use sigmax_train::data::{Source, synthetic};

use crate::data;

fn error(source: Source, folder: &Path) -> String {
    source
        .read(folder)
        .expect_err("this is refused")
        .to_string()
}

#[test]
fn what_was_written_is_read() {
    for source in [Source::Mnist, Source::FashionMnist, Source::Cifar10] {
        let folder = tempfile::tempdir().unwrap();
        data(source, folder.path(), 25, 7);
        let read = source.read(folder.path()).unwrap();
        assert_eq!(read.train, synthetic::images(source, 25, 1));
        assert_eq!(read.test, synthetic::images(source, 7, 2));
        assert_eq!(source.read_test(folder.path()).unwrap(), read.test);
    }
}

#[test]
fn a_missing_file_says_where_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let mnist = error(Source::Mnist, folder.path());
    assert!(
        mnist.contains("train-images-idx3-ubyte: no such file"),
        "{mnist}"
    );
    assert!(mnist.contains("MNIST database"), "{mnist}");
    assert!(error(Source::FashionMnist, folder.path()).contains("dataset-fashion-mnist"));
    let cifar = error(Source::Cifar10, folder.path());
    assert!(
        cifar.contains("data_batch_1.bin") && cifar.contains("cifar-10-binary.tar.gz"),
        "{cifar}"
    );
}

/// A good set with one file replaced, and the words its error must have.
fn malformed(source: Source, file: &str, bytes: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    data(source, folder.path(), 10, 5);
    let _ = std::fs::remove_file(folder.path().join(format!("{file}.gz")));
    std::fs::write(folder.path().join(file), bytes).unwrap();
    let error = error(source, folder.path());
    for word in std::iter::once(&file).chain(words) {
        assert!(error.contains(word), "{error} should say {word}");
    }
}

fn header(magic: u32, sizes: &[u32]) -> Vec<u8> {
    let words = std::iter::once(&magic).chain(sizes);
    words.flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn malformed_idx_files_are_refused() {
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte";
    let refuse =
        |file, bytes: Vec<u8>, words: &[&str]| malformed(Source::Mnist, file, &bytes, words);
    refuse(images, vec![], &["header of 16 bytes", "a shorter file"]);
    refuse(
        images,
        header(0x801, &[10, 28, 28]),
        &["0x00000803", "0x00000801"],
    );
    refuse(images, header(0x803, &[10, 28, 27]), &["28×28", "28×27"]);
    refuse(
        images,
        header(0x803, &[u32::MAX, 28, 28]),
        &["1000000", "4294967295"],
    );
    refuse(images, header(0x803, &[0, 28, 28]), &["found 0"]);
    let mut short = header(0x803, &[10, 28, 28]);
    short.extend(vec![0; 7839]);
    refuse(images, short.clone(), &["7840 bytes", "7839 bytes"]);
    short.extend([0, 0]);
    refuse(images, short, &["7840 bytes", "more"]);
    refuse(labels, header(0x801, &[9]), &["10 labels", "found 9"]);
    let mut bad = header(0x801, &[10]);
    bad.extend([0, 1, 2, 3, 4, 10, 6, 7, 8, 9]);
    refuse(labels, bad, &["labels from 0 to 9", "10 for image 5"]);
}

#[test]
fn a_damaged_gzip_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 10, 5);
    let path = folder.path().join("train-images-idx3-ubyte.gz");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(Source::Mnist, folder.path()).contains("train-images-idx3-ubyte.gz"));
}

#[test]
fn malformed_cifar_files_are_refused() {
    let refuse = |bytes: Vec<u8>, words: &[&str]| {
        malformed(Source::Cifar10, "data_batch_3.bin", &bytes, words)
    };
    refuse(vec![], &["records of 3073 bytes", "0 bytes"]);
    refuse(vec![0; 3073 + 5], &["3078 bytes"]);
    refuse(vec![0; 3073 * 10_001], &["10000 records", "more"]);
    let mut bad = vec![0; 2 * 3073];
    bad[3073] = 77;
    refuse(bad, &["labels from 0 to 9", "77 for image 1"]);
}

#[test]
fn the_split_keeps_validation_images_apart() {
    let images = synthetic::images(Source::Mnist, 30, 3);
    let (train, validation) = images.split(10, Some(12), 5);
    assert_eq!((train.len(), validation.len()), (12, 10));
    let size = 28 * 28;
    for image in train.pixels.chunks(size) {
        assert!(validation.pixels.chunks(size).all(|other| other != image));
    }
    assert_eq!(images.split(10, Some(12), 5).0, train);
    assert_ne!(images.split(10, Some(12), 6).0, train);
    assert_eq!(images.split(0, None, 5).0, images);
}

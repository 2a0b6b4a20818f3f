//! CIFAR-10: batches of records in its binary version.

use std::path::Path;

use sigmax_formats::images::Cifar10;

use super::{Images, found, refused};
use crate::error::Error;

const RECORD: usize = 1 + 3 * 32 * 32;
/// The official batches have 10,000 records; longer files are not read.
const MOST: usize = 10_000;
const TRAIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

/// Reads training and test images.
pub(super) fn read(folder: &Path, hint: &'static str) -> Result<(Images, Images), Error> {
    Ok((
        read_files(folder, &TRAIN, hint)?,
        read_files(folder, &["test_batch.bin"], hint)?,
    ))
}

/// Reads the named batches one after the other.
pub(super) fn read_files(
    folder: &Path,
    names: &[&str],
    hint: &'static str,
) -> Result<Images, Error> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for name in names {
        let path = found(folder, &[*name], hint)?;
        let batch = Cifar10::open(&path).map_err(refused)?;
        if batch.len() > MOST {
            let expected = format!("1 to {MOST} records of {RECORD} bytes");
            return Err(Error::data(&path, expected, "more"));
        }
        let (batch_labels, batch_pixels) = batch.read(MOST).map_err(refused)?;
        labels.extend(batch_labels);
        pixels.extend(batch_pixels);
    }
    Ok(Images {
        shape: [3, 32, 32],
        pixels,
        labels,
    })
}

//! The binary format of CIFAR-10: records of one label byte and 3×32×32 pixel bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Images;
use super::idx::check_labels;
use crate::error::Error;

const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
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
        let path = folder.join(name);
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing {
                path: path.clone(),
                hint,
            },
            _ => Error::io(&path)(error),
        })?;
        let mut bytes = Vec::new();
        file.take((MOST * RECORD) as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io(&path))?;
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            let expected = format!("1 to {MOST} records of {RECORD} bytes");
            let found = if bytes.len() > MOST * RECORD {
                "more".to_owned()
            } else {
                format!("{} bytes", bytes.len())
            };
            return Err(Error::data(&path, expected, found));
        }
        let batch: Vec<u8> = bytes.iter().step_by(RECORD).copied().collect();
        check_labels(&path, &batch)?;
        labels.extend(batch);
        for record in bytes.chunks_exact(RECORD) {
            pixels.extend_from_slice(&record[1..]);
        }
    }
    Ok(Images {
        shape: [3, 32, 32],
        pixels,
        labels,
    })
}

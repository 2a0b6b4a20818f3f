//! Images made from a seed, and written in the official formats: for tests and benchmarks.

use std::io::Write;
use std::path::Path;

use super::{Images, Source};
use crate::error::Error;
use crate::rng::{Purpose, Rng};

/// `count` images: noise, and a bright bar whose place is the label, so that a model can learn.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "values below 256")]
pub fn images(source: Source, count: usize, seed: u64) -> Images {
    let shape = match source {
        Source::Mnist | Source::FashionMnist => [1, 28, 28],
        Source::Cifar10 => [3, 32, 32],
    };
    let [channels, height, width] = shape;
    let mut rng = Rng::new(seed, Purpose::Synthetic, [0, 0]);
    let mut pixels = Vec::with_capacity(count * channels * height * width);
    let mut labels = Vec::with_capacity(count);
    for _ in 0..count {
        let label = rng.below(10);
        labels.push(label as u8);
        for _ in 0..channels {
            for y in 0..height {
                for _ in 0..width {
                    let bright = y / 2 == label + 2;
                    pixels.push(rng.below(100) as u8 + if bright { 150 } else { 0 });
                }
            }
        }
    }
    Images {
        shape,
        pixels,
        labels,
    }
}

/// Writes training and test images to `folder` in the official format of `source`.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(source: Source, folder: &Path, train: &Images, test: &Images) -> Result<(), Error> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    };
    match source {
        Source::Mnist | Source::FashionMnist => {
            for (part, images) in [("train", train), ("t10k", test)] {
                let (image_file, label_file) = idx(images);
                put(&format!("{part}-images-idx3-ubyte.gz"), &gzip(&image_file)?)?;
                put(&format!("{part}-labels-idx1-ubyte"), &label_file)?;
            }
        }
        Source::Cifar10 => {
            let n = train.len();
            for i in 0..5 {
                let chunk: Vec<usize> = (i * n / 5..(i + 1) * n / 5).collect();
                put(
                    &format!("data_batch_{}.bin", i + 1),
                    &records(&train.select(&chunk)),
                )?;
            }
            put("test_batch.bin", &records(test))?;
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, reason = "small sizes")]
fn idx(images: &Images) -> (Vec<u8>, Vec<u8>) {
    let count = (images.len() as u32).to_be_bytes();
    let mut image_file = vec![0, 0, 8, 3];
    image_file.extend(count);
    for axis in [images.shape[1], images.shape[2]] {
        image_file.extend((axis as u32).to_be_bytes());
    }
    image_file.extend(&images.pixels);
    let mut label_file = vec![0, 0, 8, 1];
    label_file.extend(count);
    label_file.extend(&images.labels);
    (image_file, label_file)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn records(images: &Images) -> Vec<u8> {
    let size: usize = images.shape.iter().product();
    let mut out = Vec::with_capacity(images.len() * (size + 1));
    for (label, pixels) in images.labels.iter().zip(images.pixels.chunks_exact(size)) {
        out.push(*label);
        out.extend_from_slice(pixels);
    }
    out
}

//! MNIST and Fashion-MNIST: idx files of images and labels, plain or gzip.

use std::path::{Path, PathBuf};

use sigmax_formats::images::Idx;

use super::{Images, found, refused};
use crate::error::Error;

const SIDE: usize = 28;

/// Reads training and test images.
pub(super) fn read(folder: &Path, hint: &'static str) -> Result<(Images, Images), Error> {
    Ok((
        read_part(folder, "train", hint)?,
        read_part(folder, "t10k", hint)?,
    ))
}

/// Reads the images and labels of one part, `train` or `t10k`.
pub(super) fn read_part(folder: &Path, part: &str, hint: &'static str) -> Result<Images, Error> {
    let open = |kind: &str, axes| -> Result<(PathBuf, Idx), Error> {
        let name = format!("{part}-{kind}-idx{axes}-ubyte");
        let path = found(folder, &[&name, &format!("{name}.gz")], hint)?;
        let file = Idx::open(&path, axes).map_err(refused)?;
        Ok((path, file))
    };
    let (path, images) = open("images", 3)?;
    let (count, sizes) = (images.sizes()[0], &images.sizes()[1..]);
    if sizes != [SIDE, SIDE] {
        let found = format!("{}×{}", sizes[0], sizes[1]);
        return Err(Error::data(&path, "images of 28×28 pixels", found));
    }
    let pixels = images.read(count).map_err(refused)?;
    let (label_path, labels) = open("labels", 1)?;
    if labels.sizes() != [count] {
        let expected = format!("{count} labels, as many as {} has images", path.display());
        return Err(Error::data(&label_path, expected, labels.sizes()[0]));
    }
    let labels = labels.read(count).map_err(refused)?;
    if let Some(i) = labels.iter().position(|&label| label > 9) {
        let found = format!("{} for image {i}", labels[i]);
        return Err(Error::data(&label_path, "labels from 0 to 9", found));
    }
    Ok(Images {
        shape: [1, SIDE, SIDE],
        pixels,
        labels,
    })
}
